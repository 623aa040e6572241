"""A submission's README with every fact that was read from it, at its line."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from scripts.causal.files import InputError
from scripts.causal.leaderboard.schema import Source, Submission
from scripts.causal.leaderboard.sources import README, Place

MAX_WIDTH = 400  # characters of a line that are shown
# Controls, invisible formatting (bidi marks among them), surrogates, line and paragraph marks.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_LINE_END = re.compile(r"\r\n|\r|\n")


def find_place(places: Sequence[Place], wanted: str) -> Place:
    """Return the submission with this id, folder name or pull-request number.

    Raises:
        InputError: there is none, or there are several.
    """
    number = wanted.removeprefix("#")
    found = [place for place in places if place.id == wanted] or [
        place
        for place in places
        if place.id.rpartition("/")[2] == wanted or str(place.pr) == number
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"no submission {printable(wanted)!r}", where="--explain",
            mend="give an id of interventions.json, a folder name or a pull-request number",
        )  # fmt: skip
    names = ", ".join(printable(place.id) for place in found[:5])
    raise InputError(f"{len(found)} submissions match: {names}", where="--explain")


def explain(submission: Submission, readme: str) -> str:
    """Return the README, numbered, every fact below the line that it was read from.

    What comes from other files stands in front. No character of a stranger's text reaches the
    terminal that would not be seen there: controls and bidi marks are written as escapes.
    """
    below: defaultdict[int, list[str]] = defaultdict(list)
    elsewhere = []
    for text, source in _facts(submission):
        if source is not None and source.file == README:
            below[source.line].append(text)
        else:
            place = f"{source.file}:{source.line}" if source is not None else "its folder"
            elsewhere.append(f"{text}   ({place})")
    lines = [submission.id, *(f"also {copy}" for copy in submission.also)]
    lines += [f"problem: {problem}" for problem in submission.problems]
    lines += [f"  ◀ {text}" for text in elsewhere]
    lines.append("")
    texts = _LINE_END.split(readme)
    if texts and not texts[-1]:
        texts.pop()
    width = len(str(len(texts)))
    for number, text in enumerate(texts, start=1):
        lines.append(f"{number:{width}d} │ {text.expandtabs(4)}")
        lines += [f"{'':{width}s} ◀ {fact}" for fact in below.pop(number, ())]
    for number in sorted(below):
        lines += [f"line {number}, beyond the end ◀ {fact}" for fact in below[number]]
    return "\n".join(_cut(printable(line)) for line in lines) + "\n"


def printable(text: str) -> str:
    r"""Return the text with characters that do not show, or move others, as ``\u{...}``."""
    return "".join(
        f"\\u{{{ord(mark):x}}}" if unicodedata.category(mark) in _HIDDEN else mark for mark in text
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]} … {len(text):,} characters"


def _facts(submission: Submission) -> Iterator[tuple[str, Source | None]]:
    """Yield every field that was extracted, in words, with its place."""
    sources = submission.sources
    for name in ("name", "author", "date", "track", "pr", "val_bpb", "base_bpb", "artifact_bytes"):
        value = getattr(submission, name)
        if value is not None:
            yield f"{name} = {value}", sources.get(name)
    if submission.parent_prs:
        numbers = ", ".join(f"#{number}" for number in submission.parent_prs)
        yield f"parent_prs = {numbers}", sources.get("parent_prs")
    if submission.seeds:
        seeds = ", ".join(
            f"{seed.seed}: {seed.val_bpb if seed.val_bpb is not None else 'no score'}"
            for seed in submission.seeds
        )
        yield f"seeds = {seeds}", sources.get("seeds")
    for field in ("techniques", "defaults"):
        for name, value in getattr(submission, field).items():
            told = str(value).lower() if isinstance(value, bool) else value
            yield f"{field}.{name} = {told}", sources.get(f"{field}.{name}")
    for name in submission.absent:
        yield f"absent: {name}", sources.get(f"absent.{name}")
    for ablation in submission.ablations:
        ends = f"{ablation.from_ or '?'} → {ablation.to or '?'}"
        text = f"{ablation.kind} contrast {ablation.variable}: {ends}, {ablation.delta:+g} "
        yield text + ablation.unit, ablation.source
