"""A server that speaks JSON over HTTP, and its refusals as errors that say what to do.

Kubeflow's own client is not used: it asks a host that is down five times, with a traceback each, writes settings into
the home folder, and has no time limit on any request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from defensive_distillation.errors import ClusterError

CONNECT, READ = 5.0, 30.0  # seconds
_HELD_UP = frozenset({429, 500, 502, 503, 504})  # answers that the next attempt may not get


class UnreachableError(ClusterError):
    """No answer: the host is down, the name unknown, the connection cut."""


class RefusedError(ClusterError):
    """An answer that is not the one asked for."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason  # the server's own words


class Server:
    """One server, with the same credentials for every request.

    Args:
        name: what people call it, at the start of every message.
        url: where it is, without the last slash.
        headers: for every request, made anew for each since tokens expire.
        hint: what to check where it does not answer, or not as expected.
        verify: whether certificates are checked, or the file with the authority's.
        certificate: the client's own certificate and key.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        hint: str,
        verify: bool | str = True,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.url = name, url.rstrip("/")
        self._headers, self._hint = headers, hint
        # said with every request: requests takes REQUESTS_CA_BUNDLE rather than what a session says
        self._verify = None if verify is True else verify
        self._session = requests.Session()
        self._session.cert = certificate

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer to a GET.

        Raises:
            UnreachableError: without an answer.
            RefusedError: with another than 200 and JSON.
        """
        return self._json(self._asked("GET", path, params=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a POST of JSON; raises as `get`."""
        return self._json(self._asked("POST", path, json=body or {}))

    def delete(self, path: str) -> dict[str, Any]:
        """The answer to a DELETE; raises as `get`."""
        return self._json(self._asked("DELETE", path))

    def upload(self, path: str, file: str, content: bytes, **query: Any) -> dict[str, Any]:
        """The answer to a POST of a file, as forms send it; raises as `get`."""
        return self._json(self._asked("POST", path, params=query, files={"uploadfile": (file, content)}))

    def text(self, path: str, **query: Any) -> str:
        """The answer to a GET, whatever it is; raises as `get`."""
        answer = self._asked("GET", path, params=query)
        answer.encoding = "utf-8"
        return answer.text

    def _asked(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                self.url + path,
                headers=dict(self._headers()),
                timeout=(CONNECT, READ),
                allow_redirects=False,
                verify=self._verify,
                **arguments,
            )
        except requests.exceptions.RequestException as error:
            raise self._no_answer(error) from error
        if answer.status_code >= 300:
            raise self._refusal(answer)
        return answer

    def _json(self, answer: requests.Response) -> dict[str, Any]:
        try:
            value = json.loads(answer.content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            kind = answer.headers.get("content-type", "").partition(";")[0] or "nothing"
            raise RefusedError(f"{self._at}: expected its API, got {kind}: {self._hint}", answer.status_code, "")
        return value

    @property
    def _at(self) -> str:
        return f"{self.name} at {self.url}"

    def _no_answer(self, error: requests.exceptions.RequestException) -> ClusterError:
        if isinstance(error, requests.exceptions.SSLError):
            return ClusterError(
                f"{self._at}: expected a certificate that can be checked, got: {_cause(error)}; "
                "REQUESTS_CA_BUNDLE names the file with its authority"
            )
        if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
            return UnreachableError(f"{self._at}: no answer ({_cause(error)}): {self._hint}")
        return ClusterError(f"{self._at}: expected an address, got: {_cause(error)}: {self._hint}")

    def _refusal(self, answer: requests.Response) -> RefusedError:
        status, reason = answer.status_code, _words(answer)
        if status == 401 or status < 400:  # gateways send to a login page
            text = "the credentials are missing, wrong or expired: renew the token or cookies"
        elif status == 403:
            text = f"no rights: {reason}" if reason else "the credentials have no rights here"
        elif status == 404 and not reason:
            text = f"expected its API, found nothing at this address: {self._hint}"
        else:
            text = reason or f"answered {status} {answer.reason}"
        return RefusedError(f"{self._at}: {text}", status, reason)


def held_up(error: ClusterError) -> bool:
    """Whether the next attempt may succeed."""
    return isinstance(error, UnreachableError) or (isinstance(error, RefusedError) and error.status in _HELD_UP)


def _words(answer: requests.Response) -> str:
    """What the server says of its refusal: the last of the sentences that Kubeflow strings together."""
    try:
        told = json.loads(answer.content)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    details = [one.get("message", "") for one in told.get("details") or () if isinstance(one, dict)]
    message = str(told.get("message") or told.get("error_message") or "")
    inner = next((text for text in details if text and text != "Internal Server Error"), "")
    return " ".join((inner or message).split())


def _cause(error: BaseException) -> str:
    """Why there was no answer, without what three libraries say about it."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ReadTimeout):
        return "time ran out"
    cause: BaseException | None = error
    words = ""
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return words or str(error).splitlines()[0][:200]
