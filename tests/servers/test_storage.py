from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.storage import s3
from defensive_distillation.errors import ArtifactError, InputError, StorageError
from support import s3_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MANIFEST = "manifest.json"
PART_BYTES = 8 * 2**20  # boto3's: larger files travel in parts of this size


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place in either kind of storage."""
    return str(tmp_path / "place") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/place"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "figures" / "deep").mkdir(parents=True)
    (folder / MANIFEST).write_bytes(b"{}")
    (folder / "a weight+é%20#?.bin").write_bytes(bytes(range(256)))
    (folder / "figures" / "deep" / "empty").write_bytes(b"")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What code prints in a tmpfs that only it sees; skipped where Linux does not let us."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    disk = str(tmp_path_factory.mktemp("disk"))

    def run(options: str, *command: str) -> str:
        mount = f'mount -t tmpfs -o {options} tmpfs "$0" && cd "$0" && exec "$@"'
        return subprocess.run(
            [*unshare, "sh", "-c", mount, disk, *command], check=True, capture_output=True, text=True
        ).stdout

    try:
        run("size=1m", "true")
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            raise
        pytest.skip(f"no leave to mount a small disk: {error}")
    return run


REPORT = """
import os, sys
from pathlib import Path
from defensive_distillation.artifacts import storage

for line in sys.argv[1:]:
    try:
        exec(line)
    except Exception as error:
        print(type(error).__name__, error, os.listdir())
