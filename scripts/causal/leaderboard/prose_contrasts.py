"""Contrasts that sentences and list items state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interventions.vocabulary import Value
from scripts.causal.leaderboard.compared import Against, set_against
from scripts.causal.leaderboard.contrasts import (
    BETTER,
    NOT_RUN,
    WORSE,
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.mentions import variables_in
from scripts.causal.leaderboard.row_contrasts import TOTAL
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of

MAX_BLOCK = 4_000  # characters; longer blocks are logs pasted without a fence
MAX_DELTAS = 6

_SPLIT = re.compile(r"(?<=[a-zB)\]0-9%])[.;](?=\s|$)|\n(?=[A-Z•-])")
_HYPOTHETICAL = re.compile(
    r"\b(?:would|should|could|might|expect\w*|estimat\w*|predict\w*|projected|potential\w*|"
    r"if these|target\w*|aim(?:s|ing)?)\b",
    re.IGNORECASE,
)
_NOT_A_CHANGE = re.compile(
    r"\bstd\b|±|threshold|\bnoise|budget|\bwithin|variance|\bp ?[<=]|per[- ]seed|\bspread\b|"
    r"\bclear(?:s|ing)? the|requirement|\bmargin",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\.\d\d")  # in every delta and every score: most sentences have neither
_NUMBER = r"(~|about |roughly )?([+-]|±)?\s?(\d?\.\d{3,8}|0\.\d{2})"
_DELTA = re.compile(
    r"(?<![\w.,])(?<!\d-)(?<!\d to )(?<!/)(?<![≥≤<>])(?<![≥≤<>] )"
    + _NUMBER
    + r"\$?\s{0,4}(?:val[_ ])?(bp[bp]|bits|nats?)\b",
    re.IGNORECASE,
)
_BY = re.compile(
    r"(?<![a-z])(bpb)\s(?:by|of|gain of|improvement of)\s(?:an? )?(?:only )?" + _NUMBER
    + r"(?![\d%])(?!\s?(?:->|→|bpb|nats?|ms|s\b|MB))",
    re.IGNORECASE,
)  # fmt: skip
_DELTA_ONLY = re.compile(r"\W*(?:delta|improvement|gain|difference|Δ)\b", re.IGNORECASE)
_ITEM_TITLE = re.compile(r"\W*([A-Za-z][^—:\n]{2,60}?)(?:\s?—|:| - )")
_SCORE_OF = re.compile(r"(?:#\d{2,5}|\bSOTA|\bbaseline|\brecord)\s?\(\s?$", re.IGNORECASE)
_HEADLINE = re.compile(r"\W*(?:improvement|delta|Δ|gain)\b[^.]{0,40}:", re.IGNORECASE)
_TOGETHER = re.compile(r"\b(?:together|combined|jointly|in total|all three)\b", re.IGNORECASE)
_PENALTY = re.compile(
    r"\b(?:quant\w*|int\d|export|roundtrip|RT)\W{0,3}(?:loss|penalty|gap|degradation|cost)",
    re.IGNORECASE,
)
_STATED_ITEM = re.compile(
    r"\W*(?:\d{1,2}[.)] )?([A-Za-z][^:\n]{2,60}): ?(?:~|about |roughly )?[+-]?\d?\.\d{2,8} ?bpb\b",
    re.IGNORECASE,
)
_GOOD_SECTION = re.compile(
    r"what (?:worked|helped|stacked)|impact|improvement|contribut|gains?\b", re.I
)
_BAD_SECTION = re.compile(r"did ?n[o']t|not work|negative|failed|hurt|dead end", re.IGNORECASE)
_TO = re.compile(
    r"(?<![\w.])(\d\.\d{3,8})\s?(?:bpb\s?)?(?:\([^()\n]{0,30}\)\s?)?(?:->|→)\s?(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_TO_BRIEFLY = re.compile(
    r"(?<![a-z])bpb\b[^.;\n|]{0,40}?(?<![\w.])(\d\.\d\d)\s?(?:->|→)\s?(\d\.\d\d)(?![\d%])",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    r"\(\s?(\d\.\d{3,8})(?: bpb)? (?:vs\.?|versus|against|compared to) (\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\b(?:vs\.?|beats?|behind|prior|previous|over|versus|than|against|delta)\b", re.IGNORECASE
)
_ASIDE = re.compile(  # describes what is compared with, not what was changed
    r"\([^()]{0,120}(?:baseline|SOTA|\bPR\b|#\d{2}|\d\.\d{3})[^()]{0,120}\)"
    r"|\b(?:over|beats?|vs\.?|against|than)\b[^.;,()]{0,60}\b(?:baseline|SOTA|record|reference)\b"
    r"|\b(?:more|less|better|worse|larger|bigger|greater) than\b[^.;()]{0,80}",
    re.IGNORECASE,
)
_WITHOUT = re.compile(
    r"\b(?:without|w/o|minus|removing|disabling)\s([^.;:,\n]{2,40}?)\s"
    r"(?:gives|gets|scores|scored|reaches|reached|achieves|yields|lands at|is|was|costs?|got)\s"
    r"(?:val_bpb )?(?:of |at )?(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"#\d|\bPR\b|baseline|SOTA|reference|record", re.IGNORECASE)
_QUOTED = re.compile(
    r"\b(?:confirmed|showed|shows|reported|reports|measured|found|ablat\w*|validated)\b",
    re.IGNORECASE,
)
_WHERE = re.compile(r"\b(?:all|last|first|every|on|to|over)\s(?:the )?\W{0,3}$", re.IGNORECASE)
_GENERIC = re.compile(
    r"\W*(?:(?:our|the|this|final|mean|best)\b.{0,20}\b(?:score|result|run|submission|mean|bpb)|"
    r"result|note|net|impact|effect|status|score|finding|summary|outcome|change|cost)s?\W*$",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"^\W*(?:this|it|that|their|they|which|these|yields?|gives?|result|effect|impact)\b", re.I
)
_BARE = re.compile(  # "Provides -0.003 BPB on top", "Solo improvement: ...", "-0.006 BPB"
    r"\W*(?:(?:provid|contribut|deliver|giv|sav|cost|yield|recover|add|improv)\w*|[+-]\d|~?\d?\.\d|"
    r"(?:a |an |the )?(?:consistent|solo|total|net|small|measured|free|observed|typical)\b|"
    r"(?:contribution|improvement|impact|effect|gain|benefit|delta|penalty)\b)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"\W*((?:the )?[A-Za-z][\w^()=.-]*(?: [\w^()=.-]+){0,3}?) (?:degrade|hurt|improve|add|give|"
    r"cost|save|contribute|deliver|yield|provide|reduce|help|regresse|lose)[sd]\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"(?:the |a |an |our |all )?(?:this|it|that|which|we|they|these|result|model|run|submission|"
    r"approach|combination|change|technique|method|baseline|stack|total|seeds?|pr)\b"
    r"|.*\b(?:that|which|who|also|then|to|it|this|they|we|i)$",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:vs\.?|over|versus|against|delta|improvement|gain|net|mean|best|SOTA|baseline|PR|record|total|gap)\b"
    r"|#\d|Δ",
    re.IGNORECASE,
)
_WORSE_BY = re.compile(r"\W*(?:worse|regression|degradation|penalty)\b", re.IGNORECASE)
_BETTER_BY = re.compile(r"\W*(?:improvement|gain|better|reduction|benefit)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;:(]|\band\b|\bwhile\b|\bbut\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Delta:
    """One number with its unit: offset in the sentence, sign as written ("" when none)."""

    start: int
    end: int
    sign: str
    number: float
    unit: str


def prose_contrasts(reading: Reading, final: float | None = None) -> Iterator[list[Ablation]]:
    """Yield each block's contrasts; `final` is the score the submission claims."""
    for block in reading.document.blocks:
        if block.kind not in ("paragraph", "item", "heading") or len(block.text) > MAX_BLOCK:
            continue
        if not _FRACTION.search(block.text) or (block.kind == "heading" and not block.section):
            continue
        if NOT_RUN.search(" / ".join(block.section[1:])):
            continue
        start, topic, told = 0, "", False
        for stop in [*(m.end() for m in _SPLIT.finditer(block.text)), len(block.text)]:
            text = block.text[start:stop]
            if not _FRACTION.search(text):
                start, topic, told = stop, topic or text, False
                continue
            whole = set_against(text, block.text[stop : stop + 60], final) if final else None
            if whole is not None:
                yield [_as_a_whole(reading, block, start, whole)]
            elif not (told and _DELTA_ONLY.match(text)):
                yield list(_sentence(reading, block, start, text, topic))
            told = whole is not None
            if final is not None:
                yield list(_left_out(reading, block, start, text, final))
            topic = topic or text
            start = stop


