"""Contrasts that sentences and list items state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.changed import Named, changes_in, setting_told
from scripts.causal.leaderboard.compared import Against, all_beaten, set_against
from scripts.causal.leaderboard.contrasts import NOT_RUN, Reading, at_line, slug
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.numbers import in_bits
from scripts.causal.leaderboard.prose_owner import bracketed, brought_by, named_by, subject_of
from scripts.causal.leaderboard.prose_pairs import (
    against_contrast,
    against_in,
    arrow_contrast,
    left_out,
    moves_what_is_titled,
    pair_in,
)
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.sentences import (
    BROUGHT,
    HYPOTHETICAL,
    MAX_BLOCK,
    NOT_A_CHANGE,
    PENALTY,
    PRONOUN,
    REFERS,
    STAGE,
    SUBJECT,
    line_of,
)
from scripts.causal.leaderboard.stated_deltas import (
    StatedDelta,
    exactly,
    is_gain,
    signed_by_words,
    stated_deltas,
)
from scripts.causal.leaderboard.techniques import variables_in
from scripts.causal.leaderboard.topics import (
    FOREIGN,
    headed_by,
    lead_of,
    names_a_change,
    numbered_title,
    of_the_model,
    subject_in,
    topics_of,
)

_SPLIT = re.compile(r"(?<=[A-Za-z)\]0-9%])[.;](?=\s|$)|\n(?=[A-Z•]|-(?![\d.]))")
_FRACTION = re.compile(r"\.\d\d")  # in every delta and every score: most sentences have neither
_DELTA_ONLY = re.compile(r"\W*(?:delta|improvement|gain|difference|Δ)\b", re.IGNORECASE)
_HEADED = re.compile(r"\W*(?:\d{1,2}[.)] )?([A-Za-z][\w /-]{3,60}?)\s?(?:\(|—|–|: | - )")
_THIS_WORK = re.compile(
    r"\W*(?:this|our|the) (?:submission|run|work|record|PR|model|approach|version|stack) "
    r"(?:\w+ )?(?:improves|gains|lowers|reduces|beats)\b",
    re.IGNORECASE,
)
_HEADLINE = re.compile(
    r"\W*(?:(?:\d-seed|mean|net|total|overall) ){0,2}(?:improvement|delta|Δ|gain)\b"
    r"[^.:=]{0,40}[:=]",
    re.IGNORECASE,
)
_TOGETHER = re.compile(
    r"\b(?:together|combined(?! with)|jointly|in total|all three)\b", re.IGNORECASE
)
_STATED_ITEM = re.compile(
    r"\W*(?:\d{1,2}[.)] )?([A-Za-z][^:\n]{2,60}): ?(?:~|about |roughly )?[+-]?\d?\.\d{2,8} ?bpb\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\b(?:vs\.?|beats?|behind|prior|previous|over|versus|than|against|delta)\b", re.IGNORECASE
)
_ASIDE = re.compile(  # describes what is compared with, not what was changed
    r"\([^()]{0,120}(?:baseline|SOTA|\bPR\b|#\d{2}|\d\.\d{3})[^()]{0,120}\)"
    r"|\b(?:over|beats?|vs\.?|against|than)\b[^.;,()]{0,60}(?:\.\d[^.;,()]{0,40})?\b(?:baseline|SOTA|record|reference)\b"
    r"|\b(?:more|less|better|worse|larger|bigger|greater) than\b[^.;()]{0,80}",
    re.IGNORECASE,
)
_GENERIC = re.compile(
    r"\W*(?:(?:our|the|this|final|mean|best)\b.{0,20}\b(?:score|result|run|submission|mean|bpb)|"
    r"result|note|net|impact|effect|status|score|finding|summary|outcome|change|cost|"
    r"gain|improvement)s?\W*$",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:vs\.?|over|versus|against|delta|improvement|gain|net|mean|best|SOTA|baseline|PR|record|total|gap)\b"
    r"|#\d|Δ",
    re.IGNORECASE,
)
_ENV = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_LACKS = re.compile(r"\b(?:no|without)\s\W?$", re.IGNORECASE)
_BELOW = re.compile(r"\b(?:gap|penalty|degradation):? -\d?\.\d", re.IGNORECASE)
_BUT = re.compile(r"; |\b(?:but|while|whereas|although|despite)\b", re.IGNORECASE)
_NEAR = 30  # characters: what stands further behind a change is not what made it
_DOING = re.compile(r"\w+ing\b", re.IGNORECASE)  # "extending to all layers", of what is titled
_FOREIGN_RUN = re.compile(r"#\d|\bPR\b|SOTA|record", re.IGNORECASE)
_ON_OTHERS = re.compile(  # "improving on our prior 1.1425 (PR #526) by "
    r"\bimprov\w* (?:on|over|upon) (?:our |the |my )?(?:prior|previous|last|PR|SOTA|baseline|record)\b"
    r"[^;]{0,40}\bby \W{0,4}$",
    re.IGNORECASE,
)
_FROM = re.compile(r"\bfrom \W{0,3}$", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;:(]|\band\b|\bwhile\b|\bbut\b", re.IGNORECASE)


def prose_contrasts(reading: Reading, final: float | None = None) -> Iterator[list[Ablation]]:
    """Yield each block's contrasts; `final` is the score the submission claims."""
    above = ""
    for block in reading.document.blocks:
        if block.kind not in ("paragraph", "item", "heading") or len(block.text) > MAX_BLOCK:
            continue
        lead = "" if block.kind == "heading" else lead_of(reading, block)
        if block.kind == "heading" or lead:
            above = lead if lead and len(lead) + 12 > len(block.text) else ""
        if not _FRACTION.search(in_bits(block.text)) or (
            block.kind == "heading" and not block.section
        ):
            continue
        if NOT_RUN.search(" / ".join(block.section[1:])):
            continue
        start, topic, told = 0, "", False
        for stop in [*(m.end() for m in _SPLIT.finditer(block.text)), len(block.text)]:
            text = in_bits(block.text[start:stop])
            if not _FRACTION.search(text):
                start, topic, told = stop, topic or text, False
                continue
            whole = set_against(text, block.text[stop : stop + 60], final or None)
            beaten = all_beaten(text, final) if final else []
            if whole is not None and moves_what_is_titled(text, lead or above):
                whole = None
            if beaten or whole is not None:
                compared = beaten or ([whole] if whole is not None else [])
                yield [
                    _as_a_whole(reading, block, start, text, one, lead or above)
                    for one in compared
                ]
            elif not (told and _DELTA_ONLY.match(text)):
                yield list(_sentence(reading, block, start, text, topic, lead or above))
            told = whole is not None
            if final is not None:
                yield list(left_out(reading, block, start, text, final))
            topic = topic or text
            start = stop