"""


# Round trips


def test_bytes_come_back_as_written_and_are_replaced_when_written_again(place: str) -> None:
    location = storage.join(place, "deep", "er", "name.bin")
    for data in (b"", b"\x00\xff\r\n", secrets.token_bytes(100_000), b"shorter"):
        storage.write_bytes(location, data)
        assert storage.read_bytes(location) == data


def test_a_folder_comes_back_whole_with_nested_and_odd_names(s3_bucket: str, artifact: Path, tmp_path: Path) -> None:
    storage.upload(artifact, s3_bucket, last=MANIFEST)
    assert storage.list_names(s3_bucket) == sorted(contents(artifact)) == storage.list_names(str(artifact))
    storage.download(s3_bucket, tmp_path / "new" / "copy")
    assert contents(tmp_path / "new" / "copy") == contents(artifact)


def test_a_folder_is_replaced_and_what_else_is_there_stays(s3_bucket: str, artifact: Path) -> None:
    place = f"{s3_bucket}/place"
    storage.write_bytes(storage.join(place, "other"), b"stays")
    storage.upload(artifact, place, last=MANIFEST)
    (artifact / MANIFEST).write_bytes(b'{"new": 1}')
    storage.upload(artifact, place, last=MANIFEST)
    assert storage.read_bytes(storage.join(place, MANIFEST)) == b'{"new": 1}'
    assert storage.read_bytes(storage.join(place, "other")) == b"stays"


def test_only_exact_files_exist(place: str) -> None:
    storage.write_bytes(storage.join(place, "folder", "file"), b"")
    assert storage.exists(storage.join(place, "folder", "file"))
    for absent in ("folder", "fold", "folder/fil", "folder/file/below", "other"):
        assert not storage.exists(storage.join(place, absent))
    assert not storage.exists(place)


def test_nothing_is_listed_where_nothing_is_nor_below_a_file_nor_of_a_longer_name(place: str) -> None:
    assert storage.list_names(place) == []
    storage.write_bytes(storage.join(place, "name"), b"")
    storage.write_bytes(storage.join(place, "name-longer", "file"), b"")
    assert storage.list_names(storage.join(place, "name")) == []
    assert storage.list_names(f"{place}/") == ["name", "name-longer/file"]


def test_listings_and_removals_go_past_the_first_page(s3_bucket: str, s3_client: S3Client) -> None:
    names = [f"{number:03}" for number in range(2 * s3_server.LISTING_PAGE + 1)]
    for name in names:
        storage.write_bytes(storage.join(s3_bucket, "many", name), b"")
    bucket = s3_bucket.removeprefix("s3://")
    assert s3_client.list_objects_v2(Bucket=bucket)["IsTruncated"], "the server must answer in pages"
    assert storage.list_names(s3_bucket) == [f"many/{name}" for name in names]
    storage.remove(storage.join(s3_bucket, "many"))
    assert storage.list_names(s3_bucket) == []


def test_removal_takes_a_file_or_a_folder_leaves_neighbours_and_accepts_nothing(place: str) -> None:
    for name in ("gone", "folder/a", "folder/b/c", "folder-not", "stays"):
        storage.write_bytes(storage.join(place, name), b"")
    for _ in range(2):
        storage.remove(storage.join(place, "gone"))
        storage.remove(storage.join(place, "folder"))
        assert storage.list_names(place) == ["folder-not", "stays"]
    storage.remove(storage.join(place, "stays", "below"))
    assert storage.exists(storage.join(place, "stays"))


def test_removing_a_link_leaves_the_folder_that_it_leads_to(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(artifact)
    storage.remove(str(tmp_path / "link"))
    assert not (tmp_path / "link").is_symlink()
    assert (artifact / MANIFEST).exists()


def test_a_large_file_travels_in_parts_and_arrives_intact(s3_bucket: str, s3_client: S3Client, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    data = secrets.token_bytes(2 * PART_BYTES + 1)
    (folder / "large.bin").write_bytes(data)
    (folder / MANIFEST).write_bytes(b"{}")
    storage.upload(folder, s3_bucket, last=MANIFEST)
    head = s3_client.head_object(Bucket=s3_bucket.removeprefix("s3://"), Key="large.bin")
    assert head["ETag"].endswith('-3"'), "an ETag 'digest-parts' is that of a multipart upload"
    storage.download(s3_bucket, tmp_path / "copy")
    assert (tmp_path / "copy" / "large.bin").read_bytes() == data, "too long to be shown"
    storage.download_file(f"{s3_bucket}/large.bin", tmp_path / "alone" / "large")
    assert (tmp_path / "alone" / "large").read_bytes() == data
    assert storage.read_bytes(f"{s3_bucket}/large.bin") == data


def test_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    # A temporary file of mode 0600 would shut out the next stage, which may run as another user.
    before = os.umask(0o022)
    try:
        storage.write_bytes(str(tmp_path / "place" / "name"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "place").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "place" / "name").stat().st_mode & 0o777 == 0o644


def test_local_use_never_imports_boto3(tmp_path: Path) -> None:
    code = (
        "import sys; from defensive_distillation.artifacts import storage; a = sys.argv[1]; "
        "storage.write_bytes(f'{a}/m', b''); storage.read_bytes(f'{a}/m'); storage.exists(a); storage.list_names(a); "
        "storage.remove(a); sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True)


def test_the_client_is_that_of_the_environment_at_every_call(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL_S3"])
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-test-1")
    storage.write_bytes(f"{s3_bucket}/name", b"found by the general variables")
    assert storage.list_names(s3_bucket) == ["name"]


# Whole or not at all


def test_a_killed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "name"), b"earlier")
    code = (
        "import os, sys; from defensive_distillation.artifacts import storage; "
        "os.fsync = lambda _: os.kill(os.getpid(), 9); storage.write_bytes(sys.argv[1], bytes(2**16))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "name")]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2, "expected what was written until then, beside the earlier file"
    assert storage.read_bytes(str(tmp_path / "name")) == b"earlier"
    assert storage.list_names(str(tmp_path)) == ["name"]


def test_what_is_no_regular_file_is_written_to_and_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere/file")
    for content in (b"first", b"second"):
        storage.write_bytes(str(tmp_path / "link"), content)
        assert (tmp_path / "elsewhere/file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    storage.write_bytes(str(tmp_path / "pipe"), b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    storage.write_bytes(os.devnull, b"away")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("earlier", [True, False])
def test_an_upload_whose_source_vanishes_fails_without_a_manifest(
    s3_bucket: str, artifact: Path, earlier: bool
) -> None:
    place = f"{s3_bucket}/place"
    if earlier:
        storage.upload(artifact, place, last=MANIFEST)
    (artifact / "vanished").symlink_to(artifact / "nowhere")
    with pytest.raises(ArtifactError, match=r"artifact/vanished: expected a file, found nothing"):
        storage.upload(artifact, place, last=MANIFEST)
    assert not storage.exists(storage.join(place, MANIFEST))


def test_an_upload_that_the_server_refuses_midway_fails_without_a_manifest(s3_bucket: str, artifact: Path) -> None:
    storage.upload(artifact, s3_bucket, last=MANIFEST)
    long = artifact.joinpath("b" * 250, "b" * 250, "b" * 250, "b" * 250, "b" * 250)  # S3 keys have at most 1024 bytes
    long.parent.mkdir(parents=True)
    long.touch()
    with pytest.raises(StorageError, match=r"S3 refused: .*KeyTooLong"):
        storage.upload(artifact, s3_bucket, last=MANIFEST)
    assert not storage.exists(f"{s3_bucket}/{MANIFEST}")


def test_an_upload_without_its_manifest_is_refused_before_anything_is_touched(s3_bucket: str, artifact: Path) -> None:
    place = f"{s3_bucket}/place"
    storage.upload(artifact, place, last=MANIFEST)
    (artifact / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"artifact: expected a folder with manifest\.json, found none in it"):
        storage.upload(artifact, place, last=MANIFEST)
    with pytest.raises(ArtifactError, match=r"nowhere: expected a folder with manifest\.json, found nothing"):
        storage.upload(artifact / "nowhere", place, last=MANIFEST)
    assert storage.exists(storage.join(place, MANIFEST))


# What is missing


def test_a_missing_file_is_named(place: str) -> None:
    with pytest.raises(ArtifactError, match=r"place/name: expected a file, found nothing$"):
        storage.read_bytes(storage.join(place, "name"))
    storage.write_bytes(storage.join(place, "file"), b"")
    with pytest.raises(ArtifactError, match=r"place/file/name: expected a file, found nothing$"):
        storage.read_bytes(storage.join(place, "file", "name"))


def test_nothing_cannot_be_downloaded(s3_bucket: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"place: expected a folder of files, found nothing$"):
        storage.download(f"{s3_bucket}/place", tmp_path / "copy")
    with pytest.raises(ArtifactError, match=r"place: expected a file, found nothing$"):
        storage.download_file(f"{s3_bucket}/place", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_names_that_lead_out_of_the_folder_are_refused(s3_bucket: str, s3_client: S3Client, tmp_path: Path) -> None:
    s3_client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="place/a/../../../escaped", Body=b"")
    with pytest.raises(ArtifactError, match=r"expected names of files below it, got 'a/\.\./\.\./\.\./escaped'"):
        storage.download(f"{s3_bucket}/place", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


Action = Callable[[str, Path], object]
ACTIONS: list[Action] = [
    lambda location, _: storage.read_bytes(location),
    lambda location, _: storage.write_bytes(location, b""),
    lambda location, _: storage.exists(location),
    lambda location, _: storage.list_names(location),
    lambda location, _: storage.remove(location),
    lambda location, folder: storage.download(location, folder / "copy"),
    lambda location, folder: storage.upload(folder, location, last=MANIFEST),
]


def refused(location: str, folder: Path, error: type[Exception], message: str) -> list[Exception]:
    """The errors of every action, each of this type and with this message."""
    errors = []
    for action in ACTIONS:
        with pytest.raises(error, match=message) as caught:
            action(location, folder)
        errors.append(caught.value)
    return errors


def test_every_action_names_a_missing_bucket(s3_bucket: str, artifact: Path) -> None:
    message = r"expected a bucket named no-such, found none: create it or correct"
    refused("s3://no-such/name", artifact, StorageError, message)


def test_every_action_says_that_the_secret_is_wrong_and_does_not_print_it(
    s3_bucket: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    message = r"S3 refused the credentials .*check AWS_ACCESS_KEY_ID"
    for error in refused(f"{s3_bucket}/name", artifact, StorageError, message):
        assert "wrong-secret" not in str(error)
        assert "\n" not in str(error)
        assert isinstance(error, StorageError)
        assert error.exit_code == 1


def test_every_action_says_that_the_user_may_not(
    s3: s3_server.S3Server, s3_bucket: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.stranger_access_key)
    message = r"name.*: S3 denied access: check the credentials and what they allow"
    refused(f"{s3_bucket}/name", artifact, StorageError, message)


@pytest.mark.parametrize("location", ["s3://", "s3:///name", "s3:/bucket/name"])
def test_every_action_refuses_an_s3_location_that_cannot_be(location: str, artifact: Path) -> None:
    # the last is what pathlib makes of s3://bucket/name
    refused(location, artifact, InputError, rf"expected s3://bucket/prefix, got '{location}'")


def test_kubeflows_own_store_is_s3_under_another_name(s3_bucket: str) -> None:
    place = f"minio://{s3_bucket.removeprefix('s3://')}/v2/artifacts"
    storage.write_bytes(f"{place}/run/model/manifest.json", b"{}")
    assert storage.read_bytes(f"{s3_bucket}/v2/artifacts/run/model/manifest.json") == b"{}"
    assert storage.list_names(f"{place}/run") == ["model/manifest.json"]
    storage.remove(f"{place}/run")
    assert not storage.exists(f"{s3_bucket}/v2/artifacts/run/model/manifest.json")


def test_what_is_in_an_object_store_is_no_local_path() -> None:
    for location in ("s3://bucket/name", "minio://bucket/name", "gs://bucket/name"):
        assert storage.is_remote(location)
        assert storage.join(location, "file") == f"{location}/file"
    for location in ("minio/name", "gs/name", "/s3/bucket", "gs:name"):
        assert not storage.is_remote(location)


@pytest.mark.parametrize("location", ["", "gs://bucket/name", "https://host/name", "minio://"])
def test_every_action_refuses_a_location_that_is_neither_local_nor_s3(location: str, artifact: Path) -> None:
    refused(location, artifact, InputError, rf"expected (a local path or )?s3://bucket/prefix, got '{location}'")


def test_every_action_refuses_a_bucket_name_that_cannot_be(s3_bucket: str, artifact: Path) -> None:
    message = r"expected a bucket name of letters.*got 'no such'"
    for error in refused("s3://no such/name", artifact, InputError, message):
        assert isinstance(error, InputError)
        assert error.exit_code == 2


def test_only_s3_is_copied_from_and_to(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected s3://bucket/prefix, got '.*/copy'"):
        storage.upload(artifact, str(tmp_path / "copy"), last=MANIFEST)
    with pytest.raises(InputError, match=r"expected s3://bucket/prefix, got '.*/artifact'"):
        storage.download(str(artifact), tmp_path / "copy")


# What S3 or the disk refuses


def test_a_whole_bucket_is_never_removed_nor_taken_for_a_file(s3_bucket: str) -> None:
    storage.write_bytes(f"{s3_bucket}/name", b"")
    with pytest.raises(InputError, match="expected a name below the bucket"):
        storage.remove(f"{s3_bucket}/")
    with pytest.raises(InputError, match="expected a name below the bucket"):
        storage.read_bytes(s3_bucket)
    with pytest.raises(InputError, match="expected a name below the bucket"):
        storage.write_bytes(s3_bucket, b"")
    assert not storage.exists(s3_bucket)
    assert storage.list_names(s3_bucket) == ["name"]


def test_an_unknown_access_key_is_refused(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:nobody")
    with pytest.raises(StorageError, match=r"S3 refused the credentials .*check AWS_ACCESS_KEY_ID"):
        storage.read_bytes(f"{s3_bucket}/name")


@pytest.mark.parametrize("missing", [["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["AWS_SECRET_ACCESS_KEY"]])
def test_absent_credentials_are_asked_for(s3_bucket: str, missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    with pytest.raises(StorageError, match=r"expected credentials, found none: set AWS_ACCESS_KEY_ID and AWS_SECRET"):
        storage.read_bytes(f"{s3_bucket}/name")


def test_an_endpoint_that_refuses_connections_is_named_soon(
    s3_bucket: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(
            ("127.0.0.1", 0)
        )  # bound and not listening: connections are refused, and nobody else takes the port
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        begin = time.monotonic()
        with pytest.raises(
            StorageError, match=rf"S3 endpoint {endpoint}: expected an answer, got .*Error: check AWS_END"
        ):
            storage.upload(artifact, f"{s3_bucket}/name", last=MANIFEST)
    assert time.monotonic() - begin < 20


@pytest.mark.slow
def test_an_endpoint_that_drops_packets_is_named_after_five_seconds_an_attempt(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # fill the queue of a listener that never accepts: from then on Linux drops what comes
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{full.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        begin = time.monotonic()
        with pytest.raises(StorageError, match=r"S3 endpoint .*: expected an answer, got ConnectTimeoutError"):
            storage.read_bytes(f"{s3_bucket}/name")
    assert time.monotonic() - begin < 6


@pytest.mark.parametrize("place", ["variable", "profile", "services", "nowhere"])
def test_a_server_is_spoken_to_as_what_it_is_wherever_it_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    own = "http://minio.example:9000"
    settings = {
        "profile": f"[profile lab]\nendpoint_url = {own}\n",
        "services": f"[profile lab]\nservices = lab\n[services lab]\ns3 =\n  endpoint_url = {own}\n",
    }
    (tmp_path / "config").write_text(settings.get(place, "[profile lab]\nregion = eu-central-1\n"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    if place == "variable":
        monkeypatch.setenv("AWS_ENDPOINT_URL", own)
    client = s3._client()
    config = client.meta.config
    other = place != "nowhere"
    assert (client.meta.endpoint_url == own) is other
    assert ((config.s3 or {}).get("addressing_style") == "path") is other
    assert (config.request_checksum_calculation == "when_required") is other


def test_an_endpoint_that_is_no_url_is_refused(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "minio:9000")
    with pytest.raises(InputError, match=r"AWS_ENDPOINT_URL_S3: expected http\(s\)://host:port, got 'minio:9000'"):
        storage.read_bytes(f"{s3_bucket}/name")


def test_a_local_path_that_cannot_be_written_is_bad_input(artifact: Path, s3_bucket: str, tmp_path: Path) -> None:
    # Root may write anywhere that permission bits forbid; nobody may write below a file, over a folder, or in /proc.
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/below: expected a writable path, got '.*': choose another"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")
    storage.write_bytes(f"{s3_bucket}/name", b"")
    with pytest.raises(InputError, match=r"file/below/name: expected a writable path"):
        storage.download(s3_bucket, tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"artifact: expected a writable path, got 'Is a directory'") as caught:
        storage.write_bytes(str(artifact), b"")
    assert caught.value.exit_code == 2
    with pytest.raises(InputError, match=r"/proc/name: expected a writable path"):
        storage.write_bytes("/proc/name", b"")
    assert not list(tmp_path.glob("**/.partial-*"))


def test_a_folder_is_not_read_as_a_file(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"artifact: expected a file, found a folder"):
        storage.read_bytes(str(artifact))


def test_folders_that_link_in_a_circle_are_refused(artifact: Path) -> None:
    (artifact / "circle").symlink_to(artifact)
    with pytest.raises(
        InputError, match=r"artifact: expected a readable path, got 'Too many levels of symbolic links'"
    ):
        storage.upload(artifact, "s3://bucket/place", last=MANIFEST)


def test_what_a_link_leads_to_is_listed(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(artifact)
    assert storage.list_names(str(tmp_path / "outer")) == [f"link/{name}" for name in sorted(contents(artifact))]


def test_a_full_disk_is_a_fault_of_storage_and_leaves_nothing_behind(
    s3_bucket: str, small_disk: Callable[..., str]
) -> None:
    storage.write_bytes(f"{s3_bucket}/weights.bin", bytes(2**21))
    full = "StorageError {}: expected room on the disk, found it full: free space or choose another place []\n"
    lines = ["storage.write_bytes('name', bytes(2**21))", f"storage.download('{s3_bucket}', Path())"]
    said = small_disk("size=1m", sys.executable, "-c", REPORT, *lines)
    assert said == full.format("name") + full.format("weights.bin")


def test_a_read_only_disk_is_bad_input(small_disk: Callable[..., str]) -> None:
    said = small_disk("ro", sys.executable, "-c", REPORT, "storage.write_bytes('folder/name', b'')")
    assert said.startswith("InputError folder/name: expected a writable path, got 'Read-only file system'")
