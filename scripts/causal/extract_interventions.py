"""READMEs → interventions.json: what every submission claims, each fact with its source line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from scripts.causal.leaderboard.evidence import is_evidence, load_evidence
from scripts.causal.leaderboard.explain import explain, find_place
from scripts.causal.leaderboard.git_objects import GitTree
from scripts.causal.leaderboard.reading import (
    open_tree,
    read_leaderboard,
    read_readme,
    read_submission,
)
from scripts.causal.leaderboard.schema import Leaderboard
from scripts.causal.leaderboard.sources import DESCRIBED, FolderTree, Tree, find_places

RECORDS = Path(__file__).resolve().parents[2] / "records"  # a folder of submissions, as any other
EVIDENCE = RECORDS / "evidence.json.xz"  # the facts of the whole leaderboard: what is read unasked


def extract_leaderboard(
    path: Path,
    *,
    keep_going: bool = False,
    merge: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Leaderboard:
    """Read every submission of a folder, a clone, a tar archive or an evidence file.

    Args:
        path: any tree of submissions, or the facts of one (`evidence.py`).
        keep_going: note what cannot be read, and go on, rather than raise.
        merge: make one of the copies of one submission (see `duplicates`).
        progress: told the fraction done.

    Raises:
        InputError: no such file or folder, no submission in it, or (unless `keep_going`) a file
            in it that cannot be read.
    """
    if is_evidence(path):
        return load_evidence(path)
    return read_leaderboard(open_tree(path), keep_going=keep_going, merge=merge, progress=progress)


def _merged_by(wanted: str) -> set[str]:
    """Return the ids that the bundled facts know of a pull request; none for other texts."""
    number = wanted.removeprefix("#")
    if not (number.isascii() and number.isdigit() and len(number) <= 7):
        return set()
    return {
        name
        for submission in load_evidence(EVIDENCE).submissions
        if int(number) in submission.pull_requests
        for name in (submission.id, *submission.also)
    }


def explain_submission(tree: Tree, wanted: str) -> str:
    """Return one submission's README with its facts at their lines; only it is read.

    Args:
        tree: where it is.
        wanted: its id, folder name or pull-request number.

    Raises:
        InputError: no such submission, or it cannot be read.
    """
    places = find_places(tree)
    try:
        place = find_place(places, wanted)
    except InputError:
        merged = _merged_by(wanted)  # a merged record's path does not say its pull request
        named = [place for place in places if place.id in merged]
        if len(named) != 1:
            raise
        place = named[0]
    submission, _ = read_submission(tree, place)
    return explain(submission, read_readme(tree, place))


def drawing_beside(path: Path) -> Path:
    """Return where the drawing of a lineage goes: beside its JSON, ending in ``.svg``.

    Raises:
        InputError: the JSON's own name ends so.
    """
    drawing = path.with_suffix(".svg")
    if drawing == path:
        raise InputError("is where the drawing goes", where=path, mend="name the .json file")
    return drawing


def write_lineage(path: Path, leaderboard: Leaderboard) -> None:
    """Write who builds on whom as JSON, and its main part as a drawing beside it.

    Raises:
        InputError: `path` ends in .svg itself, or a file cannot be written.
    """
    # networkx here and pandas below take half a second to load: only for who asks.
    from scripts.causal.leaderboard.lineage_drawing import draw_lineage
    from scripts.causal.leaderboard.lineage_graph import read_lineage

    drawing = drawing_beside(path)
    found = read_lineage(leaderboard)
    write_file(path, found)
    draw_lineage(drawing, found)


@contextlib.contextmanager
def _tree(input: Path | None, git: Path | None, pulls: bool) -> Iterator[Tree]:
    if git is None:
        if pulls:
            raise InputError("needs --git PATH", where="--pulls")
        yield open_tree(input or RECORDS)
        return
    if input is not None:
        raise InputError("give either --input or --git", where="--git")
    with GitTree(git, pulls=pulls) as tree:
        yield tree


def _name_unread(leaderboard: Leaderboard) -> None:
    for name, reason in leaderboard.unreadable.items():
        print(f"left out {name}: {reason}", file=sys.stderr)
    for submission in leaderboard.submissions:
        for problem in submission.problems:
            if problem.startswith(f"{DESCRIBED}: "):
                print(f"{submission.id}: read without {problem}", file=sys.stderr)


def main(
    output: Annotated[Path | None, typer.Option(help="interventions.json to write.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Folder or clone of README.md and submission.json pairs, a .tar.gz of them, "
            "or an evidence file; without it the bundled evidence of the whole leaderboard "
            "(with --explain, the bundled records)."
        ),
    ] = None,
    git: Annotated[
        Path | None, typer.Option(help="Repository to read from its objects, no checkout.")
    ] = None,
    pulls: Annotated[
        bool, typer.Option("--pulls", help="With --git: read every pull request's head too.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Table to write, one submission a row.")] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="The table as Parquet (needs pyarrow).")
    ] = None,
    lineage: Annotated[
        Path | None,
        typer.Option(
            help="lineage.json to write: who builds on whom, and what each step changed; "
            "drawn beside it as .svg."
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(help="Print the README of this id, folder or PR with its facts' lines."),
    ] = None,
    keep_duplicates: Annotated[
        bool, typer.Option(help="Keep every copy of a submission that stands in several PRs.")
    ] = False,
    keep_going: Annotated[
        bool | None,
        typer.Option(
            "--keep-going/--strict",
            help="Name files that cannot be read and go on, or stop at the first; without either, "
            "stop in a folder, where they can be mended.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="No progress and no summary.")] = False,
) -> None:
    """Read submissions and write what they claim, with the line of every fact."""
    outputs = [path for path in (output, csv, parquet, lineage) if path is not None]
    if lineage is not None:
        outputs.append(drawing_beside(lineage))
    if not outputs and explain is None:
        raise InputError(
            "nothing to write", mend="give --output, --csv, --parquet, --lineage or --explain"
        )
    if parquet is not None:
        from scripts.causal.leaderboard.export import require_parquet

        require_parquet()
    if input is None and git is None and not pulls and explain is None:
        input = EVIDENCE
    if git is None and input is not None and is_evidence(input):
        if explain is not None:
            raise InputError("holds no READMEs", where=input, mend="give --explain a folder")
        leaderboard = load_evidence(input)
    else:
        with _tree(input, git, pulls) as tree:
            if explain is not None:
                print(explain_submission(tree, explain), end="")
            if not outputs:
                return
            if keep_going is None:
                keep_going = not isinstance(tree, FolderTree)
            with progress_bar("Reading READMEs", quiet=quiet) as progress:
                leaderboard = read_leaderboard(
                    tree, keep_going=keep_going, merge=not keep_duplicates, progress=progress
                )
            if not quiet:
                _name_unread(leaderboard)
    if output is not None:
        write_file(output, leaderboard)
    if csv is not None or parquet is not None:
        from scripts.causal.leaderboard.export import write_csv, write_parquet

        if csv is not None:
            write_csv(csv, leaderboard)
        if parquet is not None:
            write_parquet(parquet, leaderboard)
    if lineage is not None:
        write_lineage(lineage, leaderboard)
    if not quiet:
        claims = sum(len(submission.ablations) for submission in leaderboard.submissions)
        copies = sum(len(submission.also) for submission in leaderboard.submissions)
        print(
            f"{len(leaderboard.submissions)} submissions, {copies} further copies, "
            f"{claims} reported contrasts, {len(leaderboard.unreadable)} unreadable → "
            f"{', '.join(map(str, outputs))}"
        )


if __name__ == "__main__":
    run_command(main)
