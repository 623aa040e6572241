"""What the documents of anybody's submission folder state, read and never believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from scripts.causal.files import InputError
from scripts.causal.leaderboard.artifact_size import artifact_bytes
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.found import Found
from scripts.causal.leaderboard.outcomes import final_bpb
from scripts.causal.leaderboard.seeds import seed_results
from scripts.causal.leaderboard.submission_json import Fact, parse_submission_json
from scripts.causal.submission.claims import Claims, Score, read_log
from scripts.causal.submission.compact import runs_what_it_hides, unwrap
from scripts.causal.submission.facts import ListedFile, SubmissionJson
from scripts.causal.submission.folder import (
    DESCRIPTION,
    PROGRAM,
    README,
    REQUIREMENTS,
    Folder,
    list_files,
)

MAX_LOGS = 64
_MODEL_BYTES = re.compile(r"bytes_model(?:_\w{1,40})?|model_bytes")
_NON_RECORD = re.compile(r"non[-_ ]?record", re.IGNORECASE)


@dataclass(frozen=True)
class Stated:
    """The documents of a folder as far as they are there and could be read.

    Attributes:
        readme: the README's text; `in_readme` what it states, unless it is one of ours, which is
            held to submission.json word for word.
        source: the program's readable text: unpacked, where it is a loader of ours.
        shipped: the program's text as it lies there; it may be all there is to read.
        same_code: False where the program hides what it runs.
        description: what submission.json states; `ours` its whole form, where it follows ours.
        problems: document → why it could not be read.
        is_record: whether it is put forward as a record; None where nothing says so.
    """

    readme: str | None
    in_readme: Claims | None
    description: Claims | None
    ours: SubmissionJson | None
    facts: tuple[Fact, ...]
    files: dict[str, ListedFile]
    logs: dict[str, str]
    in_logs: tuple[Claims, ...]
    shipped: str | None
    source: str | None
    hides: bool
    requirements: str | None
    problems: dict[str, str]
    is_record: bool | None

    @property
    def claims(self) -> tuple[Claims, ...]:
        """submission.json's, the README's."""
        return tuple(one for one in (self.description, self.in_readme) if one is not None)


def read_stated(folder: Folder) -> Stated:
    """Read every document of a folder; what cannot be read is a problem, not an error."""
    problems: dict[str, str] = {}
    readme = _text(folder, README, problems)
    described = _text(folder, DESCRIPTION, problems)
    shipped = _text(folder, PROGRAM, problems)
    facts, ours = _parse(described, problems)
    logs = {
        name: text
        for name in folder.logs[:MAX_LOGS]
        if (text := _text(folder, name, problems)) is not None
    }
    source = None if shipped is None else unwrap(shipped) or shipped
    return Stated(
        readme=readme,
        in_readme=None if readme is None or ours else stated_in_readme(readme),
        description=stated_by(ours) if ours else stated_in_json(facts) if facts else None,
        ours=ours,
        facts=tuple(facts),
        files=_files(folder, problems) if ours else {},
        logs=logs,
        in_logs=tuple(read_log(name, text) for name, text in logs.items()),
        shipped=shipped,
        source=source,
        hides=source is not None and runs_what_it_hides(source),
        requirements=_text(folder, REQUIREMENTS, problems),
        problems=problems,
        is_record=_is_record(facts, ours, readme, folder),
    )


def stated_by(ours: SubmissionJson) -> Claims:
    """What a submission.json of our form states."""
    return Claims(
        DESCRIPTION,
        bpb=ours.val_bpb,
        loss=ours.val_loss,
        seeds={
            seed: Score(one.val_bpb, one.val_loss, one.artifact_bytes)
            for seed in ours.seeds  # the first one's model ships
            if (one := ours.seed_results.get(seed)) is not None
        },
        total=ours.bytes_total,
        code=ours.bytes_code,
        model=ours.bytes_model,
    )


def stated_in_readme(text: str) -> Claims:
    """What a README states: the score it leads with, its seeds, its bytes where it counts them."""
    document = parse_document(text)
    final = _score(final_bpb(document, []))
    seeds, _ = seed_results(document, [], final)
    size = artifact_bytes(document, [], final)
    return Claims(
        README,
        bpb=final.value if final else None,
        seeds={one.seed: Score(one.val_bpb) for one in seeds if _plausible(one.val_bpb)},
        total=int(size.value) if size and size.value % 1000 else None,
    )


def stated_in_json(facts: Sequence[Fact]) -> Claims:
    """What a submission.json of any form states."""
    empty = parse_document("")
    final = _score(final_bpb(empty, facts))
    seeds, _ = seed_results(empty, facts, final)
    size = artifact_bytes(empty, facts, final)
    losses = {
        int(fact.path[1]): fact.value
        for fact in facts
        if len(fact.path) == 3
        and fact.path[0] == "seed_results"
        and fact.path[1].isdecimal()
        and len(fact.path[1]) < 10
        and fact.path[2] == "val_loss"
        and isinstance(fact.value, float)
    }
    return Claims(
        DESCRIPTION,
        bpb=final.value if final else None,
        loss=next((x.value for x in _top(facts, "val_loss") if isinstance(x.value, float)), None),
        seeds={
            one.seed: Score(one.val_bpb, losses.get(one.seed))
            for one in seeds
            if _plausible(one.val_bpb)
        },
        total=int(size.value) if size else None,
        code=_count(facts, re.compile("bytes_code|code_bytes")),
        model=_count(facts, _MODEL_BYTES),
    )


def _text(folder: Folder, name: str, problems: dict[str, str]) -> str | None:
    try:
        return folder.read(name)
    except InputError as error:
        problems[name] = error.what
        return None


def _files(folder: Folder, problems: dict[str, str]) -> dict[str, ListedFile]:
    try:
        return list_files(folder)
    except InputError as error:
        problems[str(error.where)] = error.what
        return {}


def _parse(
    text: str | None, problems: dict[str, str]
) -> tuple[Sequence[Fact], SubmissionJson | None]:
    if text is None:
        return (), None
    try:
        facts = parse_submission_json(text, DESCRIPTION)
    except InputError as error:
        problems[DESCRIPTION] = error.what
        return (), None
    try:
        return facts, SubmissionJson.model_validate_json(text)
    except ValidationError:
        return facts, None


def _is_record(
    facts: Sequence[Fact], ours: SubmissionJson | None, readme: str | None, folder: Folder
) -> bool | None:
    if ours is not None:
        return ours.record
    tracks = [fact.value for fact in _top(facts, "track") if isinstance(fact.value, str)]
    names = [fact.value for fact in _top(facts, "name") if isinstance(fact.value, str)]
    title = (readme or "").lstrip().partition("\n")[0]
    place = folder.path.resolve().parent.name
    if any(_NON_RECORD.search(text) for text in (place, *tracks, *names, title)):
        return False
    return True if any("10min" in text for text in (place, *tracks)) else None


def _score(found: Found | None) -> Found | None:
    return found if found is not None and _plausible(found.value) else None


def _plausible(bpb: float | None) -> bool:
    return bpb is not None and 0.1 < bpb < 15


def _top(facts: Sequence[Fact], key: str) -> list[Fact]:
    return [fact for fact in facts if fact.path == (key,)]


def _count(facts: Sequence[Fact], key: re.Pattern[str]) -> int | None:
    for fact in facts:
        if len(fact.path) == 1 and key.fullmatch(fact.path[0]) and type(fact.value) is int:
            return fact.value if 0 < fact.value < 2**40 else None
    return None
