"""How well the extractor reads: its output against hand labels, field by field.

    python benchmarks/extraction.py --input FOLDER --labels FILE [--json]

`blind_labels.json` beside it has the ablation rows of 1,348 pull requests of the leaderboard, in
draws at random; who labelled them had not seen the code or its output. Draws 1, 2, 3, 5, 6 and the
even ones from 12 on were read afterwards, to mend rules; the others were not, but for how our own
rows in draws 13 and up are named: they tell how far rules carry over (`--draws 4,7,8,9,10,11`).
From draw 12 on a lead over the best of the day is labelled only where the submission builds on it.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.causal.cli import run_command
from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.files import InputError, read_json
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Submission

SCORE_TOLERANCE = 6e-4  # bpb: a README rounds to three or four digits
BYTES_TOLERANCE = 60_000  # 15.9 MB against the exact count
EMPTY = Submission(id="not found")


@dataclass
class Tally:
    """Counts of one field over all submissions."""

    right: int = 0
    extra: int = 0
    missed: int = 0

    def add(self, right: int, predicted: int, labelled: int) -> None:
        """Count one submission: how many agree, were predicted, and were labelled."""
        self.right += right
        self.extra += predicted - right
        self.missed += labelled - right

    @property
    def precision(self) -> float:
        """Share of what was extracted that is right."""
        return self.right / max(1, self.right + self.extra)

    @property
    def recall(self) -> float:
        """Share of what is there that was extracted."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def score(leaderboard: Leaderboard, labels: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Compare extracted submissions with hand labels.

    A label may leave fields out: it says nothing of them, and they are not scored there. Values of
    techniques, and signs of deltas, are scored over those found at all; ids are matched whole,
    without the first part, or by folder name.

    Returns:
        Field → F1 (for `technique_values` and `ablation_sign` the share right), `found`, and
        precision and recall of techniques and ablations; no field that no label has.
    """
    known = _by_identity(leaderboard.submissions)
    tallies: dict[str, Tally] = defaultdict(Tally)
    values, signs = [0, 0], [0, 0]
    found = 0
    for entry in labels:
        submission = _find(known, entry["id"])
        found += submission is not EMPTY
        for name in ("val_bpb", "base_bpb", "artifact_bytes"):
            if name in entry:
                _score_number(tallies[name], name, getattr(submission, name), entry[name])
        if "parent_prs" in entry:
            read, true = set(submission.parent_prs), set(entry["parent_prs"])
            tallies["parent_prs"].add(len(true & read), len(read), len(true))
        if "seeds" in entry:
            _score_seeds(tallies["seeds"], submission, entry["seeds"])
        if "techniques" in entry:
            _score_techniques(tallies["techniques"], values, submission, entry["techniques"])
        if "ablations" in entry:
            _score_ablations(tallies, signs, submission.ablations, entry["ablations"])
    result = {"found": found / max(1, len(labels))}
    result |= {name: tally.f1 for name, tally in tallies.items()}
    for name, share, counts in (
        ("techniques", "technique_values", values),
        ("ablations", "ablation_sign", signs),
    ):
        if name in tallies:
            result[share] = counts[0] / max(1, sum(counts))
            result[f"{name}_precision"] = tallies[name].precision
            result[f"{name}_recall"] = tallies[name].recall
    return result


def _by_identity(submissions: Iterable[Submission]) -> dict[str, Submission]:
    known: dict[str, Submission] = {}
    for submission in submissions:
        known[submission.id] = submission
        known.setdefault(submission.id.split("/")[-1], submission)
    return known


def _find(known: Mapping[str, Submission], identity: str) -> Submission:
    parts = identity.split("/")
    names = (identity, "/".join(parts[1:]), parts[-1])
    return next((known[name] for name in names if name in known), EMPTY)


def _close(read: float | None, true: float | None, tolerance: float) -> bool:
    return read is not None and true is not None and abs(read - true) <= tolerance


def _near(read: float, true: float, tolerance: float) -> bool:
    return abs(read - true) <= tolerance


def _score_number(tally: Tally, name: str, read: float | None, true: float | None) -> None:
    tolerance = BYTES_TOLERANCE if name == "artifact_bytes" else SCORE_TOLERANCE
    agree = _close(read, true, tolerance)
    tally.add(int(agree), int(read is not None), int(true is not None))


def _score_seeds(
    tally: Tally, submission: Submission, labelled: Sequence[Mapping[str, Any]]
) -> None:
    read = {seed.seed: seed.val_bpb for seed in submission.seeds}
    true = {seed["seed"]: seed["val_bpb"] for seed in labelled if seed.get("val_bpb") is not None}
    right = sum(_close(read.get(seed), bpb, SCORE_TOLERANCE) for seed, bpb in true.items())
    tally.add(right, len(read), len(true))


def _score_techniques(
    tally: Tally, values: list[int], submission: Submission, labelled: Mapping[str, Any]
) -> None:
    read = {k: v for k, v in submission.techniques.items() if not k.startswith("other:")}
    true = {k: v for k, v in labelled.items() if not k.startswith("other:")}
    both = set(read) & set(true)
    tally.add(len(both), len(read), len(true))
    for name in both:
        values[not _same_value(read[name], true[name])] += 1


def _same_value(read: Any, true: Any) -> bool:
    if read is True or true is True:
        return True
    try:
        return abs(float(read) - float(true)) <= 1e-6 + 0.011 * abs(float(true))
    except (TypeError, ValueError):
        return str(read).lower() == str(true).lower()


def _score_ablations(
    tallies: Mapping[str, Tally],
    signs: list[int],
    read: Sequence[Ablation],
    labelled: Sequence[Mapping[str, Any]],
) -> None:
    matched = _match(read, labelled, by_variable=True)
    tallies["ablations"].add(len(matched), len(read), len(labelled))
    loose = _match(read, labelled, by_variable=False)
    tallies["ablation_deltas"].add(len(loose), len(read), len(labelled))
    for ours, true in loose:
        signs[(ours.delta >= 0) != (true["delta"] >= 0)] += 1


def _match(
    read: Sequence[Ablation], labelled: Sequence[Mapping[str, Any]], *, by_variable: bool
) -> list[tuple[Ablation, Mapping[str, Any]]]:
    """Pair each label with an unused contrast: same id and signed delta, or |delta| alone."""
    left = list(read)
    pairs = []
    for true in labelled:
        tolerance = max(6e-5, 0.02 * abs(true["delta"]))
        for same in (_exactly, _both_other) if by_variable else (_any,):
            hit = next((a for a in left if same(a, true, tolerance)), None)
            if hit is not None:
                left.remove(hit)
                pairs.append((hit, true))
                break
    return pairs


def _exactly(read: Ablation, true: Mapping[str, Any], tolerance: float) -> bool:
    return read.variable == true["variable"] and _near(read.delta, true["delta"], tolerance)


def _both_other(read: Ablation, true: Mapping[str, Any], tolerance: float) -> bool:
    other = read.variable.startswith("other:") and true["variable"].startswith("other:")
    return other and _near(read.delta, true["delta"], tolerance)


def _any(read: Ablation, true: Mapping[str, Any], tolerance: float) -> bool:
    return _near(abs(read.delta), abs(true["delta"]), tolerance)


def _of_draws(entries: Sequence[Mapping[str, Any]], draws: str) -> list[Mapping[str, Any]]:
    wanted, there = draws.split(","), {str(e["draw"]) for e in entries if "draw" in e}
    if unknown := [draw for draw in wanted if draw not in there]:
        known = ", ".join(sorted(there, key=lambda draw: (len(draw), draw)))
        raise InputError(f"no draw {unknown[0]!r}", where="--draws", mend=f"one of {known}")
    return [entry for entry in entries if str(entry.get("draw")) in wanted]


def main(
    input: Annotated[Path, typer.Option(help="Folder tree of the labelled submissions.")],
    labels: Annotated[Path, typer.Option(help="Hand labels (JSON list).")],
    draws: Annotated[str, typer.Option(help="Only labels of these draws: 4,7,8.")] = "",
    json_only: Annotated[bool, typer.Option("--json", help="Print the JSON line only.")] = False,
) -> None:
    """Extract the labelled submissions and score them against the labels."""
    entries = read_json(labels)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and "id" in entry for entry in entries
    ):
        raise InputError("is not a list of labels with an id each", where=labels)
    if draws:
        entries = _of_draws(entries, draws)
    start = time.perf_counter()
    leaderboard = extract_leaderboard(input, keep_going=True, merge=False)
    seconds = time.perf_counter() - start
    result = score(leaderboard, entries)
    if not json_only:
        for name, value in result.items():
            print(f"{name:24s} {value:.3f}")
    summary: dict[str, float] = {name: round(value, 4) for name, value in result.items()}
    summary["seconds"] = round(seconds, 2)
    summary["submissions"] = len(leaderboard.submissions)
    summary["labels"] = len(entries)
    print(json.dumps(summary))


if __name__ == "__main__":
    run_command(main)
