"""The one or several changes that a sentence states as numbers, and what each of them is of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.changed import Named, changes_in, setting_told
from scripts.causal.leaderboard.contrasts import Reading, at_line, slug
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.prose_owner import bracketed, brought_by, named_by, subject_of
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.sentences import (
    BROUGHT,
    PENALTY,
    PRONOUN,
    REFERS,
    STAGE,
    SUBJECT,
    blank,
    line_of,
)
from scripts.causal.leaderboard.stated_deltas import (
    StatedDelta,
    exactly,
    is_gain,
    signed_by_words,
)
from scripts.causal.leaderboard.topics import (
    FOREIGN,
    SIZES,
    headed_by,
    names_a_change,
    numbered_title,
    of_the_model,
    topics_of,
)

DELTA_ONLY = re.compile(r"\W*(?:delta|improvement|gain|difference|Δ)\b", re.IGNORECASE)
_HEADED = re.compile(r"\W*(?:\d{1,2}[.)] )?([A-Za-z][\w /-]{3,60}?)\s?(?:\(|—|–|: | - )")
_THIS_WORK = re.compile(
    r"\W*(?:this|our|the) (?:submission|run|work|record|PR|model|approach|version|stack) "
    r"(?:\w+ )?(?:improves|gains|lowers|reduces|beats)\b",
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
    r"|\b(?:over|beats?|vs\.?|against|than)\b(?:[^.;,()]|\.(?=\d)){0,60}"
    r"\b(?:baseline|SOTA|record|reference)\b"
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
    r"\b(?:vs\.?|over|versus|against|delta|improvement|gain|net|mean|best|SOTA|baseline|"
    r"PR|record|total|gap)\b|#\d|Δ",
    re.IGNORECASE,
)
_ENV = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_LACKS = re.compile(r"\b(?:no|without)\s\W?$", re.IGNORECASE)
_REMOVED = re.compile(  # what a change is of, where it is told of doing without: "No EMA: +0.01"
    r"(?:^|[.;:]\s)\W{0,6}(?:no|without|w/o|remov(?:e|ed|ing)|disabl(?:e|ed|ing)|"
    r"drop(?:ped|ping)?|turn(?:ed|ing) off)[ -](?:the |all )?$",
    re.IGNORECASE,
)
_BELOW = re.compile(r"\b(?:gap|penalty|degradation):? -\d?\.\d", re.IGNORECASE)
_BUT = re.compile(r"; |\b(?:but|while|whereas|although|despite)\b", re.IGNORECASE)
_NEAR = 30  # characters: what stands further behind a change is not what made it
_DOING = re.compile(r"\w+ing\b", re.IGNORECASE)  # "extending to all layers", of what is titled
_ON_OTHERS = re.compile(  # "improving on our prior 1.1425 (PR #526) by "
    r"\bimprov\w* (?:on|over|upon) (?:our |the |my )?(?:prior|previous|last|PR|SOTA|baseline|"
    r"record)\b[^;]{0,40}\bby \W{0,4}$",
    re.IGNORECASE,
)
_OF_ALL = re.compile(FOREIGN.pattern + r"|\bgap\b|\bquant", re.IGNORECASE)
_FROM = re.compile(r"\bfrom \W{0,3}$", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;:(]|\band\b|\bwhile\b|\bbut\b", re.IGNORECASE)


def one_change(
    reading: Reading,
    block: Block,
    start: int,
    text: str,
    delta: StatedDelta,
    topic: str,
    lead: str,
) -> Ablation | None:
    """A sentence with one change: what it is of, by its own words, its title or its heading.

    Args:
        reading: the README.
        block: the paragraph, item or heading.
        start: where in it the sentence starts.
        text: the sentence.
        delta: the change.
        topic: what the block opens with, "" in its first sentence.
        lead: the words in bold that title it.
    """
    named = changes_in(STAGE.sub(blank, _ASIDE.sub(blank, text)))
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
    subject = SUBJECT.match(text)
    if len(set(before)) > 1:
        host = {name for name, _, _ in bracketed(text, delta)}
        acts = subject.group(1) if subject and "," not in text[subject.end() : delta.start] else ""
        doing = {name for name, _, _ in changes_in(acts)}
        before = next((list(names) for names in (host, doing) if len(names) == 1), before)
    brought = topics_of(block, topic, text, lead) if BROUGHT.match(text) else []
    if before and SIZES.issuperset(before) and (headed := _headed_by_no_size(block)):
        brought, before = headed, []  # "makes 13 layers of 11" below "Depth recurrence"
    if _TOGETHER.search(text[: delta.end]) or _ON_OTHERS.search(text[: delta.start]):
        variable = "other:bundle"
    elif source:
        variable = source
    elif len(brought) == 1 and not before:
        variable, named = brought[0][0], brought
    elif stated and not changes_in(stated.group(1)):
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
    elif (title := numbered_title(block)) and (BROUGHT.match(text) or not _OF_ALL.search(text)):
        variable = f"other:{slug(title)}"
    elif against or DELTA_ONLY.match(text) or (REFERS.match(text) and FOREIGN.search(topic)):
        variable = "other:bundle"
    else:
        return None
    if variable == "other:bundle" and delta.unit.startswith("nat"):
        return None  # a margin by the rules, not beside a score in bits
    variable = setting_told(variable, text)
    if any(name == variable and _REMOVED.search(text[:at]) for name, _, at in named):
        change = -change
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


def _headed_by_no_size(block: Block) -> Named:
    """The technique in the heading above, where it names one that is no size of the model."""
    headed = headed_by(block)
    return headed if len(headed) == 1 and headed[0][0] not in SIZES else []


def _is_penalty(delta: StatedDelta, text: str) -> bool:
    """Whether a change is what quantization costs, not what another clause says of something."""
    return any(
        not _BUT.search(text[min(m.end(), delta.end) : max(m.start(), delta.start)])
        for m in PENALTY.finditer(text)
    )


def several_changes(
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
    clause = STAGE.sub(blank, text[edge : delta.end])
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
