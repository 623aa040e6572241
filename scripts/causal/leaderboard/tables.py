"""What a table's columns are: decided from the header and the cells, not from one fixed layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.numbers import SIGNED, in_bits, parse_number, scores

SEED = re.compile(r"^\W*seeds?\b|^run seed", re.IGNORECASE)
MEAN = re.compile(r"(?<!-)\bmean|\baverage|\bavg", re.IGNORECASE)
SPREAD = re.compile(
    r"\bstd\b|\bstdev|\bs\.?d\.?\b|\bvariance|\bdelta|\bΔ|(?<!\d[ -])\bmin\b|\bmax\b|\brange", re.I
)
_DELTA = re.compile(
    r"Δ|δ|\bdelta|\beffect\b|\bimpact|\bgain\b|\bimprov|\bchange in|\bcontribution|\bdiff|"
    r"\bvs\.? |\bpenalty|\bgap\b|\bdegradation|\bbenefit|\bcost\b|\bregression|\bhelp",
    re.IGNORECASE,
)
_NOT_BPB = re.compile(
    r"time|step|loss|nats|\bce\b|ms\b|seconds|\bs\b|mb\b|bytes|size|params|p-value|p value|memory|"
    r"rank|"
    r"commit|ratio|tok(?:en)?s?/|epoch|\blr\b|tokens|std|count|ppl|accuracy|speed|tok/s|"
    r"\bcos(?:ine)?\b|similarity|\bnll\b|_acc\b|wh\b|wh/|threshold|\$|(?:^|_)wd$",
    re.IGNORECASE,
)
_VERSUS = re.compile(r"\W*vs\.?\s", re.IGNORECASE)
_BPB_WORD = re.compile(r"bpb|bits.per.byte|score", re.IGNORECASE)
_FROM = re.compile(r"^(?:from|control|before|old|default)$", re.IGNORECASE)
_TO = re.compile(r"^(?:to|treatment|after|new|ours)$", re.IGNORECASE)
_CLOSING = re.compile(r"\W*(?:std|stdev|s\.?d\.?|σ|range|spread|delta|Δ)\b", re.IGNORECASE)
_BESIDE = re.compile(r"\((?:Δ ?)?[+-]\d?\.\d{3,}\)")  # 5120 (-0.003)
_STATED = re.compile(
    r"[~(* ]{0,3}[+-]\s?\d?\.\d{2,8}\s?(?:m?bp[bp]|worse|better)\b", re.IGNORECASE
)
_SPREAD_TOO = re.compile(  # beside the mean, in its column
    r"(?<=mean|.avg) ?(?:±|\+/-|\() ?(?:std\w*|s\.?d\.?|σ)\)?", re.IGNORECASE
)
_AMOUNT = re.compile(r"\(\d+ ?(?:steps|epochs?|ep)\)", re.IGNORECASE)  # "SLOT (8 steps)"
_KIND = re.compile(r"^kind$", re.IGNORECASE)
_STARTS = re.compile(r"[^\w+-]{0,4}(?:val_bpb\W{1,3})?\d\.\d{2,10}(?![\d%]|\.\d)")
_EXACT = re.compile(r"[^\w+-]{0,4}(?:val_bpb\W{1,3})?\d\.\d{3}")
_UNIT = re.compile(r"\s?(?:[KMG]i?B|ms|s|sec|x|k|M|steps?|%)\b|\s?%")
_INDEX = re.compile(r"^\W*(?:#|no\.?|rank|exp\w*|id|row|run|step|nr|idx)?\W*$", re.IGNORECASE)
_LOG = re.compile(
    r"^\W*(?:step|iter|token(?!i)|time|wall|minute|hour|date|day|when|chunk(?![ _]size)|position|"
    r"layer\b|block\b|"
    r"window|doc|distance|runtime|elapsed|commit|author)",
    re.IGNORECASE,
)
_VERDICT = re.compile(
    r"note|status|result|verdict|decision|comment|importan|interpret|outcome|finding|\blog|source|"
    r"why|hash|reason|assess|issue|eval|file|artifact|\bfit|remark|conclusion|observ|label|sensitiv",
    re.IGNORECASE,
)
_RUNS = re.compile(r"^\W*(?:variant|experiment|name|log|run|arm|trial|milestone|test)s?\W*$", re.I)
_NAME_ONLY = re.compile(
    r"\W*(?:[A-Za-z]{1,10} [A-Z]\d?|T\+\w+|(?:[A-Za-z]{1,6}[-_ ]?)?\d[\w./:-]*|\w+_[\w.]+)\W*$"
)
_BYTES = re.compile(r"artifact|bytes|size|total", re.IGNORECASE)
_ARTIFACT = re.compile(r"artifact|bytes|\bMi?B\b", re.IGNORECASE)  # the first may be "Vocab size"


@dataclass(frozen=True)
class Columns:
    """Indices of a table's columns by role; label is the first that is none of the others."""

    label: int
    seed: int | None
    bpb: tuple[int, ...]
    delta: tuple[int, ...]
    size: tuple[int, ...]
    control: int | None = None
    treatment: int | None = None
    kind: int | None = None