def _as_a_whole(
    reading: Reading, block: Block, start: int, text: str, found: Against, lead: str
) -> Ablation:
    """The submission against another run: by what the words in bold above name, if they do."""
    told = names_a_change(lead) and not _FOREIGN_RUN.search(text)
    named = subject_in(lead) if told else []
    return at_line(
        reading,
        line_of(block, start + found.at),
        variable=named[0][0] if len(named) == 1 else "other:bundle",
        control=found.other or None,
        treatment=found.own,
        delta=found.delta,
        kind="single" if len(named) == 1 else "bundle",
    )


def _sentence(
    reading: Reading, block: Block, start: int, text: str, topic: str, lead: str
) -> Iterator[Ablation]:
    if pair := pair_in(text, block, lead):
        yield from arrow_contrast(reading, block, start, text, pair, lead, topic)
        return
    if HYPOTHETICAL.search(text):
        return
    if pair := against_in(text):
        against = against_contrast(reading, block, start, text, pair, lead)
        if against is not None or min(float(pair.group(1)), float(pair.group(2))) < 0.3:
            yield from [against] if against is not None else []
            return
    deltas = stated_deltas(text)
    if not deltas or (NOT_A_CHANGE.search(text) and not _HEADLINE.match(text)):
        return
    if len(deltas) == 1:
        found = _one(reading, block, start, text, deltas[0], topic, lead)
        if found is not None:
            yield found
        return
    yield from _several(reading, block, start, text, deltas, topic, lead)