def _as_a_whole(reading: Reading, block: Block, start: int, found: Against) -> Ablation:
    return at_line(
        reading,
        _line(block, start + found.at),
        variable="other:bundle",
        control=found.other or None,
        treatment=found.own,
        delta=found.delta,
        kind="bundle",
    )


def _sentence(
    reading: Reading, block: Block, start: int, text: str, topic: str
) -> Iterator[Ablation]:
    arrow = _TO.search(text) or _TO_BRIEFLY.search(text)
    if arrow and not stage_of(text[arrow.start() : arrow.end() + 30]):
        yield from _arrow(reading, block, start, text, arrow)
        return
    if _HYPOTHETICAL.search(text):
        return
    if pair := _AGAINST.search(text):
        against = _against(reading, block, start, text, pair)
        if against is not None or min(float(pair.group(1)), float(pair.group(2))) < 0.3:
            yield from [against] if against is not None else []
            return
    deltas = _deltas(text)
    if not deltas or (_NOT_A_CHANGE.search(text) and not _HEADLINE.match(text)):
        return
    if len(deltas) == 1:
        found = _one(reading, block, start, text, deltas[0], topic)
        if found is not None:
            yield found
        return
    yield from _several(reading, block, start, text, deltas)


def _deltas(text: str) -> list[_Delta]:
    found = [
        _Delta(m.start(), m.end(), m.group(2) or "", float(m.group(3)), m.group(4).lower())
        for m in _DELTA.finditer(text)
        if m.group(2) or not _SCORE_OF.search(text[max(0, m.start() - 30) : m.start()])
    ]
    found += [
        _Delta(m.start(), m.end(), m.group(3) or "", float(m.group(4)), "bpb")
        for m in _BY.finditer(text)
        if not any(other.start < m.end() and m.start() < other.end for other in found)
    ]
    found = sorted((d for d in found if 0 < d.number <= 0.5), key=lambda delta: delta.start)
    if len(found) == 2 and {d.unit[:3] for d in found} == {"bpb", "nat"}:
        found = [delta for delta in found if delta.unit == "bpb"]  # one change in both units
    return found[:MAX_DELTAS]


