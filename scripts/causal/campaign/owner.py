"""Who holds a claim, and whether they still live: so that dead owners' work is taken over."""

from __future__ import annotations

import functools
import os
import platform
import secrets
import subprocess
from pathlib import Path

from scripts.causal.files import digest

SEPARATOR = "|"


def this_owner() -> str:
    """Return a new name for a worker of this process: host, process id, start time, token.

    The start time tells the process from a later one that was given the same id; the token tells
    workers of one process apart.
    """
    pid = os.getpid()
    return SEPARATOR.join((_host(), str(pid), _started(pid) or "", secrets.token_hex(4)))


def is_gone(owner: str, heartbeat: float, lease: float, now: float) -> bool:
    """Whether the owner can no longer finish what it claimed.

    On this host the process table knows; a process that is there may take as long as it likes.
    For another host, only its heartbeat tells: gone when that is older than the lease.

    Args:
        owner: as `this_owner` named it.
        heartbeat: when it last showed itself, seconds since the epoch.
        lease: seconds that a heartbeat is good for.
        now: seconds since the epoch.
    """
    parts = owner.split(SEPARATOR)
    if len(parts) != 4 or parts[0] != _host() or not parts[1].isdigit():
        return now - heartbeat > lease
    return _started(int(parts[1])) != (parts[2] or None)


@functools.cache
def _host() -> str:
    # Containers may share a host name but not their processes, and ids start anew with a boot:
    # only where all three agree may a process id be looked up.
    namespace, boot = Path("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id")
    try:
        place = digest(str(namespace.readlink()), boot.read_text())[:8]
    except OSError:
        place = "local"
    return f"{platform.node()}-{place}".replace(SEPARATOR, "-")


def _started(pid: int) -> str | None:
    """When the process began, in the system's own words; None when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return None if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str | None:
    # macOS has no /proc. LC_ALL fixes the form of the date.
    listing = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.split(maxsplit=1)
    return listing[1].strip() if len(listing) == 2 and "Z" not in listing[0] else None