def _one(
    reading: Reading,
    block: Block,
    start: int,
    text: str,
    delta: StatedDelta,
    topic: str,
    lead: str,
) -> Ablation | None:
    named = changes_in(STAGE.sub(_blank, _ASIDE.sub(_blank, text)))
    named = [item for item in named if not of_the_model(item, text)]
    against = _COMPARES.search(text)
    if _is_penalty(delta, text) and not is_gain(delta, text):
        return at_line(
            reading,
            line_of(block, start + delta.start),
            variable="quant_bits",
            control="before quantization",
            treatment="quantized",
            delta=-delta.number if _BELOW.search(text) else delta.number,
        )
    stated = _STATED_ITEM.match(text)
    if stated and _GENERIC.match(stated.group(1)):
        stated = None
    change = signed_by_words(delta, text, block)
    if change is None:
        return None
    before = [name for name, _, at in named if at < delta.start]
    source = brought_by(text, delta)
    if len(set(before)) > 1:
        host = {name for name, _, _ in bracketed(text, delta)}
        before = list(host) if len(host) == 1 else before
    subject = SUBJECT.match(text)
    brought = topics_of(block, topic, text, lead) if BROUGHT.match(text) else []
    if _TOGETHER.search(text[: delta.end]) or _ON_OTHERS.search(text[: delta.start]):
        variable = "other:bundle"
    elif source:
        variable = source
    elif len(brought) == 1 and not before:
        variable, named = brought[0][0], brought
    elif stated and not variables_in(stated.group(1)):
        compares = _COMPARED.search(stated.group(1))
        variable = "other:bundle" if compares else f"other:{slug(stated.group(1))}"
    elif before:
        variable = before[0] if len(set(before)) == 1 else "other:bundle"
    elif _THIS_WORK.match(text):
        variable = "other:bundle"
    elif (
        subject
        and not PRONOUN.match(subject.group(1))
        and subject.end() < delta.end
        and not (_DOING.match(subject.group(1)) and topics_of(block, topic, text, lead))
    ):
        variable = named_by(subject.group(1), headed_by(block), block.section[-1:])
    elif named and named[0][2] < delta.end + _NEAR and not _LACKS.search(text[: named[0][2]]):
        variable = named[0][0]
    elif topics := topics_of(block, topic, text, lead):
        variable, named = topics[0][0], topics
    elif block.kind == "heading" and (titled := _HEADED.match(text)):
        variable = f"other:{slug(titled.group(1))}"
    elif against and FOREIGN.search(text):
        variable = "other:bundle"
    elif names_a_change(lead) and delta.unit.startswith("bp"):
        variable = f"other:{slug(lead)}"
    elif delta.sign == "-" and (
        setting := _ENV.search(text, 0, delta.start) or _ENV.search(topic)
    ):
        variable = f"other:{slug(setting.group())}"
    elif against and len(headed := headed_by(block)) == 1 and not FOREIGN.search(text):
        variable, named = headed[0][0], headed
    elif BROUGHT.match(text) and (title := numbered_title(block)):
        variable = f"other:{slug(title)}"
    elif against or _DELTA_ONLY.match(text) or (REFERS.match(text) and FOREIGN.search(topic)):
        variable = "other:bundle"
    else:
        return None
    if variable == "other:bundle" and delta.unit.startswith("nat"):
        return None  # a margin by the rules, not beside a score in bits
    variable = setting_told(variable, text)
    value = next((str(v) for name, v, _ in named if name == variable and v is not None), None)
    return at_line(
        reading,
        line_of(block, start + delta.start),
        variable=variable,
        control=None,
        treatment=value,
        delta=exactly(change, text),
        unit="nats" if delta.unit.startswith("nat") else "bpb",
        kind="bundle" if len(named) > 2 or variable == "other:bundle" else "single",
    )


def _is_penalty(delta: StatedDelta, text: str) -> bool:
    """Whether a change is what quantization costs, not what another clause says of something."""
    return any(
        not _BUT.search(text[min(m.end(), delta.end) : max(m.start(), delta.start)])
        for m in PENALTY.finditer(text)
    )


def _blank(aside: re.Match[str]) -> str:
    return " " * len(aside.group())


def _several(
    reading: Reading,
    block: Block,
    start: int,
    text: str,
    deltas: list[StatedDelta],
    topic: str,
    lead: str,
) -> Iterator[Ablation]:
    """ "SmearGate -0.003 bpb, EMA -0.001 bpb": each number belongs to its own clause."""
    edge = 0
    for delta in deltas:
        tail = _CLAUSE.search(text, delta.end)
        around = text[edge : tail.start() if tail else len(text)]
        named = _of_clause(block, text, delta, edge, topic, lead)
        edge = delta.end
        change = signed_by_words(delta, around, block)
        if len(named) != 1 or change is None or PENALTY.search(around):
            continue
        variable, value, _ = named[0]
        yield at_line(
            reading,
            line_of(block, start + delta.start),
            variable=variable,
            control=None,
            treatment=None if value is None else str(value),
            delta=change,
            unit="nats" if delta.unit.startswith("nat") else "bpb",
        )


def _of_clause(
    block: Block, text: str, delta: StatedDelta, edge: int, topic: str, lead: str
) -> Named:
    """What the clause that a number closes names, else its subject, else what the block is of."""
    if source := brought_by(text, delta):
        return [(source, None, delta.end)]
    if _FROM.search(text[: delta.start]):
        return []  # "from 0.009 to 0.002 bpb"
    clause = STAGE.sub(_blank, text[edge : delta.end])
    named = [one for one in changes_in(clause) if not of_the_model(one, clause)]
    if len({name for name, _, _ in named}) > 1:
        host = bracketed(text, delta)
        return host if len({name for name, _, _ in host}) == 1 else named
    if named:
        return named[:1]
    if subject := subject_of(clause):
        return [(subject, None, edge)]
    topics = topics_of(block, topic, text, lead) if not edge else []
    return [one for one in topics if one[2] <= _NEAR]