def _one(
    reading: Reading, block: Block, start: int, text: str, delta: _Delta, topic: str
) -> Ablation | None:
    named = variables_in(_ASIDE.sub(lambda aside: " " * len(aside.group()), text))
    named = [item for item in named if not _some_layers(item, text)]
    against = _COMPARES.search(text)
    if _PENALTY.search(text):
        return at_line(
            reading,
            _line(block, start + delta.start),
            variable="quant_bits",
            control="before quantization",
            treatment="quantized",
            delta=delta.number,
        )
    stated = _STATED_ITEM.match(text)
    if stated and _GENERIC.match(stated.group(1)):
        stated = None
    change = _signed(delta, text, block)
    if change is None:
        return None
    before = [name for name, _, at in named if at < delta.start]
    subject = _SUBJECT.match(text)
    if _TOGETHER.search(text[: delta.end]):
        variable = "other:bundle"
    elif stated and not variables_in(stated.group(1)):
        compares = _COMPARED.search(stated.group(1))
        variable = "other:bundle" if compares else f"other:{slug(stated.group(1))}"
    elif before:
        variable = before[0]
    elif subject and not _PRONOUN.match(subject.group(1)) and subject.end() < delta.end:
        variable = f"other:{slug(subject.group(1))}"
    elif named:
        variable = named[0][0]
    elif topics := _topics(block, topic, text):
        variable, named = topics[0][0], topics
    elif against:
        variable = "other:bundle"
    else:
        return None
    value = next((str(v) for name, v, _ in named if name == variable and v is not None), None)
    return at_line(
        reading,
        _line(block, start + delta.start),
        variable=variable,
        control=None,
        treatment=value,
        delta=change,
        unit="nats" if delta.unit.startswith("nat") else "bpb",
        kind="bundle" if len(named) > 2 or variable == "other:bundle" else "single",
    )


