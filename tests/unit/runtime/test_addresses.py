from __future__ import annotations

import pytest

from defensive_distillation.addresses import has_secrets, shown, without_secrets
from defensive_distillation.config import stage_config
from defensive_distillation.errors import ConfigurationError, StorageError, first_line


@pytest.mark.parametrize(
    ("address", "as_shown"),
    [
        ("http://me:sesame@host:5000/x", "http://***@host:5000/x"),
        ("https://sesame@host", "https://***@host"),
        ("http://me:ses@me/with space@host/x", "http://***@host/x"),
        ("postgresql+psycopg2://me:ses/ame@host:5432/db", "postgresql+psycopg2://***@host:5432/db"),
        ("https://host/x?token=sesame&user=me", "https://host/x?token=***&user=***"),
        ("https://host/x?sesame", "https://host/x?***"),
        ("s3://me:sesame@bucket/key", "s3://***@bucket/key"),
        ("s3://bucket/photos@2x.zip", "s3://bucket/photos@2x.zip"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("models:/digits@champion", "models:/digits@champion"),
        ("http://host:5000", "http://host:5000"),
        ("/a/path@x", "/a/path@x"),
        ("A title that asks: see http://host/x?page=2", "A title that asks: see http://host/x?page=2"),
    ],
)
def test_an_address_is_shown_without_user_password_and_token(address: str, as_shown: str) -> None:
    assert shown(address) == as_shown
    assert shown(as_shown) == as_shown
    assert has_secrets(address) == (address != as_shown)


def test_no_message_shows_a_password_whatever_it_is_part_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:se same, really@host:5000")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:sesame@store")
    for text in (
        "MLflow at http://me:se same, really@host:5000 did not answer",
        "refused: 'http://me:sesame@store/bucket' and (http://a:sesame@b), postgresql://a:sesame@c/d.",
    ):
        for error in (StorageError(text), ValueError(text)):
            said = first_line(error)
            assert "same" not in said
            assert "***@" in said
        assert "same" not in str(StorageError(text))
        assert without_secrets(without_secrets(text)) == without_secrets(text)


def test_settings_hold_no_password() -> None:
    with pytest.raises(
        ConfigurationError, match=r"source: expected a place without user.* got s3://\*\*\*@bucket/x"
    ) as e:
        stage_config("prepare_data", {"source": "s3://me:sesame@bucket/x"})
    assert "sesame" not in str(e.value)
