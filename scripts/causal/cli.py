"""What every stage command shares: the error line, the exit codes and the progress bar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scripts.causal.files import InputError, atomic_path

EXIT_BAD_INPUT = 2


def run_command(function: Callable[..., None]) -> None:
    """Run `function` as the program: its parameters are the options, its docstring the help.

    An InputError becomes one line on standard error and exit code 2.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def require_writable(output: Path) -> None:
    """Say so before hours of runs when their results could not be written.

    Raises:
        InputError: the folder cannot be created or written.
    """
    with atomic_path(output.with_name(f"{output.name}.probe")) as probe:
        probe.touch()
    output.with_name(f"{output.name}.probe").unlink()


@contextlib.contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """Yield a function taking the fraction done; a bar with ETA unless quiet or no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda fraction: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda fraction: progress.update(task, completed=fraction)
