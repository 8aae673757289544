"""How large a Workflow becomes, told before it is started."""

from __future__ import annotations

import pytest

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.definitions.size import MOST, estimate, require_fitting, size_of
from support.cluster.packages import PRESETS, compiled, kept

# tests/cluster/digits-as-it-ran.yaml.gz on Kubernetes 1.34, Argo 4.0.8 and Kubeflow Pipelines 2.17.0, at the end
MEASURED = {"pods": 49, "nodes": 172, "uncompressed": 1_001_949, "compressed": 139_987}


@pytest.mark.parametrize(("preset", "profile"), PRESETS)
def test_a_preset_fits_with_room_to_spare(preset: str, profile: str) -> None:
    size = size_of(compiled(preset, profile))
    assert size.compressed < 500_000, size
    assert size == require_fitting(compiled(preset, profile))


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_the_digits_stay_uncompressed_so_that_kubeflow_goes_on_telling_what_runs(profile: str) -> None:
    assert size_of(compiled("digits", profile)).uncompressed < MOST


def test_the_estimate_is_what_a_cluster_has_measured() -> None:
    size = size_of(kept("digits-as-it-ran"))
    assert (size.pods, size.nodes) == (MEASURED["pods"], MEASURED["nodes"])
    assert size.uncompressed == pytest.approx(MEASURED["uncompressed"], rel=0.01)
    assert size.compressed == pytest.approx(MEASURED["compressed"], rel=0.05)


def test_pods_and_nodes_of_the_old_shape_are_those_that_ran() -> None:
    size = size_of(kept("sweep-before-clusters"))
    assert (size.pods, size.nodes) == (68, 257)


def test_what_is_too_large_is_refused_with_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--preset", "mnist", "--set", "attack_groups=each"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", "-o", "/nowhere/sweep.yaml", *settings])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("at most 800 KB compressed, got", "pods", "temperatures", "attack_groups", "shards", "submit --runs"):
        assert part in said


def test_a_level_that_no_argument_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver is told its level's tasks as one argument, of which Linux takes 128 KiB."""
    package = compiled("mnist")
    monkeypatch.setattr(estimate, "LONGEST", size_of(package).longest)
    require_fitting(package)
    monkeypatch.setattr(estimate, "LONGEST", size_of(package).longest - 1)
    with pytest.raises(ConfigurationError, match="too large for a cluster"):
        require_fitting(package)


def test_compile_tells_the_size(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["compile", "-o", f"{tmp_path}/sweep.yaml", "--profile", "cpu"])
    assert f": {size_of(compiled('digits'))}\n" in capsys.readouterr().out
