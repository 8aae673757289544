"""Addresses as they may be shown and stored: without users, passwords and tokens."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"
_PLACES = {"s3", "minio", "file", "sqlite", "models", "runs"}  # schemes whose paths may hold an '@' or a '?'
_ADDRESS = re.compile(r"\b[a-zA-Z][\w+.-]*://[^\s'\"<>,;]+")
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*")
_VARIABLE = re.compile(r"URI|URL|ENDPOINT|PROXY", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """`text` in which no address shows whose it is or how it is opened.

    Users and passwords of addresses and the values of their queries are replaced by '***'. An address of the
    environment is known as a whole, whatever its password holds; of others, what stands before the last '@'.
    """
    for address in _of_environment():
        text = text.replace(address, shown(address))
    return _ADDRESS.sub(lambda found: shown(found[0]), text)


def shown(address: str) -> str:
    """An address without user, password and the values of its query; that of a place only without the first two.

    A password may hold any character, as people write it, '/' and '@' as well: all before the last '@' is taken as its.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return address
    if scheme.lower().partition("+")[0] in _PLACES:
        name, slash, path = rest.partition("/")
        return f"{scheme}://{_host(name)}{slash}{path}"
    parts = urlsplit(f"{scheme}://{_host(rest)}")
    named = [part.partition("=") for part in parts.query.split("&") if part]
    return urlunsplit(parts._replace(query="&".join(f"{name}={HIDDEN}" if sign else HIDDEN for name, sign, _ in named)))


def has_secrets(address: str) -> bool:
    """Whether an address names a user, a password or a token."""
    return shown(address) != address


def _host(rest: str) -> str:
    user, at, host = rest.rpartition("@")
    return f"{HIDDEN}@{host}" if at and user != HIDDEN else rest


def _of_environment() -> list[str]:
    """The addresses of the environment that have a secret, the longest first: one may be the beginning of another."""
    values = {value for name, value in os.environ.items() if _VARIABLE.search(name) and "://" in value}
    return sorted(filter(has_secrets, values), key=len, reverse=True)
