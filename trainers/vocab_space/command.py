"""What the programs of this family ask for alike: data, a ledger, how much to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.cli import progress_bar
from trainers.vocab_space.trainer import VocabSpaceTrainer

DEFAULT_LEDGER = "results/causal/ledger.sqlite"
DataOption = Annotated[Path | None, typer.Option(help="folder of a tokenized data set")]
LedgerOption = Annotated[str, typer.Option(help="path or database URL")]
WorkersOption = Annotated[
    int | None, typer.Option(help="runs at once (default: one a core)", min=0)
]


@contextmanager
def opened(data: Path | None, ledger: str, quiet: bool) -> Iterator[tuple[str, Ledger]]:
    """The data set's folder, the default one made where none is given, and the ledger, open."""
    with progress_bar("data", quiet=quiet) as show:
        folder = VocabSpaceTrainer().default_data(show) if data is None else str(data)
    store = open_ledger(ledger)
    try:
        yield folder, store
    finally:
        store.close()
