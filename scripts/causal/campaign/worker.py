"""A worker process: ``python -m scripts.causal.campaign.worker``, started by `pool`.

Lines of JSON come in on standard input, lines of JSON go out on standard output. The first line
in names ledger and trainer, every other one a run. The worker stays warm from run to run and ends
with its parent, however that ends: the kernel then closes the pipe.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any, TextIO

from scripts.causal.campaign.serving import Server
from scripts.causal.files import InputError

REPORT_SECONDS = 0.25


def main() -> None:
    """Serve runs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    outbox = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not break the protocol
    inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    try:
        setup = json.loads(inbox.get())
        server = Server.open(setup)
        _say(outbox, ready=server.owner)
        while True:
            _serve(json.loads(inbox.get()), server, outbox)
            time.sleep(setup["cooldown"])
    except InputError as error:
        _say(outbox, input_error=str(error))


def _serve(message: dict[str, Any], server: Server, outbox: TextIO) -> None:
    said = 0.0

    def report(fraction: float) -> None:
        nonlocal said
        if time.monotonic() - said > REPORT_SECONDS:
            said = time.monotonic()
            _say(outbox, fraction=fraction)

    _say(outbox, ended=server.serve(message, report))


def _listen(inbox: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        inbox.put(line)
    os._exit(0)  # the parent is gone; whatever is being computed is taken over by the next


def _say(outbox: TextIO, **message: object) -> None:
    try:
        print(json.dumps(message), file=outbox, flush=True)
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main()
