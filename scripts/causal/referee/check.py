"""A submission's folder, anybody's → a verdict for every rule; nothing is run unless asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from scripts.causal.files import InputError
from scripts.causal.leaderboard.schema import Leaderboard
from scripts.causal.referee import probes
from scripts.causal.referee.probes import Trial
from scripts.causal.referee.stated import Stated, read_stated
from scripts.causal.submission import byte_rules, score_rules, text_rules
from scripts.causal.submission.claims import Claims
from scripts.causal.submission.compact import imports_of
from scripts.causal.submission.documents import readme
from scripts.causal.submission.folder import DESCRIPTION, Folder, open_folder
from scripts.causal.submission.sandbox import SandboxError, sandbox
from scripts.causal.submission.verdicts import Report, Verdict, failed, open_question, passed

MAX_FOLDERS = 5000
TRACK = "track_10min_16mb"
_ASKED = ("--eval", "--losses", "--train-only", "--steps")


class RefereeError(Exception):
    """A folder breaks rules; the message names each with its reason."""


def require(report: Report) -> None:
    """Accept a folder that breaks no rule, and that was found to reproduce its score.

    Raises:
        RefereeError: it breaks one, or its score could not be reproduced.
    """
    proven = {one.rule for one in report.verdicts if one.outcome == "pass"}
    broken = [f"{one.rule}: {one.reason}" for one in report.failures]
    unproven = [rule for rule in probes.RUN_RULES[:2] if rule not in proven]
    if broken or unproven:
        raise RefereeError("; ".join(broken or unproven))


def check_folder(
    path: Path,
    *,
    trial: Trial | None = None,
    board: Leaderboard | None = None,
    ledger: Claims | None = None,
) -> Report:
    """Hold a folder to every rule.

    Args:
        trial: data and bounds to run its program with; None to run nothing.
        board: where the record is looked up that it has to beat.
        ledger: what the ledger has of the same runs, where they are ours.

    Raises:
        InputError: the folder cannot be read.
    """
    folder = open_folder(path)
    stated = read_stated(folder)
    verdicts = [*_without_running(folder, stated, board, ledger)]
    if trial is None:
        verdicts += [open_question(rule, "not run") for rule in probes.RUN_RULES]
    else:
        verdicts += _by_running(folder, stated, trial, ledger)
    return Report(folder=str(path), verdicts=tuple(verdicts))


def find_folders(path: Path) -> list[Path]:
    """Folders of submissions below a path, or the path itself: those with a README or its json.

    Raises:
        InputError: there is none, or far too many.
    """
    if not path.is_dir():
        raise InputError("no such folder", where=path)
    found: list[Path] = []
    waiting = [path]
    while waiting:
        here = waiting.pop()
        try:
            names = {entry.name: entry for entry in here.iterdir()}
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=here) from error
        if DESCRIPTION in names or (here != path and "README.md" in names):
            found.append(here)
            continue
        waiting += [one for one in names.values() if one.is_dir() and not one.is_symlink()]
        if len(found) + len(waiting) > MAX_FOLDERS:
            raise InputError(f"more than {MAX_FOLDERS:,} folders", where=path)
    if not found and any((path / name).is_file() for name in ("README.md", "train_gpt.py")):
        return [path]
    if not found:
        raise InputError("no submission here (README.md, submission.json)", where=path)
    return sorted(found)


def _without_running(
    folder: Folder, stated: Stated, board: Leaderboard | None, ledger: Claims | None
) -> list[Verdict]:
    described, ours = stated.description, stated.ours
    claims = (*stated.claims, *([ledger] if ledger is not None else []))
    expected = None if ours is None else readme(ours)
    imports = None if stated.source is None else imports_of(stated.source)
    local = {PurePosixPath(name).stem for name in folder.sizes if name.endswith(".py")}
    return [
        byte_rules.plain_files(folder),
        _readable(stated),
        byte_rules.under_cap(folder, claims + stated.in_logs),
        byte_rules.files_as_listed(stated.files, None if ours is None else ours.files),
        byte_rules.bytes_as_stated(folder, claims, stated.readme),
        score_rules.seeds_make_the_mean(described, stated.in_readme),
        score_rules.one_bytes_per_token(described),
        score_rules.documents_agree(claims + stated.in_logs, stated.readme),
        text_rules.readme_is_made_of(stated.readme, expected),
        text_rules.logs_are_there(described, stated.in_logs),
        text_rules.logs_hold_the_source(stated.logs, stated.shipped, stated.hides),
        text_rules.needs_only(imports, stated.requirements, local),
        score_rules.record_margin(stated.is_record, described, _target(folder, stated, board)),
    ]


def _readable(stated: Stated) -> Verdict:
    """README.md and submission.json are there, and the second is JSON."""
    rule = "README and submission.json can be read"
    faults = [
        f"{name}: {stated.problems[name]}"
        for name in ("README.md", DESCRIPTION)
        if name in stated.problems
    ]
    if not faults:
        form = "our schema" if stated.ours else "the leaderboard's fields"
        return passed(rule, f"submission.json in {form}")
    return failed(rule, "; ".join(faults))


def _target(
    folder: Folder, stated: Stated, board: Leaderboard | None
) -> tuple[str, Sequence[float]] | None:
    """The best merged submission of the ten-minute track that is older."""
    dates = [fact.value for fact in stated.facts if fact.path == ("date",)]
    date = str(dates[0])[:10] if dates else folder.path.name[:10]
    older = [
        one
        for one in (board.submissions if board else ())
        if one.id.startswith(f"{TRACK}/")
        and one.val_bpb is not None
        and (one.date or "9") < date
        and not one.id.endswith(f"/{folder.path.name}")
    ]
    if not older:
        return None
    best = min(older, key=lambda one: one.val_bpb or 0.0)
    runs = [seed.val_bpb for seed in best.seeds if seed.val_bpb is not None]
    return best.id.rpartition("/")[2], runs if len(runs) > 1 else [best.val_bpb or 0.0]


def _by_running(
    folder: Folder, stated: Stated, trial: Trial, ledger: Claims | None
) -> list[Verdict]:
    if stated.source is None:
        return [open_question(rule, "no program in the folder") for rule in probes.RUN_RULES]
    unknown = [option for option in _ASKED if option not in stated.source]
    if unknown:
        reason = f"the program knows no {', '.join(unknown)} (see probes.py)"
        return [open_question(rule, reason) for rule in probes.RUN_RULES]
    models = [name for name in folder.counted if not name.endswith(".py")]
    verdicts: list[Verdict] = []
    try:
        with sandbox(folder, trial.limits) as box, tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            found = probes.evaluate(box, trial.data.folder, trial.data.tokenizer)
            verdicts.append(probes.reproduces(found, _shipped_score(stated, ledger)))
            verdicts.append(probes.counts_the_bytes(found, trial.data))
            verdicts.append(probes.is_causal(box, trial, found, place / "causal"))
            verdicts.append(
                probes.trains_without_validation(box, trial, models, place / "trained")
            )
    except SandboxError as error:  # what failed is the rule that was next
        verdicts.append(failed(probes.RUN_RULES[len(verdicts)], str(error)))
    rest = probes.RUN_RULES[len(verdicts) :]
    return [*verdicts, *(open_question(rule, "its program failed before") for rule in rest)]


def _shipped_score(stated: Stated, ledger: Claims | None) -> float | None:
    """The score of the model that ships: its own seed's, where that is known."""
    if stated.ours is not None and stated.ours.seeds:
        seed = stated.ours.seeds[0]
        for one in (ledger, stated.description):
            if one is not None and seed in one.seeds:
                return one.seeds[seed].bpb
    return stated.description.bpb if stated.description else None