@lru_cache(maxsize=128)  # every reader of a table asks
def columns_of(table: Table) -> Columns:
    """Decide what each column holds."""
    seed = None
    bpb: list[int] = []
    delta: list[int] = []
    size: list[int] = []
    body = [row for row in table.rows if row.cells and not _CLOSING.match(row.cells[0])]
    for index, title in enumerate(table.header):
        cells = [row.cells[index] for row in body if index < len(row.cells)]
        if (
            seed is None
            and SEED.match(title)
            and any(parse_seed(cell) is not None for cell in cells)
        ):
            seed = index
        elif index and _is_delta(title, cells):
            delta.append(index)
        elif index and _is_bpb(title, cells):
            bpb.append(index)
        elif (_BYTES if index else _ARTIFACT).search(title) and any(
            re.search(r"\d", cell) for cell in cells
        ):
            size.append(index)
    taken = {seed, *bpb, *delta, *size}
    if bpb and not any(cell_delta(row, i) is not None for row in table.rows for i in delta):
        delta = []  # of percentages only
    label = _label(table, [i for i in range(len(table.header)) if i not in taken])
    control, treatment, kind = (
        next((i for i, title in enumerate(table.header) if role.match(title)), None)
        for role in (_FROM, _TO, _KIND)
    )
    return Columns(label, seed, tuple(bpb), tuple(delta), tuple(size), control, treatment, kind)


@lru_cache(maxsize=4096)
def parse_seed(cell: str) -> int | None:
    """Return the seed a cell names (1337, seed 42, 42 (clean)), or None."""
    match = re.match(r"\W*(?:seed\s{0,4}=?\s{0,4})?(\d{1,9})\b(?!\.\d)", cell, re.IGNORECASE)
    return int(match.group(1)) if match else None


def cell(row: Row, index: int) -> str:
    """Return a row's cell, empty where the row is short."""
    return row.cells[index] if index < len(row.cells) else ""


def cell_score(row: Row, index: int) -> float | None:
    """Return the first bpb score in a cell."""
    return _first_score(cell(row, index))


@lru_cache(maxsize=4096)  # a dozen readers ask the same cells, here and below
def _first_score(text: str) -> float | None:
    found = scores(text)
    return found[0] if found else None


def cell_delta(row: Row, index: int) -> float | None:
    """Return a cell's signed change; an unsigned small number counts too."""
    return _delta_in(cell(row, index))


@lru_cache(maxsize=4096)
def _delta_in(cell: str) -> float | None:
    text = in_bits(cell).lstrip("~ ")
    if re.search(r"%", text) and not SIGNED.search(text):
        return None
    match = SIGNED.search(text)
    if match and _UNIT.match(text, match.end()):
        return None
    if match and match.group(1) == "±" and float(match.group(2)):
        return None  # a spread
    if match:
        number = float(match.group(2))
        return -number if match.group(1) == "-" else number
    plain = re.match(r"\W{0,3}(\d?\.\d{2,10})(?![\d%])", text)
    return float(plain.group(1)) if plain and float(plain.group(1)) < 0.5 else None


