"""A server of objects that drips is given up within one limit; one that is only slow is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from defensive_distillation.alarm import ended_within
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.storage import s3
from defensive_distillation.errors import StorageError
from support import mlflow_server

MANIFEST = "manifest.json"
PLACE = "s3://bucket/place"
LIMIT = 2.0  # seconds
STEP = 2**16  # bytes that the steady server takes and gives at a time
PAUSE = 1 / 16  # seconds between them
LARGE = 20 * 2**20  # bytes: more than systems keep for a peer that does not take them, and three parts

Action = Callable[[Path], object]
ACTIONS: dict[str, Action] = {
    "exists": lambda _: storage.exists(PLACE),
    "read": lambda _: storage.read_bytes(PLACE),
    "write": lambda _: storage.write_bytes(PLACE, b"small"),
    "write in parts": lambda _: storage.write_bytes(PLACE, bytes(LARGE)),
    "create": lambda _: storage.created(PLACE, b"small"),
    "list": lambda _: storage.list_names(PLACE),
    "remove": lambda _: storage.remove(PLACE),
    "download": lambda folder: storage.download(PLACE, folder / "copy"),
    "download a file": lambda folder: storage.download_file(PLACE, folder / "copy"),
    "upload": lambda folder: storage.upload(folder, PLACE, last=MANIFEST),
}
ANSWERS = {
    "head": b"HTTP/1.1 200 OK\r\nETag: ",
    "body": b"HTTP/1.1 200 OK\r\nETag: tag\r\nContent-Length: 1000000\r\n\r\n",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "LIMIT", LIMIT)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / MANIFEST).write_bytes(b"{}")
    return tmp_path


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "exists"])
def test_a_server_that_drips_is_given_up(
    answer: str, action: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = r"S3 endpoint http://127.*: expected an answer, got no whole answer within 2 s: check AWS_ENDPOINT_URL_S3"
    with mlflow_server.answering(ANSWERS[answer], slowly=True) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        begin = time.monotonic()
        with pytest.raises(StorageError, match=said):
            ACTIONS[action](folder)
        assert LIMIT <= time.monotonic() - begin < LIMIT + 3
    assert [path.name for path in folder.iterdir()] == [MANIFEST]


def test_whether_an_object_is_there_is_not_asked_of_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow_server.answering(ANSWERS["body"], slowly=True) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert storage.exists(PLACE)
    with mlflow_server.answering(ANSWERS["head"], slowly=True) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(StorageError, match="got no whole answer within 2 s"):
            storage.exists(PLACE)


class Server(BaseHTTPRequestHandler):
    """Gives and takes a step at a time."""

    protocol_version = "HTTP/1.1"
    content = b"".join(bytes([number % 256]) * STEP for number in range(112))  # seven seconds
    taken = b""

    def do_GET(self) -> None:
        self._answer(len(self.content))
        for start in range(0, len(self.content), STEP):
            self.wfile.write(self.content[start : start + STEP])
            time.sleep(PAUSE)

    def do_PUT(self) -> None:
        taken = bytearray()
        while len(taken) < int(self.headers["Content-Length"]):
            taken += self.rfile.read(min(STEP, int(self.headers["Content-Length"]) - len(taken)))
            time.sleep(PAUSE)
        type(self).taken = bytes(taken)
        self._answer(0)

    def _answer(self, size: int) -> None:
        self.send_response(200)
        self.send_header("ETag", "tag")
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def steady() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_is_slow_but_steady_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with steady() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        begin = time.monotonic()
        storage.download_file(PLACE, folder / "copy")
        assert time.monotonic() - begin > 3 * LIMIT
        assert (folder / "copy").read_bytes() == Server.content
        monkeypatch.setattr(s3, "LIMIT", 3 * LIMIT)  # what the two systems hold, up to 4 MiB, is out of sight
        begin = time.monotonic()
        storage.write_bytes(PLACE, Server.content)
        assert time.monotonic() - begin > 3 * LIMIT
        assert Server.taken == Server.content


def test_a_block_in_another_leaves_it_its_time() -> None:
    def inner() -> None:
        with pytest.raises(TimeoutError, match=r"within 0\.2 s"), ended_within(0.2):
            time.sleep(5)
        time.sleep(5)

    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.6 s"), ended_within(0.6):
        inner()
    assert 0.6 <= time.monotonic() - begin < 4


def test_an_alarm_passes_what_takes_every_error_for_a_broken_connection() -> None:
    def stubborn() -> None:
        while True:
            try:
                time.sleep(5)
            except Exception:
                continue

    with pytest.raises(TimeoutError), ended_within(0.2):
        stubborn()
