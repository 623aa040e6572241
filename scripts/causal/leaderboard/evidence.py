"""The bundled evidence: the facts of the whole leaderboard as one compressed file.

Facts only: ids, dates, authors, scores, parents, seeds, techniques and the reported contrasts'
numbers with labels of a few words, each with its file and line; no title, no quote, no sentence.

Rerun with: python -m scripts.causal.leaderboard.evidence --input SOURCE --snapshot DATE
--output records/evidence.json.xz
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError, atomic_path
from scripts.causal.leaderboard.bundle import UPSTREAM, correct, label, load_corrections
from scripts.causal.leaderboard.reading import open_tree, read_leaderboard
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Submission

XZ = b"\xfd7zXZ\x00"
MAX_PACKED, MAX_UNPACKED = 16 * 1024 * 1024, 128 * 1024 * 1024
MAX_MEMORY = 256 * 1024 * 1024
# An id is a path of folder names that authors chose; everything else is a name or a label.
MAX_ID, MAX_TEXT = 160, 60
_DAY = re.compile(r"20\d\d-[01]\d-[0-3]\d")


def evidence_of(leaderboard: Leaderboard, *, snapshot: str, source: str) -> Leaderboard:
    """Return the leaderboard with its facts and without its words.

    Args:
        leaderboard: as read from the whole corpus.
        snapshot: the day its newest facts are of, YYYY-MM-DD.
        source: where it was taken from.

    Raises:
        InputError: `snapshot` is no day.
    """
    if not _DAY.fullmatch(snapshot):
        raise InputError(f"not a day: {snapshot!r}", where="--snapshot", mend="write YYYY-MM-DD")
    table = load_corrections()
    numbers, changes = table.get("pull_requests", {}), table.get("correct", {})
    submissions = []
    for submission in leaderboard.submissions:
        known = {} if submission.pr else {"pr": numbers.get(submission.id)}
        submissions.append(
            _facts(correct(submission, {**known, **changes.get(submission.id, {})}))
        )
    return Leaderboard(
        source=source[:MAX_TEXT],
        snapshot=snapshot,
        submissions=tuple(submissions),
        unreadable=dict.fromkeys(leaderboard.unreadable, "unreadable at the snapshot"),
    )


def write_evidence(path: Path, evidence: Leaderboard) -> None:
    """Write the file, compressed; the same facts give the same bytes.

    Raises:
        InputError: a text in it is too long to be a fact, or the file cannot be written.
    """
    check_evidence(evidence, path)
    tree = evidence.model_dump(mode="json", exclude_defaults=True)
    for submission in tree["submissions"]:
        for ablation in submission.get("ablations", ()):
            ablation.pop("quote")
    text = json.dumps(
        {"schema_version": evidence.schema_version, **tree},
        ensure_ascii=False, allow_nan=False, separators=(",", ":"),
    )  # fmt: skip
    packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)


def load_evidence(path: Path) -> Leaderboard:
    """Read and check an evidence file.

    Raises:
        InputError: missing, too large, not compressed JSON, or a field breaks the schema.
    """
    try:
        if path.stat().st_size > MAX_PACKED:
            raise InputError(f"larger than {MAX_PACKED:,} bytes", where=path)
        unpacker = lzma.LZMADecompressor(memlimit=MAX_MEMORY)
        text = unpacker.decompress(path.read_bytes(), max_length=MAX_UNPACKED)
        if not unpacker.eof:
            raise InputError(f"broken, or unpacks to over {MAX_UNPACKED:,} bytes", where=path)
        tree = json.loads(text)
        evidence = Leaderboard.model_validate(_with_quotes(tree))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    except lzma.LZMAError as error:
        raise InputError(f"is not an evidence file: {error}", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise InputError(f"field {place}: {first['msg']}", where=path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"holds no valid JSON: {error}", where=path) from error
    check_evidence(evidence, path)
    return evidence


def is_evidence(path: Path) -> bool:
    """Whether a file begins as an evidence file does."""
    try:
        with path.open("rb") as file:
            return file.read(len(XZ)) == XZ
    except OSError:
        return False


def check_evidence(evidence: Leaderboard, where: Path) -> None:
    """Refuse evidence that holds prose, or does not say what day it is of.

    Raises:
        InputError: a text longer than a label, a quote, a title, or no snapshot date.
    """
    if evidence.snapshot is None or not _DAY.fullmatch(evidence.snapshot):
        raise InputError("field snapshot: no day (YYYY-MM-DD)", where=where)
    for submission in evidence.submissions:
        for identity in (submission.id, *submission.also):
            _check(identity, MAX_ID, "id", submission, where)
        if submission.name is not None or submission.problems:
            raise InputError(f"field name or problems of {submission.id}: words", where=where)
        for name, text in _texts(submission):
            _check(text, MAX_TEXT, name, submission, where)
        if any(ablation.quote is not None for ablation in submission.ablations):
            raise InputError(f"field ablations of {submission.id}: a quote", where=where)
    for identity, reason in evidence.unreadable.items():
        if len(identity) > MAX_ID or len(reason) > MAX_TEXT:
            raise InputError("field unreadable: too long to be a fact", where=where)


def _texts(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield every text but the ids, with the field it stands in."""
    for field in ("author", "date", "track"):
        yield field, getattr(submission, field) or ""
    for field in ("techniques", "defaults"):
        for name, value in getattr(submission, field).items():
            yield field, name
            yield field, value if isinstance(value, str) else ""
    for name in submission.absent:
        yield "absent", name
    for ablation in submission.ablations:
        for text in (ablation.variable, ablation.from_, ablation.to, ablation.source.file):
            yield "ablations", text or ""
    for name, source in submission.sources.items():
        yield "sources", name
        yield "sources", source.file


