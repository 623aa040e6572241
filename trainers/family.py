"""What every model family's trainer does alike: failed runs are outcomes, data must fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from scripts.causal.files import InputError
from trainers.api import RunFailed
from trainers.data import DataSet, open_dataset
from trainers.loop import Diverged


@contextmanager
def failures_recorded() -> Iterator[None]:
    """Within, a run that diverges or runs out of memory raises RunFailed, an outcome.

    Libraries raise RuntimeErrors of their own where memory ends; they have the word in common.

    Raises:
        RunFailed: the run diverged or ran out of memory.
    """
    try:
        yield
    except Diverged as error:
        raise RunFailed(str(error)) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            raise RunFailed(f"out of memory: {error}".splitlines()[0]) from error
        raise


def fitting_dataset(folder: str, vocab_size: int) -> DataSet:
    """The data set in a folder, opened once.

    Raises:
        InputError: it cannot be opened, or its vocabulary is of another size.
    """
    data = dataset(folder)
    if data.vocab_size != vocab_size:
        raise InputError(
            f"`vocab_size` must be the data set's {data.vocab_size}, "
            f"but got vocab_size={vocab_size}",
            where=folder,
        )
    return data


@cache
def dataset(folder: str) -> DataSet:
    """The data set in a folder, opened and checked once in a process."""
    return open_dataset(Path(folder))