def _label(table: Table, free: list[int]) -> int:
    """The column that names the rows: not dates or run numbers where another has words."""
    first = next((i for i in free if _names(table, i)), 0)
    added = next((i for i in free if i > first and _adds(table, i)), None)
    if added is not None and not _adds(table, first):
        return added  # "+ XSA" of a history whose rows are dated or numbered
    cells = [text for row in table.rows if (text := cell(row, first))]
    dull = any(title.match(table.header[first]) for title in (_LOG, _INDEX, _RUNS))
    if dull and cells and sum(bool(_NAME_ONLY.match(text)) for text in cells) * 2 > len(cells):
        return next((i for i in free if i > first and _describes(table, i)), first)
    return first


def _adds(table: Table, index: int) -> bool:
    """Whether a column tells of most rows what they add: "+ XSA"."""
    cells = [text for row in table.rows[1:] if (text := cell(row, index))]
    added = sum(text.startswith("+ ") for text in cells)
    return added >= 2 and added * 2 >= len(cells)


def _describes(table: Table, index: int) -> bool:
    """Whether a column says of every row something of its own, and no verdict on it."""
    title = table.header[index]
    if _VERDICT.search(title) or _LOG.match(title) or not _wordy(table, index, least=3):
        return False
    cells = [text for row in table.rows if (text := cell(row, index))]
    return len(set(cells)) * 4 > len(cells) * 3


def is_log(table: Table, label: int) -> bool:
    """Whether rows are numbered by step, time or place: a course of one run, not variations."""
    return bool(_LOG.match(table.header[label]))


def is_index(title: str) -> bool:
    """Whether a column only numbers the rows."""
    return bool(_INDEX.match(title))


def _names(table: Table, index: int) -> bool:
    """Whether a column can name its rows: words, or values of what its title names."""
    if _wordy(table, index) or not is_index(table.header[index]):
        return True
    if not re.search("rank", table.header[index], re.IGNORECASE):
        return False
    numbers = [number for row in table.rows if (number := parse_number(cell(row, index)))]
    return bool(numbers) and max(numbers) > 2 * len(table.rows) + 10  # "Rank" 64, 128, 256


def _wordy(table: Table, index: int, least: int = 2) -> bool:
    word = re.compile(rf"[A-Za-z]{{{least}}}")
    return any(word.search(cell(row, index)) for row in table.rows)


def _is_delta(title: str, cells: list[str]) -> bool:
    signed = sum(bool(SIGNED.match(text.lstrip("~ (*"))) for text in cells if text[:1] != "±")
    versus = _VERSUS.match(title) and signed
    if re.search(r"time|step|ms|mb|bytes|loss|%|size|params", title, re.I) and not (
        versus or _BPB_WORD.search(title)
    ):
        return False
    beside = sum(bool(_BESIDE.search(text)) for text in cells)
    numeric = sum(bool(re.search(r"\d", text)) for text in cells) if signed or beside else 0
    if beside >= 2 and beside * 2 >= numeric:
        return True
    if sum(bool(_STATED.match(text)) for text in cells) >= 2:
        return True  # of a column of remarks, "+0.009 BPB at lr=0.0005" beside "crash"
    if _DELTA.search(title):
        return signed > 0 or any(cell_like_delta(text) for text in cells)
    return signed * 2 > numeric and signed >= numeric - 1


def cell_like_delta(text: str) -> bool:
    """Whether a cell is a small unsigned change such as 0.0031."""
    return bool(re.match(r"\W{0,3}0?\.0\d+", text))


def _is_bpb(title: str, cells: list[str]) -> bool:
    found = sum(bool(_STARTS.match(text)) for text in cells)
    if not found:
        return False
    if "±" in title or "/" in title or "(" in title:
        title = _AMOUNT.sub("", _SPREAD_TOO.sub("", title))
    if _BPB_WORD.search(title):
        return not SPREAD.search(title)
    if _NOT_BPB.search(title) or SPREAD.search(title):
        return False
    if not any(_EXACT.match(text) for text in cells):
        return False
    return found * 2 >= len(cells) and all(
        parse_number(text) is None or 0.01 < (parse_number(text) or 0) < 10
        for text in cells
        if text
    )


@lru_cache(maxsize=128)
def mean_row(table: Table) -> int | None:
    """Index of the row of means, if the table has one."""
    for index, row in enumerate(table.rows):
        if row.cells and MEAN.search(row.cells[0]):
            return index
    return None
