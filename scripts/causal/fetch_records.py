"""The real leaderboard, cloned: its records, and on request every pull request's head.

Needs git and a network; everything else in this repository works from the bundled ``records/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError

LEADERBOARD = "https://github.com/openai/parameter-golf"
PULL_HEADS = "+refs/pull/*/head:refs/pull/*/head"
TIMEOUT_SECONDS = 1_800


@dataclass(frozen=True)
class Fetched:
    """What a fetch left on disk.

    Attributes:
        records: the clone's folder of records, for ``extract_interventions.py --input``.
        commit: the commit of the leaderboard's default branch.
        pulls: number of pull-request heads held as refs (not checked out).
    """

    records: Path
    commit: str
    pulls: int


def fetch_records(output: Path, *, repository: str = LEADERBOARD, pulls: bool = False) -> Fetched:
    """Clone the leaderboard's newest commit into `output`, or bring a clone there up to date.

    Pull-request heads are fetched as ``refs/pull/N/head`` one commit deep: thousands of refs
    that share most objects, and no checkout.

    Args:
        output: folder of the clone; new, empty, or an earlier clone of the same repository.
        repository: URL or path of the leaderboard's repository.
        pulls: fetch the pull-request heads too.

    Raises:
        InputError: git is not installed, the repository cannot be reached, it holds no
            records/ folder, or `output` is something else than an earlier clone.
    """
    if shutil.which("git") is None:
        raise InputError("git is not installed", mend="install git, or use the bundled records/")
    if repository.startswith("-"):
        raise InputError(f"not a repository: {repository!r}")
    if (output / ".git").is_dir():
        _same_repository(output, repository)
        _git(output, "fetch", "--depth", "1", "--quiet", "origin", "HEAD", where=repository)
        _git(output, "reset", "--quiet", "--hard", "FETCH_HEAD", where=output)
    else:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(
                "is neither empty nor an earlier clone", where=output, mend="give a new --output"
            )
        _clone(output, repository)
    if not (output / "records").is_dir():
        raise InputError("holds no records/ folder", where=repository)
    if pulls:
        _git(
            output, "fetch", "--depth", "1", "--quiet", "--no-tags", "origin", PULL_HEADS,
            where=repository,
        )  # fmt: skip
    heads = _git(output, "for-each-ref", "--format=%(refname)", "refs/pull", where=output)
    commit = _git(output, "rev-parse", "HEAD", where=output).strip()
    return Fetched(output / "records", commit, len(heads.split()))


def _clone(output: Path, repository: str) -> None:
    """Clone beside `output` and rename, so that a broken clone leaves nothing there."""
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be created: {error.strerror}", where=output) from error
    try:
        _git(
            output.parent, "clone", "--depth", "1", "--quiet", "--no-tags", "--",
            repository, str(partial.resolve()), where=repository,
        )  # fmt: skip
        if output.exists():
            output.rmdir()
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _same_repository(clone: Path, repository: str) -> None:
    held = _git(clone, "remote", "get-url", "origin", where=clone).strip()
    if held != repository:
        raise InputError(
            f"is a clone of {held}, not of {repository}", where=clone, mend="give a new --output"
        )


def _git(folder: Path, *arguments: str, where: Path | str) -> str:
    """Run git and return its output.

    Raises:
        InputError: git failed or took too long; the message carries git's last line.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            env={**_environment(), "GIT_TERMINAL_PROMPT": "0"},  # fail, never ask for a password
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"git {arguments[0]} took too long", where=where) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["git gave no reason"]
        raise InputError(
            f"git {arguments[0]} failed: {lines[-1]}", where=where,
            mend="is there a network, and is the address right?",
        )  # fmt: skip
    return done.stdout


def _environment() -> dict[str, str]:
    """The caller's environment without git's own variables, which point at another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def main(
    output: Annotated[Path, typer.Option(help="Folder for the clone.")],
    pulls: Annotated[
        bool, typer.Option("--pulls", help="Fetch the pull-request heads too (large).")
    ] = False,
    repository: Annotated[str, typer.Option(help="The leaderboard's repository.")] = LEADERBOARD,
    quiet: Annotated[bool, typer.Option(help="No progress and no summary.")] = False,
) -> None:
    """Clone the real leaderboard, for extract_interventions.py --input OUTPUT/records."""
    with progress_bar("Cloning the leaderboard", quiet=quiet) as progress:
        fetched = fetch_records(output, repository=repository, pulls=pulls)
        progress(1.0)
    if not quiet:
        print(f"{fetched.records} at {fetched.commit[:12]}, {fetched.pulls} pull-request heads")


if __name__ == "__main__":
    run_command(main)
