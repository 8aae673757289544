"""A real MLflow server for the tests, on a free loopback port, and a gate before it that can shut.

Nothing is installed or left: the server is killed with everything it started, even where the tests are.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_START_SECONDS = 90

# Linux: the kernel ends a process with the one that started it (PR_SET_PDEATHSIG, SIGKILL). `mlflow server` starts
# another process, so all of them read this.
_SITECUSTOMIZE = "import ctypes, sys\nsys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9)\n"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Starts a server on `folder/mlflow.db`, which may be there already; its address, until the body ends.

    Raises:
        RuntimeError: it did not come up; the message has what it said.
    """
    (folder / "site").mkdir(parents=True, exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/served"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": f"{folder}/site",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for_health(folder, port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nothing is worth saving
        process.wait()


@contextmanager
def answering(head: bytes, *, slowly: bool = False) -> Iterator[str]:
    """The address of a server that answers every request with `head`; slowly: and then with a byte a tenth second."""

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            client.sendall(head)
            while slowly:
                client.sendall(b" ")
                time.sleep(0.1)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class Gate:
    """An address that leads to a server, or to nothing, or to one that listens and never answers."""

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._port = _free_port()
        self._open: list[socket.socket] = []
        self._lock = threading.RLock()
        self._answers = True
        self._cut_at: tuple[bytes, int] | None = None
        self._lose: bytes | None = None
        self.address = f"http://127.0.0.1:{self._port}"
        self.open()

    def open(self) -> None:
        """Leads to the server."""
        self.shut()
        self._answers = True
        listener = socket.create_server(("127.0.0.1", self._port))
        self._open = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def silence(self) -> None:
        """Takes connections and requests, and never answers."""
        self.open()
        self._answers = False

    def shut(self) -> None:
        """Cuts all connections and takes no more."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            self._open = []
            self._cut_at = None

    def shut_at(self, request: str, number: int) -> None:
        """Shuts when it sees the request line `request` the `number`th time from now, before the server does."""
        self._cut_at = (request.encode(), number)

    def lose_answer(self, request: str) -> None:
        """Lets the next request with the line `request` reach the server, and cuts the connection before its answer."""
        self._lose = request.encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shut()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # shut
            while True:
                client = listener.accept()[0]
                with self._lock:
                    self._open.append(client)
                if not self._answers:
                    continue
                server = socket.create_connection(self._server)
                with self._lock:
                    self._open.append(server)
                lost = threading.Event()  # whether the answer to come is
                for source, sink, back in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass_on, args=(source, sink, lost, back), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, lost: threading.Event, back: bool) -> None:
        with contextlib.suppress(OSError):  # shut
            while content := source.recv(65536):
                if self._is_cut(content):
                    self.shut()
                    return
                if back and lost.is_set():
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                if self._lose and self._lose in content:
                    self._lose = None
                    lost.set()
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)

    def _is_cut(self, content: bytes) -> bool:
        with self._lock:
            if self._cut_at is None or self._cut_at[0] not in content:
                return False
            self._cut_at = (self._cut_at[0], self._cut_at[1] - 1)
            return self._cut_at[1] == 0


def _wait_for_health(folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    said = (folder / "server.log").read_text(errors="replace")
    raise RuntimeError(f"MLflow server: expected it to be healthy (exit {process.poll()}), got:\n{said}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
