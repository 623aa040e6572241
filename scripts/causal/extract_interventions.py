"""READMEs → interventions.json: what every submission claims, each fact with its source line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError, read_text
from scripts.causal.forms import write_file
from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.schema import Leaderboard, Submission
from scripts.causal.leaderboard.submission_json import read_submission_json

RECORDS = Path(__file__).resolve().parents[2] / "records"
MAX_README = 1024 * 1024


def extract_leaderboard(
    folder: Path,
    *,
    keep_going: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Leaderboard:
    """Read every submission below `folder`, in path order.

    A submission is a folder with README.md and submission.json; a folder beside one that has only
    its README.md is one too (some upstream records carry no submission.json).

    Args:
        folder: any tree of submissions.
        keep_going: note what cannot be read in `unreadable` and go on, rather than raise.
        progress: told the fraction done.

    Raises:
        InputError: no such folder, no submission in it, or (unless `keep_going`) a file in it
            that cannot be read.
    """
    folders = find_submissions(folder)
    submissions: list[Submission] = []
    unreadable: dict[str, str] = {}
    for done, path in enumerate(folders):
        identity = path.relative_to(folder).as_posix()
        try:
            submissions.append(read_submission(path, identity))
        except InputError as error:
            if not keep_going:
                raise
            unreadable[identity] = str(error)
        progress((done + 1) / len(folders))
    return Leaderboard(
        source=folder.resolve().name, submissions=tuple(submissions), unreadable=unreadable
    )


def read_submission(path: Path, identity: str) -> Submission:
    """Read one submission's folder.

    Raises:
        InputError: README.md or submission.json cannot be read or parsed.
    """
    readme = read_text(path / "README.md", limit=MAX_README)
    described = path / "submission.json"
    if described.is_file():
        return extract_submission(identity, readme, read_submission_json(described))
    return extract_submission(identity, readme, [], ["no submission.json beside README.md"])


def find_submissions(folder: Path) -> list[Path]:
    """Return the submissions' folders in path order; links are not followed.

    Raises:
        InputError: no such folder, or no submission in it.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, mend="give --input a folder of records")
    pairs: list[Path] = []
    readme_only: list[Path] = []
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if "README.md" in files:
            (pairs if "submission.json" in files else readme_only).append(Path(place))
    if not pairs:
        raise InputError(
            "holds no submission", where=folder,
            mend="a submission is a folder with README.md and submission.json",
        )  # fmt: skip
    shelves = {path.parent for path in pairs if path != folder}
    alone = [path for path in readme_only if path != folder and path.parent in shelves]
    return sorted([*pairs, *alone], key=lambda path: path.relative_to(folder).parts)


def main(
    output: Annotated[Path, typer.Option(help="interventions.json to write.")],
    input: Annotated[
        Path, typer.Option(help="Folder tree of README.md and submission.json pairs.")
    ] = RECORDS,
    keep_going: Annotated[
        bool, typer.Option(help="Note unreadable submissions and go on, instead of stopping.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress and no summary.")] = False,
) -> None:
    """Read a folder of submissions and write what they claim, with the line of every fact."""
    with progress_bar("Reading READMEs", quiet=quiet) as progress:
        leaderboard = extract_leaderboard(input, keep_going=keep_going, progress=progress)
    write_file(output, leaderboard)
    if not quiet:
        claims = sum(len(submission.ablations) for submission in leaderboard.submissions)
        print(
            f"{len(leaderboard.submissions)} submissions, {claims} reported contrasts, "
            f"{len(leaderboard.unreadable)} unreadable → {output}"
        )


if __name__ == "__main__":
    run_command(main)
