"""What a server said of one thing: the thing, that there is none, or why it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from defensive_distillation.errors import ClusterError, first_line
from defensive_distillation_pipelines.cluster.server import RefusedError, Server


@dataclass(frozen=True)
class Answer:
    """`value` is the thing where `absent` is false and `why` empty."""

    value: dict[str, Any] = field(default_factory=dict)
    absent: bool = False
    why: str = ""

    @property
    def known(self) -> bool:
        """Whether there is something to look at."""
        return not self.absent and not self.why

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of a list."""
        return list(self.value.get("items") or ())


class Asking:
    """Asks a server, or says for everything why there is none to ask."""

    def __init__(self, server: Server | None, why_not: str = "") -> None:
        self._server, self._why_not = server, why_not

    def get(self, path: str, **query: Any) -> Answer:
        """The answer to a GET."""
        return self._answer(lambda server: server.get(path, **query))

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """The answer to a POST."""
        return self._answer(lambda server: server.post(path, body))

    def _answer(self, ask: Any) -> Answer:
        if self._server is None:
            return Answer(why=self._why_not)
        try:
            return Answer(ask(self._server))
        except RefusedError as error:
            return Answer(absent=True) if error.status == 404 else Answer(why=first_line(error))
        except ClusterError as error:
            return Answer(why=first_line(error))
