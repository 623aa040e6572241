"""Runs another program so that it finds neither this project's modules nor a network.

Started by `sandbox`, never imported: ``python -I guard.py LIMITS PROGRAM ARGUMENT...``, LIMITS
being a JSON object of resource limits by name. What is refused here is refused to Python code;
native code is held by the operating system, where it can be.
"""

import contextlib
import json
import resource
import runpy
import sys

PROJECT = ("scripts", "trainers", "interventions")  # installed in place, so that -I finds them
NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
           "socket.sendto", "socket.sendmsg", "urllib.Request", "http.client.connect")  # fmt: skip


class Alone:
    """Finds no module of the project."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        """As `importlib.abc.MetaPathFinder.find_spec`."""
        if name.partition(".")[0] in PROJECT:
            raise ModuleNotFoundError(f"{name} is no part of the submission", name=name)


def refuse_network(event: str, _: object) -> None:
    """Audit hook (PEP 578)."""
    if event in NETWORK:
        raise PermissionError(f"there is no network here: {event}")


def limit(bounds: dict[str, int]) -> None:
    """Lower this process's limits for good, for itself and all that it starts."""
    for name, bound in bounds.items():
        what = getattr(resource, name)
        hard = resource.getrlimit(what)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        with contextlib.suppress(ValueError, OSError):  # a Mac refuses some
            resource.setrlimit(what, (value, value))


if __name__ == "__main__":
    limit(json.loads(sys.argv[1]))
    sys.argv = sys.argv[2:]
    sys.path.insert(0, ".")  # the folder alone
    sys.meta_path.insert(0, Alone)
    sys.addaudithook(refuse_network)
    runpy.run_path(sys.argv[0], run_name="__main__")