def _check(text: str, limit: int, field: str, submission: Submission, where: Path) -> None:
    if len(text) > limit:
        raise InputError(
            f"field {field} of {submission.id[:MAX_ID]}: {len(text)} characters, "
            f"more than the {limit} of a fact", where=where,
        )  # fmt: skip


def _facts(submission: Submission) -> Submission:
    """Return the submission without title, quotes and problems, its texts cut to labels."""
    return submission.model_copy(
        update={
            "name": None,
            "author": label(submission.author) or None,
            "track": (submission.track or "")[:MAX_TEXT] or None,
            "techniques": {
                name[:MAX_TEXT]: label(value) if isinstance(value, str) else value
                for name, value in submission.techniques.items()
            },
            "absent": tuple(name[:MAX_TEXT] for name in submission.absent),
            "ablations": tuple(map(_contrast, submission.ablations)),
            "sources": {
                name: source
                for name, source in submission.sources.items()
                if name != "name" and len(name) <= MAX_TEXT
            },
            "problems": (),
        }
    )


def _contrast(ablation: Ablation) -> Ablation:
    return ablation.model_copy(
        update={
            "variable": ablation.variable[:MAX_TEXT],
            "from_": None if ablation.from_ is None else label(ablation.from_),
            "to": None if ablation.to is None else label(ablation.to),
            "quote": None,
        }
    )


def _with_quotes(tree: Any) -> Any:
    """Return the tree with the null quotes that the file leaves out."""
    submissions = tree.get("submissions") if isinstance(tree, dict) else None
    for submission in submissions if isinstance(submissions, list) else ():
        ablations = submission.get("ablations") if isinstance(submission, dict) else None
        for ablation in ablations if isinstance(ablations, list) else ():
            if isinstance(ablation, dict):
                ablation.setdefault("quote", None)
    return tree


def main(
    input: Annotated[Path, typer.Option(help="Folder, clone or tar archive of the leaderboard.")],
    snapshot: Annotated[str, typer.Option(help="Day of its newest facts (YYYY-MM-DD).")],
    output: Annotated[Path, typer.Option(help="evidence.json.xz to write.")],
    source: Annotated[str, typer.Option(help="Where it was taken from.")] = UPSTREAM,
    quiet: Annotated[bool, typer.Option(help="No progress and no summary.")] = False,
) -> None:
    """Read the whole leaderboard and write its facts as one small file."""
    with progress_bar("Reading READMEs", quiet=quiet) as progress:
        read = read_leaderboard(open_tree(input), keep_going=True, progress=progress)
    evidence = evidence_of(read, snapshot=snapshot, source=source)
    write_evidence(output, evidence)
    if not quiet:
        print(
            f"{len(evidence.submissions)} submissions as of {snapshot}, "
            f"{output.stat().st_size:,} bytes → {output}"
        )


if __name__ == "__main__":
    run_command(main)
