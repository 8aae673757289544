"""A real S3 server for the tests: OpenStack Swift with its s3api, four processes on free loopback ports.

Nothing is installed or left: all state is in a temporary folder, which must be on a file system with extended
attributes (ext4, xfs). It runs as whoever runs the tests.
"""

from __future__ import annotations

import http.client
import os
import pwd
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LISTING_PAGE = 3
"""Keys in one page of a listing: few, so that listings of more than one page are cheap to test."""

_START_SECONDS = 60

# Linux: the kernel ends the server with the tests, even where those are killed (PR_SET_PDEATHSIG, SIGKILL).
_DIE_WITH_PARENT = "import ctypes, sys; sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9)"

_RINGS = """
import sys
from swift.common.ring import RingData
for kind, port in zip(("account", "container", "object"), sys.argv[2:]):
    device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1.0}
    RingData([[0] * 4], [device], 30).save(f"{sys.argv[1]}/{kind}.ring.gz")
"""

_DEFAULTS = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {root}
devices = {root}/devices
mount_check = false
workers = 0
disable_fallocate = true
fallocate_reserve = 0
log_level = ERROR
"""

_BACKEND = """
[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """
[pipeline:main]
pipeline = catch_errors s3api tempauth slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:s3api]
use = egg:swift#s3api
location = {region}
max_bucket_listing = {listing_page}

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret_key} .admin
user_test_stranger = {secret_key}

[filter:slo]
use = egg:swift#slo
"""


@dataclass(frozen=True)
class S3Server:
    """Where the server is and who may use it."""

    endpoint: str
    secret_key: str = field(repr=False)
    access_key: str = "test:tester"
    stranger_access_key: str = "test:stranger"  # has the same secret and no rights
    region: str = "eu-test-1"

    def environment(self) -> dict[str, str]:
        """The variables that point an AWS client here, and away from any configuration of the machine."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def running() -> Iterator[S3Server]:
    """Start a server, wait until it answers, stop it however the body ends.

    Raises:
        RuntimeError: it did not come up; the message has what its processes said.
    """
    with tempfile.TemporaryDirectory(prefix="s3-server-") as name, ExitStack() as stack:
        root = Path(name)
        ports = dict(zip(("account", "container", "object", "proxy"), _free_ports(4), strict=True))
        server = S3Server(endpoint=f"http://127.0.0.1:{ports['proxy']}", secret_key=secrets.token_hex(16))
        _write_configuration(root, ports, server)
        processes = {kind: stack.enter_context(_process(root, kind)) for kind in ports}
        for kind, port in ports.items():
            _wait_for_answer(root, kind, port, processes[kind])
        yield server


def _write_configuration(root: Path, ports: dict[str, int], server: S3Server) -> None:
    (root / "devices" / "disk").mkdir(parents=True)
    (root / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    user = pwd.getpwuid(os.getuid()).pw_name
    for kind, port in ports.items():
        rest = _PROXY if kind == "proxy" else _BACKEND
        text = (_DEFAULTS + rest).format(
            kind=kind, port=port, user=user, root=root, listing_page=LISTING_PAGE,
            region=server.region, secret_key=server.secret_key,
        )  # fmt: skip
        (root / f"{kind}.conf").write_text(text)
    backends = [str(ports[kind]) for kind in ("account", "container", "object")]
    made = subprocess.run([sys.executable, "-c", _RINGS, str(root), *backends], capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"S3 server: expected rings, got:\n{made.stderr}")


@contextmanager
def _process(root: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    module = {"object": "obj"}.get(kind, kind)
    program = f"{_DIE_WITH_PARENT}; from swift.{module}.server import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", program, str(root / f"{kind}.conf")]
    with (root / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()  # nothing is worth saving, and the kernel does not ask
        process.wait()


def _wait_for_answer(root: Path, kind: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    said = (root / f"{kind}.log").read_text(errors="replace")
    raise RuntimeError(f"S3 server: expected an answer of its {kind} process (exit {process.poll()}), got:\n{said}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
