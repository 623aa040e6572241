"""What one row of a table says was changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from interventions.vocabulary import Value, load_variables
from scripts.causal.leaderboard.changed import Named, changes_in
from scripts.causal.leaderboard.contrasts import (
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    MINUS,
    PLUS,
)
from scripts.causal.leaderboard.tables import Columns, cell, cell_score
from scripts.causal.leaderboard.techniques import besides, variables_in
from scripts.causal.leaderboard.topics import SIZES

Ends = tuple[str | None, str | None]


TOTAL = re.compile(
    r"^\W*(?:total|overall|sum|combined|net|all)\b|^\W*(?:this|ours|final)\b|"
    r"^\W*full\b(?! (?:GPTQ|Hessian|rope|MHA|attention|XSA|precision))",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:up|down|reduced|increased|changed|raised|lowered|was|from)\s(?:from )?([\w.,^]+)"
    r"|([\w.,^]+)\s?(?:->|→)\s?([\w.,^]+)",
    re.IGNORECASE,
)


_CLOSING = re.compile(
    r"\W*(?:(?:\d|three|five)[- ]seed )?(?:means?|average|avg|std|stdev|s\.?d|variance|delta|Δ|"
    r"min|max|range|spread|σ)\b(?=\W*$|\W{0,3}[\d(=:±/]|"
    r"\s(?:vs|of|over|from|to|val|bpb|across|improvement)\b)",
    re.IGNORECASE,
)


_LISTED = re.compile(r"(?:, | [+&] )(?![^()]*\))")  # not within brackets
_ASIDE = re.compile(r"\([^()]*\)")
_REPLACED = re.compile(r"(?:→|->)\s?(?!(?:Full|None|Last|Late|Only)\b)[A-Z][\w-]*[a-z]{3}[\w-]*")
_WITHOUT = re.compile(r"\((?:no|without|w/o)\b[^()]*\)", re.IGNORECASE)
_LOOPS = re.compile(r"\b(\d+) (?:passes|loops)\b", re.IGNORECASE)
_EXPORTED = re.compile(r"\bround-?trip|\bexport|\bpost-?quant", re.IGNORECASE)
_FLOAT = re.compile(r"\b(?:float|fp|bf)(?:16|32)?\b|\bunquantized\b", re.IGNORECASE)
_GENERIC = (None, "other", "full", "score_first")  # levels that a bare mention is read as
_PLAIN = re.compile(  # says no more than that a thing is there or not
    r"\b(?:no|not|without|w/o|with|only|on|off|enabled?|disabled?|add(?:ed|ing)?|remov(?:e|ed|ing)|"
    r"drop(?:ped)?|all|full|the|and|of|in|at|for|to|eval\w*|layers?|legal|late|final|standard|ours?|"
    r"this|baseline|control|default|tuned|new|old|v\d)\b",
    re.IGNORECASE,
)
FAILED = re.compile(
    r"did ?n[o']t|not (?:work|help)|negative|failed|hurt|dead end|reject|abandon|discard",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]{3}|\d")
_ABSENT = re.compile(r"\b(?:no|non|not|without|w/o|pre|before)[- ]+\S+", re.IGNORECASE)
_SIZED = re.compile(  # words for a size itself
    r"\b(?:(?:deep|wid|larg|bigg|small|narrow|thinn?|shallow)\w*|more|fewer|extra|model|depth|width|"
    r"layers?|MLP|FFN|hidden|dim\w*|heads?|vocab\w*|context|seq\w*|batch\w*|capacity|size|params?|"
    r"scal\w*|GQA|MHA|MQA|KV|arch\w*|config\w*|tokenizer|BPE|int\d|d|L)\b",
    re.IGNORECASE,
)
_AVERAGES = {"ema", "swa"}  # of the weights: both together are one thing
_CODE_NAME = re.compile(r"\W*[A-Za-z0-9]+(?:_[A-Za-z0-9.]+)+\W*$")


def _several(label: str) -> bool:
    """Whether a row lists changes, "XSA, U-Net skips", and is about no one of them first."""
    text = _ASIDE.sub(" ", PLUS.sub("", label))
    for parts, least in ((text.split(","), 2), (re.split(r"\s[+&]\s", text), 2)):
        told = [part for part in parts if part.strip()]
        named = [{name for name, _, _ in variables_in(part)} for part in told]
        if len(told) >= least and sum(map(bool, named)) > 1:
            return not set().union(*named) <= _AVERAGES
    return False


def _after_another(label: str) -> bool:
    """Whether what a row names first is not known, only the second: "Z-loss + no late QAT"."""
    parts = re.split(r"\s[+&]\s", _ASIDE.sub(" ", PLUS.sub("", label)))
    if len(parts) != 2 or not all(re.search("[A-Za-z]{3}", part) for part in parts):
        return False
    return not changes_in(parts[0]) and bool(changes_in(parts[1]))


def closes(label: str) -> bool:
    """Whether a row sums the others up: their mean, their spread, their difference."""
    return bool(_CLOSING.match(label))


def scored(table: Table, columns: Columns) -> list[tuple[Row, float]]:
    """Return the rows with a score in the last score column: no means, no spreads."""
    index = columns.bpb[-1]
    return [
        (row, value)
        for row in table.rows
        if (value := cell_score(row, index)) is not None
        and not re.search(r"\d\+", cell(row, index))  # 1.18+ is a bound
        and not closes(cell(row, columns.label))
    ]


def row_contrast(
    reading: Reading,
    row: Row,
    label: str,
    delta: float,
    unit: str,
    kind: str,
    ends: Ends | None = None,
    control: str = "",
    had: Collection[str] = (),
) -> Iterator[Ablation]:
    """Yield the contrast that a row with this label reports; nothing where it names no change.

    Args:
        control: the label of the row it is set against.
        had: techniques that this row has, besides those its label names.
    """
    if not re.search(r"[A-Za-z]", label) or re.search(r"\bpr\b.{0,4}#?\d+\s{0,4}$", label, re.I):
        return
    label = _differing(label, control)
    named = _subjects(label) or (changes_in(f"{label} = {ends[1]}") if ends and ends[1] else [])
    if (apart := _told_apart(label, control) if not named else None) is not None:
        named = apart
    elif control and len(named) > 0:
        shared = {(name, v) for name, v, _ in changes_in(control) if isinstance(v, (int, float))}
        named = [item for item in named if item[:2] not in shared]
    had = {*had, *held([control])}
    named = [item for item in named if not (item[0] in had and _varied(label, *item[:2]))]
    named = [] if _in_an_aside(label, named) else named
    if not named and (loops := _LOOPS.search(label)) and loops.group() not in control:
        named = [("depth_recurrence", loops.group(1), loops.start())]
    if TOTAL.match(label) or (len(named) > 1 and re.search(r"\s[+&]\s|\band\b", label)):
        kind = "bundle"
    if (
        TOTAL.match(label)
        or len(named) > 2
        or (len(named) > 1 and _several(label))
        or (named and _after_another(label))
    ):
        variable, kind = "other:bundle", "bundle"
    else:
        variable = named[0][0] if named else f"other:{slug(PLUS.sub('', label))}"
    whole = _EXPORTED.search(label) or _FLOAT.search(control)
    if variable == "gptq" and delta > 0 and whole:
        variable = "quant_bits"
    before, after = ends or _ends(label, named)
    yield at_line(
        reading,
        row.line,
        variable=variable,
        control=before,
        treatment=after,
        delta=delta,
        unit=unit,
        kind=kind,
    )


def held(labels: Iterable[str]) -> set[str]:
    """The techniques that runs so labelled have: "no EMA" has none."""
    return {name for label in labels for name, _, _ in changes_in(_ABSENT.sub(" ", label))}


def left_out(reading: Reading, table: Table) -> frozenset[str]:
    """What the control of a table of failures has: what the submission uses was not left out."""
    return reading.used if FAILED.search(" / ".join(table.section[1:])) else frozenset()


def _varied(label: str, name: str, value: Value | None) -> bool:
    """Whether a row names a technique that its control has as well for a variation of it.

    "TTT 2 steps" after "TTT", "QAT-export alignment" where QAT was used: the words beside it say
    what is new.
    """
    kind = load_variables()[name].kind if name in load_variables() else ""
    if kind == "numeric" and value is not None:
        return False
    if kind == "categorical" and (name not in ("ttt", "gptq") or value not in _GENERIC):
        return False
    text = _ASIDE.sub(" ", label)
    parts = text.split(" / ")  # "depth recurrence / tied layers": one thing by two names
    text = next((part for part in parts if besides(part, name) != part), text)
    rest = besides(text, name)
    return rest != text and bool(_WORD.search(_PLAIN.sub(" ", rest)))


def _in_an_aside(label: str, named: Named) -> bool:
    """Whether a row names a size of the model, in brackets, behind what it is about."""
    opened = label.find("(")
    if opened < 0 or not named or min(at for _, _, at in named) < opened:
        return False
    about = _SIZED.sub(" ", _PLAIN.sub(" ", label[:opened]))
    return SIZES.issuperset(name for name, _, _ in named) and bool(_WORD.search(about))


def _differing(label: str, control: str) -> str:
    """A label less what the control's has: "3 passes, MLP 3x" beside "3 passes, MLP 2x".

    "HNet + Muon" beside "SentencePiece + Muon" is about HNet.
    """
    if not (_LISTED.search(label) and control):
        return label
    known = {part.strip().lower() for part in _LISTED.split(control)}
    parts = _LISTED.split(label)
    own = [part for part in parts if part.strip().lower() not in known]
    return ", ".join(own).strip() or label if len(own) < len(parts) else label


def _told_apart(label: str, control: str) -> Named | None:
    """What tells two runs' code names apart: deep_12L_512d is 12 layers beside base_9L_512d.

    None where the names are of another kind, or have no setting in common.
    """
    if not (_CODE_NAME.match(label) and _CODE_NAME.match(control)):
        return None
    mine, other = (changes_in(name.replace("_", " ")) for name in (label, control))
    known = {(name, value) for name, value, _ in other}
    differing = [item for item in mine if item[:2] not in known]
    return differing if len(differing) < len(mine) else None


def beyond(label: str, before: str) -> str:
    """What a row adds to the row before whose label it repeats: "+ TTT + Cache" after "+ TTT"."""
    known, text = (PLUS.sub("", words).strip(" *_") for words in (before, label))
    if len(known) < 3 or not text.lower().startswith(known.lower()):
        return label
    match = re.match(r"\W{0,3}\s?(?:\+|&|and\b)\s", text[len(known) :])
    return f"+ {text[len(known) + match.end() :]}" if match else label


def _subjects(label: str) -> Named:
    """The techniques a row is about; one named only in an aside is not its subject."""
    named = changes_in(_WITHOUT.sub("", label))
    if _replaced(label, named):
        return []  # "BigramHash(1536) → EngramLite(3072)" is about what came new
    head = re.split(r"[,;]", PLUS.sub("", label), maxsplit=1)[0].strip()
    start = label.find(head) + len(head) if head else 0
    if (
        re.search(r"[A-Za-z]{3}", head)
        and not BASELINE.search(head)
        and not TOTAL.match(head)
        and named
        and min(at for _, _, at in named) >= start
    ):
        return []
    return named


def _replaced(label: str, named: Named) -> bool:
    """Whether a technique gives way to another that the vocabulary does not know."""
    match = _REPLACED.search(label) if "→" in label or "->" in label else None
    if match is None or not named or max(at for _, _, at in named) > match.start():
        return False
    return all(
        load_variables()[name].kind != "categorical"
        for name, _, _ in named
        if name in load_variables()
    )


def _ends(label: str, named: Named) -> Ends:
    """What the contrast goes from and to, where the label says."""
    text = PLUS.sub("", label).strip()
    if MINUS.match(label):
        thing = MINUS.sub("", label).strip()[:80]
        return thing or None, "none"
    match = _CHANGE.search(label)
    if match and match.group(2):
        return match.group(2), match.group(3)
    value = next((str(v) for _, v, _ in named if v is not None), None)
    return (match.group(1) if match else None), value or text[:80] or None
