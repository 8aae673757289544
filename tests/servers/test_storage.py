from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from defensive_distillation.artifacts import storage
from defensive_distillation.errors import ArtifactError, InputError, StorageError
from support import s3_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MANIFEST = "manifest.json"
SPARSE_BYTES = 2**30  # long enough under way to be killed on it; takes no disk at the source


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


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"expected {what} within 30 seconds"
        time.sleep(0.01)


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    head = "import sys; from pathlib import Path; from defensive_distillation import storage; "
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments])


@pytest.fixture
def killed() -> Iterator[Callable[..., None]]:
    """Runs code in a process of its own and kills it as soon as a condition holds."""
    with ExitStack() as stack:

        def run(code: str, *arguments: str, when: Callable[[], object]) -> None:
            process = start(code, *arguments)
            stack.callback(process.wait)
            stack.callback(process.kill)
            wait_until(when, "the process to be in the middle of its work")
            process.kill()
            assert process.wait() == -9, "expected to kill the process, found it had ended before"

        yield run


def small_disk(tmp_path: Path, options: str, code: str, *arguments: str) -> str:
    """What code prints with its working folder on a tmpfs that only it sees; skipped where Linux does not let us."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f'mount -t tmpfs -o {options} tmpfs "$0" && cd "$0" && exec "$@"'
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    try:
        subprocess.run([*unshare, "sh", "-c", mount, str(disk), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            raise
        pytest.skip(f"no leave to mount a small disk: {error}")
    head = "import os, sys; from pathlib import Path; from defensive_distillation import errors, storage\n"
    report = f"{head}try:\n    {code}\nexcept Exception as error: print(type(error).__name__, error, os.listdir())"
    return subprocess.run(
        [*unshare, "sh", "-c", mount, str(disk), sys.executable, "-c", report, *arguments],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


# Round trips


def test_bytes_come_back_as_written_and_are_replaced_when_written_again(place: str) -> None:
    location = storage.join(place, "deep", "er", "name.bin")
    for data in (b"", b"\x00\xff\r\n", secrets.token_bytes(100_000), b"shorter"):
        storage.write_bytes(location, data)
        assert storage.read_bytes(location) == data


def test_a_folder_comes_back_whole_with_nested_and_odd_names(place: str, artifact: Path, tmp_path: Path) -> None:
    storage.upload(artifact, place, last=MANIFEST)
    assert storage.list_names(place) == sorted(contents(artifact))
    storage.download(place, tmp_path / "new" / "copy")
    assert contents(tmp_path / "new" / "copy") == contents(artifact)


def test_a_folder_that_exists_and_is_empty_can_be_filled(place: str, artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "copy").mkdir()
    storage.upload(artifact, place, last=MANIFEST)
    storage.download(place, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(artifact)


def test_a_folder_is_replaced_and_what_else_is_there_stays(place: str, artifact: Path) -> None:
    storage.write_bytes(storage.join(place, "other"), b"stays")
    storage.upload(artifact, place, last=MANIFEST)
    (artifact / MANIFEST).write_bytes(b'{"new": 1}')
    storage.upload(artifact, place, last=MANIFEST)
    assert storage.read_bytes(storage.join(place, MANIFEST)) == b'{"new": 1}'
    assert storage.read_bytes(storage.join(place, "other")) == b"stays"


def test_a_folder_uploaded_onto_itself_stays_as_it_is(artifact: Path) -> None:
    before = contents(artifact)
    storage.upload(artifact, f"{artifact}/", last=MANIFEST)
    storage.download(str(artifact), artifact)
    assert contents(artifact) == before


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
    data = secrets.token_bytes(2 * storage.MULTIPART_BYTES + 1)
    (folder / "large.bin").write_bytes(data)
    (folder / MANIFEST).write_bytes(b"{}")
    storage.upload(folder, s3_bucket, last=MANIFEST)
    head = s3_client.head_object(Bucket=s3_bucket.removeprefix("s3://"), Key="large.bin")
    assert head["ETag"].endswith('-3"'), "an ETag 'digest-parts' is that of a multipart upload"
    storage.download(s3_bucket, tmp_path / "copy")
    assert hashlib.sha256((tmp_path / "copy" / "large.bin").read_bytes()).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(storage.read_bytes(f"{s3_bucket}/large.bin")).digest() == hashlib.sha256(data).digest()


def test_files_are_as_readable_as_the_umask_says(artifact: Path, tmp_path: Path) -> None:
    # A temporary file of mode 0600 would shut out the next stage, which may run as another user.
    before = os.umask(0o022)
    try:
        storage.upload(artifact, str(tmp_path / "place"), last=MANIFEST)
    finally:
        os.umask(before)
    assert (tmp_path / "place").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "place" / MANIFEST).stat().st_mode & 0o777 == 0o644


def test_local_use_never_imports_boto3(tmp_path: Path) -> None:
    code = (
        "a, b, c = (f'{sys.argv[1]}/{name}' for name in 'abc'); "
        "storage.write_bytes(f'{a}/m', b''); storage.read_bytes(f'{a}/m'); storage.exists(a); storage.list_names(a); "
        "storage.upload(Path(a), b, last='m'); storage.download(b, Path(c)); storage.remove(a); storage.close(); "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert start(code, str(tmp_path)).wait() == 0


def test_the_client_asks_the_environment_again_after_close(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL_S3"])
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-test-1")
    storage.close()
    storage.write_bytes(f"{s3_bucket}/name", b"found by the general variables")
    assert storage.list_names(s3_bucket) == ["name"]


# Whole or not at all


def test_a_killed_upload_to_s3_never_shows_a_manifest(
    s3_bucket: str, s3_client: S3Client, artifact: Path, tmp_path: Path, killed: Callable[..., None]
) -> None:
    place, bucket = f"{s3_bucket}/model", s3_bucket.removeprefix("s3://")
    storage.upload(artifact, place, last=MANIFEST)
    others = sorted(set(contents(artifact)) - {MANIFEST})
    with (artifact / "weights.bin").open("wb") as file:
        file.truncate(SPARSE_BYTES)
    killed(
        f"storage.upload(Path(sys.argv[1]), sys.argv[2], last={MANIFEST!r})", str(artifact), place,
        when=lambda: s3_client.list_multipart_uploads(Bucket=bucket).get("Uploads"),
    )  # fmt: skip
    assert not storage.exists(f"{place}/{MANIFEST}"), "the earlier manifest must go first"
    assert storage.list_names(place) == others
    (artifact / "weights.bin").write_bytes(b"small")
    storage.upload(artifact, place, last=MANIFEST)
    storage.download(place, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(artifact)


def test_a_killed_upload_to_a_new_local_folder_leaves_no_folder(
    artifact: Path, tmp_path: Path, killed: Callable[..., None]
) -> None:
    with (artifact / "weights.bin").open("wb") as file:
        file.truncate(SPARSE_BYTES)
    above = tmp_path / "above"
    killed(
        f"storage.upload(Path(sys.argv[1]), sys.argv[2], last={MANIFEST!r})", str(artifact), str(above / "place"),
        when=lambda: any(path.stat().st_size > 2**20 for path in above.glob(".partial-*/.partial-*")),
    )  # fmt: skip
    assert not (above / "place").exists()
    assert storage.list_names(str(above)) == []
    shutil.rmtree(above)


def test_a_killed_write_leaves_the_earlier_file(tmp_path: Path, killed: Callable[..., None]) -> None:
    storage.write_bytes(str(tmp_path / "name"), b"earlier")
    killed(
        "storage.write_bytes(sys.argv[1], bytes(2**29))", str(tmp_path / "name"),
        when=lambda: list(tmp_path.glob(".partial-*")),
    )  # fmt: skip
    assert storage.read_bytes(str(tmp_path / "name")) == b"earlier"
    assert storage.list_names(str(tmp_path)) == ["name"]


@pytest.mark.parametrize("earlier", [True, False])
def test_an_upload_whose_source_vanishes_fails_without_a_manifest(place: str, artifact: Path, earlier: bool) -> None:
    if earlier:
        storage.upload(artifact, place, last=MANIFEST)
    (artifact / "vanished").symlink_to(artifact / "nowhere")
    with pytest.raises(ArtifactError, match=r"artifact/vanished: expected a file, found nothing"):
        storage.upload(artifact, place, last=MANIFEST)
    assert not storage.exists(storage.join(place, MANIFEST))
    assert not list(Path(artifact.parent).glob("**/.partial-*"))


def test_an_upload_that_the_server_refuses_midway_fails_without_a_manifest(s3_bucket: str, artifact: Path) -> None:
    storage.upload(artifact, s3_bucket, last=MANIFEST)
    long = artifact.joinpath("b" * 250, "b" * 250, "b" * 250, "b" * 250, "b" * 250)  # S3 keys have at most 1024 bytes
    long.parent.mkdir(parents=True)
    long.touch()
    with pytest.raises(StorageError, match=r"S3 refused: .*KeyTooLong"):
        storage.upload(artifact, s3_bucket, last=MANIFEST)
    assert not storage.exists(f"{s3_bucket}/{MANIFEST}")


def test_an_upload_without_its_manifest_is_refused_before_anything_is_touched(place: str, artifact: Path) -> None:
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


def test_a_folder_of_nothing_cannot_be_downloaded(place: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"place: expected a folder of files, found nothing$"):
        storage.download(place, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_names_that_lead_out_of_the_folder_are_refused(s3_bucket: str, s3_client: S3Client, tmp_path: Path) -> None:
    s3_client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="place/a/../../../escaped", Body=b"")
    with pytest.raises(ArtifactError, match=r"expected names of files below it, got 'a/\.\./\.\./\.\./escaped'"):
        storage.download(f"{s3_bucket}/place", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "action",
    [
        lambda location, _: storage.read_bytes(location),
        lambda location, _: storage.write_bytes(location, b""),
        lambda location, _: storage.exists(location),
        lambda location, _: storage.list_names(location),
        lambda location, _: storage.remove(location),
        lambda location, folder: storage.download(location, folder / "copy"),
        lambda location, folder: storage.upload(folder, location, last=MANIFEST),
    ],
    ids=["read_bytes", "write_bytes", "exists", "list_names", "remove", "download", "upload"],
)
class TestEveryAction:
    Action = Callable[[str, Path], object]

    def test_names_a_missing_bucket(self, s3_bucket: str, artifact: Path, action: Action) -> None:
        with pytest.raises(StorageError, match=r"expected a bucket named no-such, found none: create it or correct"):
            action("s3://no-such/name", artifact)

    def test_says_that_the_secret_is_wrong_and_does_not_print_it(
        self, s3_bucket: str, artifact: Path, action: Action, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        storage.close()
        with pytest.raises(StorageError, match=r"S3 refused the credentials .*check AWS_ACCESS_KEY_ID") as caught:
            action(f"{s3_bucket}/name", artifact)
        assert "wrong-secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 1

    def test_says_that_the_user_may_not(
        self, s3: s3_server.S3Server, s3_bucket: str, artifact: Path, action: Action, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.stranger_access_key)
        storage.close()
        with pytest.raises(StorageError, match=r"name.*: S3 denied access: check the credentials and what they allow"):
            action(f"{s3_bucket}/name", artifact)

    def test_refuses_a_location_that_cannot_be(self, artifact: Path, action: Action) -> None:
        for location in (
            "s3://",
            "s3:///name",
            "s3:/bucket/name",
        ):  # the last is what pathlib makes of s3://bucket/name
            with pytest.raises(InputError, match=rf"expected s3://bucket/prefix, got '{location}'"):
                action(location, artifact)
        for location in ("", "gs://bucket/name", "https://host/name"):
            with pytest.raises(InputError, match=rf"expected a local path or s3://bucket/prefix, got '{location}'"):
                action(location, artifact)

    def test_refuses_a_bucket_name_that_cannot_be(self, s3_bucket: str, artifact: Path, action: Action) -> None:
        with pytest.raises(InputError, match=r"expected a bucket name of letters.*got 'no such'") as caught:
            action("s3://no such/name", artifact)
        assert caught.value.exit_code == 2


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
    storage.close()
    with pytest.raises(StorageError, match=r"S3 refused the credentials .*check AWS_ACCESS_KEY_ID"):
        storage.read_bytes(f"{s3_bucket}/name")


@pytest.mark.parametrize("missing", [["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["AWS_SECRET_ACCESS_KEY"]])
def test_absent_credentials_are_asked_for(s3_bucket: str, missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    storage.close()
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
        storage.close()
        begin = time.monotonic()
        with pytest.raises(
            StorageError, match=rf"S3 endpoint {endpoint}: expected an answer, got .*Error: check AWS_END"
        ):
            storage.upload(artifact, f"{s3_bucket}/name", last=MANIFEST)
    assert time.monotonic() - begin < 20


@pytest.mark.slow
def test_an_endpoint_that_drops_packets_is_named_within_20_seconds(
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
        storage.close()
        begin = time.monotonic()
        with pytest.raises(StorageError, match=r"S3 endpoint .*: expected an answer, got ConnectTimeoutError"):
            storage.read_bytes(f"{s3_bucket}/name")
    assert time.monotonic() - begin < 20


def test_an_endpoint_that_is_no_url_is_refused(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "minio:9000")
    storage.close()
    with pytest.raises(InputError, match=r"AWS_ENDPOINT_URL_S3: expected http\(s\)://host:port, got 'minio:9000'"):
        storage.read_bytes(f"{s3_bucket}/name")


def test_a_local_path_that_cannot_be_written_is_bad_input(artifact: Path, s3_bucket: str, tmp_path: Path) -> None:
    # Root may write anywhere that permission bits forbid; nobody may write below a file, over a folder, or in /proc.
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"file/below: expected a writable path, got '.*': choose another"):
        storage.write_bytes(below, b"")
    with pytest.raises(InputError, match=r"file/below: expected a writable path"):
        storage.upload(artifact, below, last=MANIFEST)
    with pytest.raises(InputError, match=r"file: expected a writable path, got 'Not a directory'"):
        storage.upload(artifact, str(tmp_path / "file"), last=MANIFEST)
    storage.upload(artifact, s3_bucket, last=MANIFEST)
    with pytest.raises(InputError, match=r"file/below: expected a writable path"):
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


def test_folders_that_link_in_a_circle_are_refused(artifact: Path, tmp_path: Path) -> None:
    (artifact / "circle").symlink_to(artifact)
    with pytest.raises(
        InputError, match=r"artifact: expected a readable path, got 'Too many levels of symbolic links'"
    ):
        storage.upload(artifact, str(tmp_path / "place"), last=MANIFEST)


def test_a_full_disk_is_a_fault_of_storage_and_leaves_nothing_behind(
    s3_bucket: str, artifact: Path, tmp_path: Path
) -> None:
    full = "StorageError {}: expected room on the disk, found it full: free space or choose another place []\n"
    assert small_disk(tmp_path, "size=1m", "storage.write_bytes('name', bytes(2**21))") == full.format("name")
    (artifact / "weights.bin").write_bytes(bytes(2**21))
    code = f"storage.upload(Path(sys.argv[1]), 'place', last={MANIFEST!r})"
    assert small_disk(tmp_path, "size=1m", code, str(artifact)) == full.format("place")
    storage.write_bytes(f"{s3_bucket}/weights.bin", bytes(2**21))
    code = "storage.download(sys.argv[1], Path())"
    assert small_disk(tmp_path, "size=1m", code, s3_bucket) == full.format(".")


def test_a_read_only_disk_is_bad_input(tmp_path: Path) -> None:
    assert small_disk(tmp_path, "ro", "storage.write_bytes('folder/name', b'')").startswith(
        "InputError folder/name: expected a writable path, got 'Read-only file system'"
    )
