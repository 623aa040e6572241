"""One submission's README and submission.json → its facts with their source lines."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator, Sequence

from scripts.causal.leaderboard.ablations import read_ablations, stated_techniques
from scripts.causal.leaderboard.artifact_size import artifact_bytes
from scripts.causal.leaderboard.base_score import base_bpb
from scripts.causal.leaderboard.document import Document, parse_document, visible
from scripts.causal.leaderboard.found import Found
from scripts.causal.leaderboard.lineage import parent_prs
from scripts.causal.leaderboard.outcomes import final_bpb
from scripts.causal.leaderboard.schema import Source, Submission
from scripts.causal.leaderboard.seeds import seed_results, settle_final
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.technique_reading import read_techniques

_DATE = re.compile(r"(?<!\d)(20\d\d-[01]\d-[0-3]\d)(?!\d)")
_TRACKS = ("track_10min_16mb", "track_non_record_16mb")


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the garbage collector from walking tokens, blocks and facts while they are made.

    Nothing here holds itself in a cycle, so all of it goes by reference count. On the leaderboard
    collections took 0.75 s of 15 s.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@collection_paused()
def extract_submission(
    identity: str, readme: str, facts: Sequence[Fact], problems: Sequence[str] = ()
) -> Submission:
    """Read one submission.

    Args:
        identity: path of its folder below the input, `/`-separated.
        readme: the README's text.
        facts: submission.json's scalars.
        problems: what could not be read before this point, in words.
    """
    document = parse_document(readme)
    sources: dict[str, Source] = {}
    pr = _own_pr(identity, facts, sources)
    final = _a_score(final_bpb(document, facts))
    seeds, seed_source = seed_results(document, facts, final)
    if not any(fact.key == "val_bpb" for fact in facts):
        final = settle_final(final, seeds, seed_source)
    parents, parent_source = parent_prs(document, facts, pr)
    base = _a_score(base_bpb(document, facts, final, parents))
    size = artifact_bytes(document, facts, final)
    techniques = read_techniques(document, facts)
    ablations = read_ablations(document, facts, final.value if final else None, techniques.used)
    unknown = stated_techniques(ablations)
    for name, found in (("val_bpb", final), ("base_bpb", base), ("artifact_bytes", size)):
        if found is not None:
            sources[name] = found.source
    if seed_source is not None:
        sources["seeds"] = seed_source
    if parent_source is not None:
        sources["parent_prs"] = parent_source
    for variable, source in techniques.sources.items():
        kind = "techniques" if variable in techniques.used else "absent"
        sources[f"{kind}.{variable}"] = source
    for variable, source in unknown.items():
        sources.setdefault(f"techniques.{variable}", source)
    return Submission(
        id=identity,
        name=_text(facts, ("name", "title", "run_name", "submission_name"), "name", sources)
        or _title(document, sources),
        author=_text(facts, ("author", "authors", "github_id", "github"), "author", sources),
        date=_date(identity, facts, sources),
        track=_track(identity, facts, sources),
        pr=pr,
        val_bpb=final.value if final else None,
        base_bpb=base.value if base else None,
        parent_prs=parents,
        seeds=seeds,
        artifact_bytes=int(size.value) if size else None,
        techniques={**dict.fromkeys(unknown, True), **techniques.used},
        absent=techniques.absent,
        ablations=tuple(ablations),
        sources=sources,
        problems=(*problems, *([f"{document.name}: {document.cut}"] if document.cut else [])),
    )


def _a_score(found: Found | None) -> Found | None:
    """What stands where a score should, unless no model can have it (0.0000, a placeholder).

    Only submission.json is taken at its word for less than a hundredth of a bit.
    """
    if found is None:
        return None
    least = 0.0 if found.source.file == "submission.json" else 0.01
    return found if least < found.value < 15 else None


def _text(
    facts: Sequence[Fact], keys: Sequence[str], field: str, sources: dict[str, Source]
) -> str | None:
    for key in keys:
        for fact in facts:
            if fact.key == key and len(fact.path) <= 2 and isinstance(fact.value, str):
                value = " ".join(visible(fact.value).split())[:200]
                if value:
                    sources[field] = Source(file="submission.json", line=fact.line)
                    return value
    return None


def _title(document: Document, sources: dict[str, Source]) -> str | None:
    for block in document.blocks:
        if block.kind == "heading" and block.text:
            sources["name"] = Source(file=document.name, line=block.line)
            return visible(block.text)[:200]
    return None


def _date(identity: str, facts: Sequence[Fact], sources: dict[str, Source]) -> str | None:
    for fact in facts:
        if fact.key == "date" and len(fact.path) == 1 and isinstance(fact.value, str):
            match = _DATE.match(fact.value)
            if match:
                sources["date"] = Source(file="submission.json", line=fact.line)
                return match.group(1)
    match = _DATE.search(identity)
    return match.group(1) if match else None


def _track(identity: str, facts: Sequence[Fact], sources: dict[str, Source]) -> str | None:
    """The folder's track; submission.json's words only where the path names none."""
    for part in identity.split("/"):
        if part in _TRACKS or part.startswith("track_"):
            return part
    return _text(facts, ("track",), "track", sources)


def _own_pr(identity: str, facts: Sequence[Fact], sources: dict[str, Source]) -> int | None:
    for fact in facts:
        if len(fact.path) == 1 and fact.path[0] in ("pr", "pr_number", "source_pr"):
            match = re.search(r"(\d{1,6})", str(fact.value))
            if match:
                sources["pr"] = Source(file="submission.json", line=fact.line)
                return int(match.group(1))
    head = identity.split("/")[0]
    return int(head) if head.isdigit() and len(head) <= 6 else None
