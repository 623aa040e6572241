"""A real PostgreSQL server of the test's own: Debian's binaries, a socket, nothing on a port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

DEBIAN = "/usr/lib/postgresql/*/bin"


def binaries():
    """The folder of initdb and pg_ctl, newest release first; None where there is none."""
    installed = sorted(Path("/").glob(DEBIAN.strip("/")), reverse=True)
    on_path = shutil.which("pg_ctl")
    if on_path:
        installed.append(Path(on_path).resolve().parent)
    return next((place for place in installed if (place / "initdb").exists()), None)


def user():
    """Somebody who is not root, whom PostgreSQL refuses; None where we are not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


class Server:
    """Started on making; `close` stops it and removes its files."""

    def __init__(self, programs):
        self.programs, self._numbers = programs, count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's name has 107 bytes
        if user():
            shutil.chown(self.folder, user())
        self._run("initdb", "-D", "data", "-U", "golf", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def new_database(self):
        """URL of an empty database."""
        name = f"ledger{next(self._numbers)}"
        self._run("createdb", "-h", self.folder, "-U", "golf", name)
        return f"postgresql://golf@/{name}?host={self.folder}"

    def restart(self):
        """Stop in the middle of whatever is going on, recover, and serve again."""
        self.stop()
        self.start()

    def stop(self):
        """Stop at once, as by a cut of power."""
        self._run("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def start(self):
        """Serve again."""
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", self._options())

    def close(self):
        """Stop, leaving nothing."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _options(self):
        # Commits reach the log, as everywhere, so that `stop` loses none; only the disk is spared.
        return f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"

    def _run(self, program, *arguments):
        with (self.folder / "errors").open("ab") as errors:
            subprocess.run(
                [self.programs / program, *arguments],
                cwd=self.folder,
                user=user(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=True,
                timeout=60,
            )
