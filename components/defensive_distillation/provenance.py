"""Who runs which code with which command: what stands beside a result so that somebody can get it again."""

from __future__ import annotations

import functools
import getpass
import os
import shlex
import subprocess
import sys
from pathlib import Path

COMMAND = "DEFDISTILL_COMMAND"  # the command line, told to the processes that it starts
COMMIT = "DEFDISTILL_COMMIT"  # of git, told to an image that has no repository


def command() -> str:
    """The command line that this process, or the one that started it, was called by; '' in a library or a cluster."""
    return os.environ.get(COMMAND, "")


def told_to_children(program: str) -> None:
    """Tells the processes that this one starts by which command it was called: `program` and its arguments."""
    os.environ[COMMAND] = shlex.join([program, *sys.argv[1:]])


@functools.cache
def commit() -> str:
    """The git commit of this code, with '-changed' where files differ from it; '' where nobody knows."""
    if told := os.environ.get(COMMIT, ""):
        return told
    folder = Path(__file__).resolve().parent
    # an installed copy in an environment below somebody's repository is none of its files
    if not _git(folder, "ls-files", "--error-unmatch", Path(__file__).name):
        return ""
    changed = _git(folder, "status", "--porcelain", "--", ".")
    return _git(folder, "rev-parse", "HEAD") + ("-changed" if changed else "")


def user() -> str:
    """Who runs this, '' where the system has no name for them, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
