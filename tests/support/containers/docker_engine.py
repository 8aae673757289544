"""A stand-in for Docker's engine: it answers as the real one does when a container is gone as soon as it has started.

It runs nothing: what it was asked for is kept, for a test to look at. tests/docker has the real one.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IMAGE = "steps:1.0"
DIGEST = "sha256:" + "ab" * 32


class Engine:
    """What it was asked for, in the order of the requests."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.address = ""

    def answer(self, method: str, path: str, content: dict[str, Any]) -> tuple[int, Any]:
        """Status and content of the answer, as Docker's API 1.41 has them."""
        place = re.sub(r"^/v[\d.]+", "", path).partition("?")[0]
        image = {"Id": DIGEST, "RepoTags": [IMAGE], "RepoDigests": []}
        container = {"Id": "c0ffee", "Config": {"Tty": False}, "State": {"Status": "running"}}
        if (method, place) == ("POST", "/containers/create"):
            self.created.append(content)
            return 201, {"Id": "c0ffee", "Warnings": []}
        if method == "DELETE":
            self.removed.append(place)
            return 204, None
        known = {
            ("GET", "/version"): {"ApiVersion": "1.41", "MinAPIVersion": "1.12"},
            ("GET", "/info"): {"Runtimes": {"runc": {}}, "SecurityOptions": []},
            ("GET", f"/images/{IMAGE}/json"): image,
            ("GET", f"/images/{DIGEST}/json"): image,
            ("GET", "/images/json"): [image],
            ("GET", "/networks"): [{"Id": "1", "Name": "bridge"}, {"Id": "2", "Name": "host"}],
            ("GET", "/containers/json"): [{"Id": "c0ffee"}] if self.created else [],
            ("GET", "/containers/c0ffee/json"): container,
            ("POST", "/containers/c0ffee/start"): None,
        }
        if (method, place) in known:
            return (204 if known[method, place] is None else 200), known[method, place]
        if place.startswith("/containers/"):
            return 404, {"message": "No such container: c0ffee"}  # removed by itself: its end cannot be asked for
        return 404, {"message": f"No such image: {place}"}


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """The engine, at `address`, until the body ends."""
    engine = Engine()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = engine.answer(self.command, self.path, json.loads(content or b"{}"))
            body = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        engine.address = f"tcp://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield engine
        finally:
            server.shutdown()
