"""Facts of upstream records → ``records/``: README.md and submission.json in our own words.

Rerun with: python -m scripts.causal.leaderboard.bundle --input CLONE/records --output records
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.causal.cli import run_command
from scripts.causal.files import InputError, read_text, write_json, write_text
from scripts.causal.leaderboard.reading import open_tree, read_leaderboard
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Submission

UPSTREAM = "https://github.com/openai/parameter-golf"
CORRECTIONS_FILE = Path(__file__).with_name("corrections.toml")
_LABEL_WORDS, _LABEL_LENGTH = 6, 40


def bundle(leaderboard: Leaderboard, output: Path) -> int:
    """Write one folder per submission below `output`; returns how many.

    Raises:
        InputError: the folder cannot be written, or the corrections table is malformed.
    """
    table = load_corrections()
    for submission in leaderboard.submissions:
        changes = dict(table.get("correct", {}).get(submission.id, {}))
        number = table.get("pull_requests", {}).get(submission.id)
        corrected = correct(submission, {**({"pr": number} if number else {}), **changes})
        folder = output / submission.id
        write_text(folder / "README.md", render_readme(corrected))
        write_json(folder / "submission.json", render_json(corrected))
    return len(leaderboard.submissions)


def load_corrections(path: Path = CORRECTIONS_FILE) -> dict[str, dict[str, Any]]:
    """Return the tables `pull_requests` (id → number) and `correct` (id → field → value).

    Raises:
        InputError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", where=path) from error


def correct(submission: Submission, changes: dict[str, Any]) -> Submission:
    """Return the submission with the corrections' fields in place; techniques are merged.

    A technique corrected to ``false`` is removed; `source` only documents where the fact stands.
    """
    update: dict[str, Any] = {
        k: v for k, v in changes.items() if k not in ("source", "techniques")
    }
    if "techniques" in changes:
        merged = {**submission.techniques, **changes["techniques"]}
        update["techniques"] = {k: v for k, v in merged.items() if v is not False}
    for name in ("parent_prs", "absent"):
        if name in update:
            update[name] = tuple(update[name])
    return submission.model_copy(update=update)


def label(text: str | None) -> str:
    """Return a short factual label: a handful of words, no sentence, no table markup."""
    if text is None:
        return ""
    text = re.sub(r"\([^()]*\)", " ", text)
    words = re.findall(r"[+-]?\w[\w.+/=^%@:-]*", text)[:_LABEL_WORDS]
    return " ".join(words)[:_LABEL_LENGTH].strip(" ,:.-")


def render_json(submission: Submission) -> dict[str, Any]:
    """Return submission.json: the facts under the names that the extractor reads."""
    facts: dict[str, Any] = {
        "name": submission.name,
        "author": submission.author,
        "date": submission.date,
        "track": submission.track,
        "pr": submission.pr,
        "val_bpb": submission.val_bpb,
        "base_bpb": submission.base_bpb,
        "parent_prs": list(submission.parent_prs),
        "artifact_bytes": submission.artifact_bytes,
        "seed_results": {str(s.seed): {"val_bpb": s.val_bpb} for s in submission.seeds},
        "configuration": {
            **submission.techniques,
            **dict.fromkeys(submission.absent, False),
        },
    }
    return {name: value for name, value in facts.items() if value not in (None, [], {})}


def render_readme(submission: Submission) -> str:
    """Return README.md: scores, lineage, seeds, configuration and reported contrasts."""
    lines = [f"# {submission.name or submission.id.rsplit('/', 1)[-1]}", ""]
    lines += [f"- {text}" for text in _headline(submission)]
    if submission.seeds:
        lines += ["", "## Seeds", "", "| Seed | val_bpb |", "|---:|---:|"]
        lines += [f"| {s.seed} | {_written(s.val_bpb)} |" for s in submission.seeds]
    if submission.techniques:
        lines += ["", "## Configuration", "", "| Variable | Value |", "|---|---|"]
        lines += [
            f"| {name} | {_written(value)} |" for name, value in submission.techniques.items()
        ]
    if submission.absent:
        lines += ["", "## Absent", ""]
        lines += [f"- {name} = false" for name in submission.absent]
    if submission.ablations:
        lines += ["", "## Reported contrasts", "", "Negative is better.", ""]
        for unit in ("bpb", "nats"):
            rows = [a for a in submission.ablations if a.unit == unit]
            if rows:
                lines += [
                    f"| Variable | From | To | Delta ({unit}) | Kind |",
                    "|---|---|---|---:|---|",
                ]
                lines += [*map(_row, rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _headline(submission: Submission) -> list[str]:
    texts = []
    if submission.val_bpb is not None:
        texts.append(f"val_bpb: {_written(submission.val_bpb)}")
    if submission.base_bpb is not None:
        texts.append(f"Baseline: {_written(submission.base_bpb)} bpb")
    texts += [f"Built on PR #{number}" for number in submission.parent_prs]
    if submission.artifact_bytes is not None:
        texts.append(f"Artifact size: {submission.artifact_bytes:,} bytes")
    if submission.author and submission.date:
        texts.append(f"By {submission.author}, {submission.date}")
    place = f"pull/{submission.pr}" if submission.pr else f"tree/main/records/{submission.id}"
    texts.append(f"Source: <{UPSTREAM}/{place}>")
    return texts


def _row(ablation: Ablation) -> str:
    delta = f"{ablation.delta:+.8f}".rstrip("0")
    delta += "0" if delta.endswith(".") else ""
    ends = f"{label(ablation.from_)} | {label(ablation.to)}"
    return f"| {ablation.variable} | {ends} | {delta} | {ablation.kind} |"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}"


def main(
    input: Annotated[Path, typer.Option(help="records/ of an upstream clone.")],
    output: Annotated[Path, typer.Option(help="Folder to write the bundle into.")],
) -> None:
    """Write the bundled records anew from an upstream clone."""
    leaderboard = read_leaderboard(open_tree(input))
    for track in {submission.id.split("/")[0] for submission in leaderboard.submissions}:
        shutil.rmtree(output / track, ignore_errors=True)
    print(f"{bundle(leaderboard, output)} records → {output}")


if __name__ == "__main__":
    run_command(main)
