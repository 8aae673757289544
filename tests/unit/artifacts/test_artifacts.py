from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import defensive_distillation
import defensive_distillation_pipelines
from defensive_distillation import artifacts
from defensive_distillation.artifacts import Artifact, storage
from defensive_distillation.artifacts.arrays import read_arrays
from defensive_distillation.artifacts.storage import drafts
from defensive_distillation.config import PrepareDataConfig, TrainTeacherConfig
from defensive_distillation.errors import ArtifactError, InputError, TrainingError
from defensive_distillation.runtime.origin import of_images
from defensive_distillation.stages import prepare_data, train_teacher

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SMALL = PrepareDataConfig(train_limit=20, test_limit=10)
CONTENTS = {"a.json": b'{"one": 1}', "tensors.safetensors": bytes(range(256))}
WRITER = """
import os, signal, sys
from pathlib import Path
from defensive_distillation import artifacts

def write_files(folder):
    (folder / "a.json").write_bytes(b"{}")
    with (folder / "tensors.safetensors").open("wb") as file:
        file.truncate(int(sys.argv[2]))
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)

artifacts.write(
    sys.argv[1], kind="dataset", stage="prepare_data", code="c", config={}, inputs={}, facts={}, write_files=write_files
)
"""
SPARSE_BYTES = 2**27  # long enough under way to be killed on it; takes no disk at the source


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an artifact goes, in either kind of storage; nothing stands there."""
    return str(tmp_path / "place") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/place"


def write(location: str, contents: dict[str, bytes] = CONTENTS, **changes: Any) -> Artifact:
    def write_files(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    values: dict[str, Any] = {
        "kind": "dataset",
        "stage": "prepare_data",
        "code": "0123456789ab",
        "config": {"seed": 0, "test_fraction": 0.2},
        "inputs": {},
        "facts": {"name": "digits"},
        "write_files": write_files,
    }
    return artifacts.write(location, **{**values, **changes})


def change(location: str, name: str, edit: Callable[[bytes], bytes]) -> None:
    path = storage.join(location, name)
    storage.write_bytes(path, edit(storage.read_bytes(path)))


def edit_manifest(location: str, edit: Callable[[dict[str, Any]], object], *, signed: bool) -> None:
    """Changes the manifest, with the digest that belongs to the change or with the old one."""

    def edited(content: bytes) -> bytes:
        values = json.loads(content)
        edit(values)
        if signed:
            values.pop("digest")
            body = (json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
            values["digest"] = hashlib.sha256(body).hexdigest()
        return (json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    change(location, artifacts.MANIFEST, edited)


def set_manifest(content: bytes) -> Callable[[str], None]:
    return lambda location: change(location, artifacts.MANIFEST, lambda _: content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(location: str, kind: str = "dataset") -> None:
    with artifacts.opened(location, kind):
        pass


UNREADABLE = r"manifest\.json is not readable, expected JSON of an artifact: "
CHANGED = r"manifest\.json does not match its own digest; it was changed"
DAMAGES: dict[str, tuple[Callable[[str], object], str]] = {
    "truncated": (
        lambda at: change(at, "tensors.safetensors", lambda content: content[:-1]),
        r"expected 256 bytes in tensors\.safetensors, got 255; it is truncated",
    ),
    "one byte": (
        lambda at: change(at, "tensors.safetensors", lambda content: b"\x01" + content[1:]),
        r"the content of tensors\.safetensors is not what its manifest says; it was changed",
    ),
    "a missing file": (
        lambda at: storage.remove(storage.join(at, "a.json")),
        r"expected the file a\.json, found none; the artifact is incomplete",
    ),
    "no manifest": (
        lambda at: storage.remove(storage.join(at, "manifest.json")),
        r"expected an artifact, found no manifest\.json",
    ),
    "an empty manifest": (set_manifest(b""), UNREADABLE),
    "a manifest that is no JSON": (set_manifest(b"kind: dataset\n"), UNREADABLE),
    "half a manifest": (lambda at: change(at, "manifest.json", lambda content: content[:100]), UNREADABLE),
    "a manifest that is no text": (set_manifest(b"\xff\xfe\x00"), UNREADABLE),
    "a manifest that is a list": (set_manifest(b"[]"), UNREADABLE),
    "a manifest that is a word": (set_manifest(b'"digest"'), UNREADABLE),
    "a manifest without digest": (set_manifest(b'{"schema_version": 2}'), UNREADABLE + "'digest'"),
    "a manifest with NaN": (set_manifest(b'{"schema_version": 2, "digest": "", "kind": NaN}'), UNREADABLE),
    "a manifest with half a character": (
        set_manifest(b'{"schema_version": 2, "digest": "", "kind": "\\ud800"}'),
        UNREADABLE,
    ),
    "a manifest that never ends": (set_manifest(b"[" * 100_000), UNREADABLE),
    "an edited manifest": (
        lambda at: edit_manifest(at, lambda manifest: manifest["config"].update(seed=1), signed=False),
        CHANGED,
    ),
    "a manifest with other spaces": (lambda at: change(at, "manifest.json", lambda content: content + b"\n"), CHANGED),
    "another schema": (
        lambda at: edit_manifest(at, lambda manifest: manifest.update(schema_version=1), signed=True),
        "expected schema version 2, got 1",
    ),
    "a form of another program": (
        lambda at: edit_manifest(at, lambda manifest: manifest.pop("facts"), signed=True),
        r"manifest\.json is not that of an artifact: Field required",
    ),
    **{
        f"the file {name}": (
            lambda at, name=name: edit_manifest(  # type: ignore[misc]
                at, lambda manifest: manifest["files"].update({name: manifest["files"]["a.json"]}), signed=True
            ),
            "files: expected names of files below the artifact, got ",
        )
        for name in ("/etc/passwd", "../..", "../place/a.json", "a/../a.json", "./a.json", "", "a\\b", "manifest.json")
    },
    "another kind": (
        lambda at: edit_manifest(at, lambda manifest: manifest.update(kind="model"), signed=True),
        "expected an artifact of kind dataset, got one of kind model",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused_with_the_reason(tmp_path: Path, damage: str) -> None:
    refuse(str(tmp_path / "place"), damage)


def test_a_damaged_artifact_on_s3_is_refused_with_the_reason(s3_bucket: str) -> None:
    # what is found before the download, in the download, and after it; the rest is the same code as on a disk
    for number, damage in enumerate(("no manifest", "half a manifest", "another kind", "truncated", "a missing file")):
        refuse(f"{s3_bucket}/{number}", damage)


def refuse(place: str, damage: str) -> None:
    harm, reason = DAMAGES[damage]
    write(place)
    harm(place)
    with pytest.raises(ArtifactError, match=reason) as caught:
        read(place)
    assert str(caught.value).startswith(f"{place}: ")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_of_any_file_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "place"
    if not folder.exists():
        write(str(folder))
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = path.read_bytes()
    content = bytearray(whole)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        with pytest.raises(ArtifactError):
            read(str(folder))
    finally:
        path.write_bytes(whole)
    read(str(folder))


def test_what_is_no_artifact_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere: expected an artifact of kind dataset, found nothing"):
        read(str(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(ArtifactError, match=r"expected an artifact, found no manifest\.json"):
            read(str(place))
    with pytest.raises(InputError, match="a: expected a readable path, got 'File name too long'"):
        read("a" * 300)


def test_an_artifact_comes_back_as_it_was_written(place: str) -> None:
    environment = {"torch": "2.14.1", "device": "cpu"}
    written = write(place, {**CONTENTS, "figures/one.png": b""}, inputs={"dataset": ["d"]}, environment=environment)
    with artifacts.opened(place, "dataset") as found:
        assert {name: found.file(name).read_bytes() for name in CONTENTS} == CONTENTS
        assert found.file("figures/one.png").read_bytes() == b""
        assert found.digest == written.digest
        assert found.manifest == written.manifest
    assert artifacts.read_manifest(place) == written.manifest
    assert written.manifest.environment == environment


def test_all_that_decides_a_result_decides_its_fingerprint(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"stage": "another"},
        {"code": "another"},
        {"config": {"seed": 1}},
        {"inputs": {"dataset": ["d"]}},
        {"environment": {"device": "cpu"}},
        {"environment": {"device": "NVIDIA H100"}},
    ]
    written = [write(str(tmp_path / str(number)), **change).manifest for number, change in enumerate(changes)]
    assert len({manifest.fingerprint for manifest in written}) == len(changes)
    for one in written:
        assert one.fingerprint == artifacts.fingerprint(one.stage, one.code, one.config, one.inputs, one.environment)
    first = written[0]
    assert first.fingerprint == artifacts.fingerprint(first.stage, first.code, first.config, first.inputs)


def test_a_program_that_only_asks_what_an_artifact_is_imports_neither_pytorch_nor_boto3() -> None:
    code = "import sys, defensive_distillation.artifacts.arrays; sys.exit(bool({'torch', 'boto3'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_equal_work_gives_equal_bytes_wherever_it_lies(tmp_path: Path, s3_bucket: str) -> None:
    places = [str(tmp_path / "one"), str(tmp_path / "deep" / "two"), f"{s3_bucket}/three"]
    digests = {prepare_data.run(SMALL, output=place).digest for place in places}
    storage.download(places[2], tmp_path / "copy")
    assert len(digests) == 1
    assert contents(tmp_path / "one") == contents(tmp_path / "deep" / "two") == contents(tmp_path / "copy")


def test_the_order_in_which_files_are_written_does_not_matter(tmp_path: Path) -> None:
    one = write(str(tmp_path / "one"))
    two = write(str(tmp_path / "two"), dict(reversed(CONTENTS.items())), facts={"name": "digits"})
    assert one.digest == two.digest


def test_a_manifest_names_no_time_path_or_host(tmp_path: Path) -> None:
    prepare_data.run(SMALL, output=str(tmp_path / "one"))
    text = (tmp_path / "one" / artifacts.MANIFEST).read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {
        *(
            "schema_version",
            "kind",
            "stage",
            "version",
            "code",
            "config",
            "inputs",
            "environment",
            "facts",
            "files",
            "digest",
        )
    }


# Whole or not at all


def test_a_writer_that_fails_leaves_nothing(place: str, tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "a.json").write_bytes(b"{}")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write(place, write_files=fails)
    assert storage.list_names(place) == []
    assert list(tmp_path.iterdir()) == []
    write(place)
    read(place)


def test_a_killed_writer_leaves_no_artifact_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    place = tmp_path / "place"
    killed = subprocess.run([sys.executable, "-c", WRITER, str(place), "100", "die"])
    assert killed.returncode == -9
    assert [path.name for path in tmp_path.iterdir()] != [], "expected the draft of the killed writer"
    assert not place.exists()
    with pytest.raises(ArtifactError, match="expected an artifact of kind dataset, found nothing"):
        read(str(place))
    write(str(place))
    read(str(place))
    assert list(tmp_path.iterdir()) == [place]


def test_a_writer_killed_on_its_way_to_s3_leaves_no_artifact(
    s3_bucket: str, s3_client: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, bucket = f"{s3_bucket}/place", s3_bucket.removeprefix("s3://")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a process that is killed cannot clean up its temporary files
    process = subprocess.Popen([sys.executable, "-c", WRITER, place, str(SPARSE_BYTES), "live"])
    deadline = time.monotonic() + 60
    while not s3_client.list_multipart_uploads(Bucket=bucket).get("Uploads"):
        assert time.monotonic() < deadline, "expected the upload of a large file within 60 seconds"
        assert process.poll() is None, "expected to kill the process, found it had ended before"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9
    assert storage.list_names(place) == [".claim", "a.json"]
    with pytest.raises(ArtifactError, match=r"place: expected an artifact, found no manifest\.json"):
        read(place)
    with pytest.raises(InputError, match=r"found what another process is writing, or began to, meanwhile; .*remove"):
        write(place)
    assert write(place, code="c", config={}, facts={}).digest
    read(place)
    assert storage.list_names(place) == [*sorted(CONTENTS)[:1], artifacts.MANIFEST, *sorted(CONTENTS)[1:]]


def test_an_artifact_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    # A folder of mode 0700 would shut out the next stage, which may run as another user.
    before = os.umask(0o022)
    try:
        write(str(tmp_path / "place"))
    finally:
        os.umask(before)
    assert (tmp_path / "place").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "place" / artifacts.MANIFEST).stat().st_mode & 0o777 == 0o644


# The place of a result


def test_the_same_work_again_is_recognised_and_not_redone(place: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2")):
        path = source / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 60 * number, dtype=np.uint8)).save(path)
    config = of_images(PrepareDataConfig(source=str(source)))
    first = prepare_data.run(config, output=place)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("place/*")}
    shutil.rmtree(source)  # without it nothing could be done again
    assert prepare_data.run(config, output=place).digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("place/*")} == before
    source.mkdir()
    with pytest.raises(InputError, match="found a result of prepare_data with other settings"):
        prepare_data.run(config, output=place)  # other images lie there now


def test_a_damaged_result_is_not_taken_for_the_finished_one(place: str) -> None:
    prepare_data.run(SMALL, output=place)
    change(place, "tensors.safetensors", lambda content: content[:-1])
    with pytest.raises(ArtifactError, match="it is truncated"):
        prepare_data.run(SMALL, output=place)


def test_a_place_with_another_result_is_refused(place: str) -> None:
    first = prepare_data.run(SMALL, output=place)
    with pytest.raises(
        InputError, match=r"found a result of prepare_data with other settings, inputs, code or libraries"
    ) as caught:
        prepare_data.run(SMALL.model_copy(update={"seed": 1}), output=place)
    assert caught.value.exit_code == 2
    with artifacts.opened(place, "dataset") as found:
        assert found.digest == first.digest


def test_a_place_with_anything_else_is_refused_and_left_alone(tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    before = contents(tmp_path)
    for name in ("folder", "file"):
        with pytest.raises(InputError, match=f"{name}: expected a place where nothing stands, found other files"):
            prepare_data.run(SMALL, output=str(tmp_path / name))
    assert contents(tmp_path) == before
    for place in (s3_bucket, f"{s3_bucket}/"):
        with pytest.raises(InputError, match="expected s3://bucket/prefix to write to, got a whole bucket"):
            prepare_data.run(SMALL, output=place)
    assert storage.list_names(s3_bucket) == []


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    prepare_data.run(SMALL, output=str(tmp_path))
    read(str(tmp_path))


def test_unfinished_work_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 50}
    output, dataset = str(tmp_path / "model"), str(tmp_path / "dataset")
    prepare_data.run(SMALL, output=dataset)
    with pytest.raises(TrainingError, match="near chance"):
        train_teacher.run(TrainTeacherConfig(**quick, minimum_progress=0.999), dataset=dataset, output=output)
    assert list(tmp_path.rglob("checkpoint.safetensors")), "expected a checkpoint beside the output"
    slow = TrainTeacherConfig(**quick, minimum_progress=0, learning_rate=0.001)
    found = train_teacher.run(slow, dataset=dataset, output=output)
    fresh = train_teacher.run(slow, dataset=dataset, output=str(tmp_path / "fresh"))
    assert found.digest == fresh.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "fresh", "model"]


@pytest.mark.parametrize("name", ["thesis", "**", "*", "[a-z]*", "thesis?", ".thesis"])
def test_nothing_of_the_users_beside_an_output_is_removed(tmp_path: Path, name: str) -> None:
    kept = [
        f"{name}.work/chapter.txt",
        "thesis.work/chapter.txt",
        ".thesis.draft-1/chapter.txt",
        f".{name}.unfinished/chapter.txt",
        f".{name}.draft-two/chapter.txt",
    ]
    for file in kept:
        storage.write_bytes(str(tmp_path / file), b"a year's work")
    storage.write_bytes(str(tmp_path / f".{name}.unfinished" / ("0" * 32) / "checkpoint"), b"ours")
    if name == "thesis":
        kept.remove(".thesis.draft-1/chapter.txt")  # a killed writer's
    prepare_data.run(SMALL, output=str(tmp_path / name))
    names = storage.list_names(str(tmp_path))
    assert sorted(file for file in names if not file.startswith(f"{name}/")) == sorted(set(kept))
    assert not (tmp_path / f".{name}.unfinished" / ("0" * 32)).exists()


def test_the_draft_of_a_living_writer_is_left_to_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with drafts.draft(place) as first, drafts.draft(place) as second:
        drafts.remove_all_abandoned(tmp_path)
        assert first != second
        assert first.is_dir()
    (tmp_path / "attempt/.place.draft-7").mkdir(parents=True)
    drafts.remove_all_abandoned(tmp_path)
    (tmp_path / "attempt").rmdir()
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_of_one_result_both_have_it_and_of_two_results_one_is_refused(place: str) -> None:
    def meanwhile(other: dict[str, Any]) -> Callable[[Path], None]:
        def write_files(folder: Path) -> None:
            (folder / "a.json").write_bytes(b"{}")
            if not artifacts.exists(place):
                write(place, {"a.json": b"{}"}, **other)

        return write_files

    digest = write(place, write_files=meanwhile({})).digest
    with artifacts.opened(place, "dataset") as artifact:
        assert artifact.digest == digest
    storage.remove(place)
    with pytest.raises(InputError, match="place: expected a place where nothing stands, found what another process"):
        write(place, write_files=meanwhile({"config": {"another": 1}}))
    with artifacts.opened(place, "dataset") as artifact:
        assert artifact.manifest.config == {"another": 1}


@pytest.mark.parametrize("same", [True, False], ids=["the same", "another"])
def test_of_two_who_upload_at_once_none_spoils_what_the_other_has(s3_bucket: str, same: bool) -> None:
    both = threading.Barrier(2)

    def one(seed: int) -> Artifact | Exception:
        def write_files(folder: Path) -> None:
            for name in "abcdefgh":
                (folder / name).write_bytes(bytes([seed]) * 2**18)
            both.wait(timeout=60)

        try:
            return write(f"{s3_bucket}/place", config={"seed": seed}, write_files=write_files)
        except InputError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, (1, 1 if same else 2)))
    made = [result for result in results if isinstance(result, Artifact)]
    refused = [str(result) for result in results if isinstance(result, InputError)]
    assert (len(made), len(refused)) == ((2, 0) if same else (1, 1)), results
    expected = r".*/place: expected a place where nothing stands, found what another process (wrote|is writing).*"
    assert all(re.fullmatch(expected, line) for line in refused), refused
    with artifacts.opened(f"{s3_bucket}/place", "dataset") as found:
        assert {found.digest} == {one.digest for one in made}
    assert ".claim" not in storage.list_names(f"{s3_bucket}/place")


def test_a_file_that_the_manifest_does_not_vouch_for_is_not_read(tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    write(place)
    edit_manifest(place, lambda manifest: manifest.update(files={}), signed=True)
    missing = pytest.raises(ArtifactError, match=r"expected tensors\.safetensors among the files of its manifest")
    with artifacts.opened(place, "dataset") as artifact, missing:
        read_arrays(artifact)


# No pickle


def _sources() -> list[Path]:
    packages = (defensive_distillation, defensive_distillation_pipelines)
    return [path for package in packages for path in Path(package.__path__[0]).rglob("*.py")]


def test_no_source_can_pickle() -> None:
    forbidden = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.load"}
    forbidden |= {"torch.save", "torch.jit", "torch.package", "numpy.load", "np.load", "numpy.save", "np.save"}
    found = set()
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
            if isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            if isinstance(node, ast.Name | ast.keyword):
                names = [getattr(node, "id", None) or getattr(node, "arg", None) or ""]
            found |= {(path.name, name) for name in names if name in forbidden or name == "allow_pickle"}
    assert len(_sources()) > 40
    assert found == {("import_model.py", "torch.load")}  # of checkpoints that somebody trusts, and of tensors alone
    sources = [path for path in _sources() if path.name == "import_model.py"]  # one of settings, and the stage
    calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    (loading,) = [call for call in calls if ast.unparse(call.func) == "torch.load"]
    assert "weights_only=True" in [ast.unparse(keyword) for keyword in loading.keywords]