def _some_layers(named: tuple[str, Value | None, int], text: str) -> bool:
    """Whether "11 layers" says where a technique is applied: on all 11 layers."""
    return named[0] == "num_layers" and bool(_WHERE.search(text[: named[2]]))


def _topics(block: Block, topic: str, text: str) -> list[tuple[str, Value | None, int]]:
    """What "this was a free -0.0016 bpb" is about: the block's opening or the heading above."""
    refers = _REFERS.match(text)
    if refers and topic and (named := variables_in(topic)) and len(named) <= 2:
        return named
    title = _ITEM_TITLE.match(topic) if block.kind == "item" else None
    if title and len(named := variables_in(title.group(1))) == 1 and not _FOREIGN.search(text):
        return named  # "MuonEq-R — normalizes rows. Costs no bytes, ~0.001 BPB improvement."
    headed = variables_in(block.section[-1]) if block.section[1:] else []
    if len(headed) != 1:
        return []
    if refers or _QUOTED.search(text):  # "#413 showed -0.015 in a dev ablation"
        return headed
    opens = not topic or (_BARE.match(text) and not _elsewhere(topic, headed[0][0]))
    return headed if opens and not _FOREIGN.search(text) else []


def _elsewhere(topic: str, variable: str) -> bool:
    """Whether a block opens with another technique than the one in the heading above it."""
    named = {name for name, _, _ in variables_in(topic)}
    return bool(named) and variable not in named


def _signed(delta: _Delta, text: str, block: Block) -> float | None:
    """Treatment minus control: the sign as written, else what the words say of it."""
    worse, better = WORSE.search(text), BETTER.search(text)
    if delta.sign == "-":
        after = text[delta.end : delta.end + 24]
        return delta.number if _WORSE_BY.match(after) else -delta.number
    if delta.sign == "+":
        return -delta.number if better and not worse else delta.number
    if _BETTER_BY.match(text[delta.end : delta.end + 24]):
        return -delta.number  # "zero-byte cost, 0.001 BPB improvement"
    if worse and not BETTER.search(text[: delta.start]):
        return delta.number
    if better:
        return -delta.number
    if block.kind == "heading" and text[delta.end : delta.end + 1] == ")":
        return -delta.number  # "### EMA (~0.002 bpb)" is what it brings
    titles = block.section[-1] if block.section else ""
    if _BAD_SECTION.search(titles):
        return delta.number
    if _GOOD_SECTION.search(titles):
        return -delta.number
    return None


def _several(
    reading: Reading, block: Block, start: int, text: str, deltas: list[_Delta]
) -> Iterator[Ablation]:
    """ "SmearGate -0.003 bpb, EMA -0.001 bpb": each number belongs to its own clause."""
    edge = 0
    for delta in deltas:
        clause = text[edge : delta.end]
        tail = _CLAUSE.search(text, delta.end)
        around = text[edge : tail.start() if tail else len(text)]
        edge = delta.end
        named = variables_in(clause)
        change = _signed(delta, around, block)
        if len(named) != 1 or change is None or _PENALTY.search(around):
            continue
        variable, value, _ = named[0]
        yield at_line(
            reading,
            _line(block, start + delta.start),
            variable=variable,
            control=None,
            treatment=None if value is None else str(value),
            delta=change,
            unit="nats" if delta.unit.startswith("nat") else "bpb",
        )


