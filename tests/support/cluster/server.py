"""An HTTP server on a loopback port that answers as it is told, and can fail in the ways that servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # by lower-case names
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.content)


@dataclass(frozen=True)
class Answer:
    """What is said."""

    status: int
    content: Any  # a text goes as it is, everything else as JSON
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


CUT = Answer(0, "")  # the connection is cut instead of an answer


class StandIn:
    """Answers requests; `first` are answered before everything else, one a request."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[Request] = []
        self.first: list[Answer] = []

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        raise NotImplementedError

    def lines(self) -> list[str]:
        """What was asked, as METHOD PATH."""
        return [f"{request.method} {request.path}" for request in self.asked]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listens on a free port within the block."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._handle()

            def do_POST(self) -> None:
                self._handle()

            def do_DELETE(self) -> None:
                self._handle()

            def _handle(self) -> None:
                parts = urlsplit(self.path)
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, content)
                stand_in.asked.append(request)
                told = stand_in.first.pop(0) if stand_in.first else stand_in.answer(request)
                if told is CUT:
                    self.close_connection = True
                    return
                text = told.content if isinstance(told.content, str) else json.dumps(told.content)
                self.send_response(told.status)
                for name, value in {"content-type": told.kind, **told.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: Any) -> None:
                """Nothing is printed."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.address = f"http://127.0.0.1:{server.server_port}"
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()