def _against(
    reading: Reading, block: Block, start: int, text: str, match: re.Match[str]
) -> Ablation | None:
    """A sentence that says "X hurts (1.1466 vs 1.1374)": this against that."""
    mine, theirs = float(match.group(1)), float(match.group(2))
    named = [name for name, _, at in variables_in(text) if at < match.start()]
    if not named or mine == theirs or not (0.3 < mine < 5 and abs(mine - theirs) <= 0.5):
        return None
    return at_line(
        reading,
        _line(block, start + match.start()),
        variable=named[0],
        control=match.group(2),
        treatment=match.group(1),
        delta=mine - theirs,
        kind="bundle" if len(set(named)) > 2 else "single",
    )


def _left_out(
    reading: Reading, block: Block, start: int, text: str, final: float
) -> Iterator[Ablation]:
    """ "The same stack without X gives 1.1459": the submission against itself without X."""
    match = _WITHOUT.search(text)
    named = variables_in(match.group(1)) if match else []
    if match and len(named) == 1 and 0 < abs(final - float(match.group(2))) < 0.2:
        yield at_line(
            reading,
            _line(block, start + match.start()),
            variable=named[0][0],
            control="none",
            treatment=match.group(1)[:80],
            delta=final - float(match.group(2)),
        )


def _arrow(
    reading: Reading, block: Block, start: int, text: str, match: re.Match[str]
) -> Iterator[Ablation]:
    """A sentence that says "1.4472 -> 1.4135"."""
    before, after = float(match.group(1)), float(match.group(2))
    least = 0.1 if "bpb" in text.lower() else 0.3
    if not (least < before < 5 and least < after < 5) or abs(after - before) > 2:
        return
    if re.search(r"\bloss\b", text[max(0, match.start() - 24) : match.start()], re.IGNORECASE):
        return
    named = variables_in(text)
    if not named and _REFERS.match(text) and block.section[1:]:
        headed = variables_in(block.section[-1])
        named = headed if len(headed) == 1 else []
    subject = _SUBJECT.match(text)
    total = bool(TOTAL.match(text)) or not named
    variable = "other:bundle" if total else named[0][0]
    if not named and subject and not _PRONOUN.match(subject.group(1)):
        total, variable = False, f"other:{slug(subject.group(1))}"
    yield at_line(
        reading,
        _line(block, start + match.start()),
        variable=variable,
        control=match.group(1),
        treatment=match.group(2),
        delta=after - before,
        kind="bundle" if total or len(named) > 2 else "single",
    )


def stage_arrows(reading: Reading) -> list[Ablation]:
    """ "1.7579 (pre-quant) → 1.7622 (int8 roundtrip)": two stages of one run."""
    found = []
    for block in reading.document.blocks:
        if block.kind not in ("paragraph", "item", "code") or len(block.text) > MAX_BLOCK:
            continue
        if "->" not in block.text and "→" not in block.text:
            continue
        for match in _TO.finditer(block.text):
            stage = stage_of(block.text[match.end(2) : match.end(2) + 30].split("\n")[0])
            before, after = float(match.group(1)), float(match.group(2))
            if stage in STAGE_CONTRASTS and 0 < abs(after - before) < 0.5:
                variable, control, treatment = STAGE_CONTRASTS[stage]
                found.append(
                    at_line(
                        reading,
                        _line(block, match.start()),
                        variable=variable,
                        control=control,
                        treatment=treatment,
                        delta=after - before,
                    )
                )
    return found


def _line(block: Block, offset: int) -> int:
    return block.line + block.text.count("\n", 0, offset)
