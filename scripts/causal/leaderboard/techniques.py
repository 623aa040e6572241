"""Which techniques a submission uses, with their values, and which it says it does not use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import NamedTuple

from interventions.aliases import Alias, aliases_in, load_aliases, words_of
from interventions.keywords import Text, Wording, fold, guarded
from interventions.vocabulary import Value, Variable, load_variables
from scripts.causal.leaderboard.document import Block, Document, Table, plain
from scripts.causal.leaderboard.numbers import parse_number, tidy
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import columns_of

MAX_MATCHES = 200  # of one pattern in one text: what is said more often is said

# How far a place is trusted to describe the submission itself rather than something it talks of.
STATED, COMMAND, SETTING, CHANGED, CONFIG, TITLE, PROSE, ASIDE = 90, 80, 75, 72, 70, 60, 50, 30

_SKIPPED = guarded(
    r"did ?n[o']?t work|negative|fail(?:ed|ure)|tried|dead ends?|future|next steps?|what's next|"
    r"planned|limitation|rejected|todo|roadmap|not (?:used|included)|discarded|related work|"
    r"reference|acknowledg|ideas|why .{0,30} (?:fails|hurts)|lessons?|^(?:included )?files?\b|"
    r"reported contrasts|why it failed|related prs|contents$|doesn'?t (?:work|help)|what hurt|"
    r"\bi'd (?:do|try)\b|\bwould (?:do|try)\b|with more (?:compute|time)",
    re.IGNORECASE,
)
# In a title these are said of one part ("TTT disabled"), below it of all that follows.
_GONE = guarded(
    r"\b(?:dropped|removed|ruled out|abandoned|killed|superseded|retired|disabled)\b|"
    r"\bnot (?:in|part of) (?:this|the)\b",
    re.IGNORECASE,
)
_ASIDE = guarded(
    r"ablation|contrast|compar|result|history|previous|baseline|background|motivation|sweep|experiment|"
    r"analysis|finding|observ|prior|discussion|lineage|credit|legality|compliance|files?\b|note",
    re.IGNORECASE,
)
_CONFIG = guarded(
    r"architect|config|hyper|setup|training|stack|technique|model|optimi[sz]|quanti[sz]|"
    r"what's in|method|approach|summary|overview|key (?:change|innov|comp|feat)|component|"
    r"run command|reproduc",
    re.IGNORECASE,
)
_NEGATED_BEFORE = guarded(
    r"(?:\b(?:no|zero(?!-init)|without|w/o|not|never|neither|nor|non|removed?|removes|removing|"
    r"drop(?:ped|s)?|disabled?|disables|instead of|replac(?:es?|ed|ing)|unlike|rather than|"
    r"lacks?|excluding|don't|doesn't|didn't|isn't|avoid(?:s|ed)?|rejected|skipped|skipping|beyond|vs\.?)"
    r"[ -](?:(?!(?:but|with|plus)\b)[\w+/#()-]{1,24}[ ,/]{1,2}(?:or |and |no )?){0,3}|no[_-])$",
    re.IGNORECASE,
)
_NEGATED_AFTER = guarded(
    r"^[\w /()+-]{0,24}?(?:\s{0,4}[:|=]\s{0,4}"
    r"(?:none|no|off|disabled|false|not used|n/a|0)\b(?![.,]\d)|"
    r"\s(?:is|are|was|were|has been|have been)?\s?"
    r"(?:not (?:used|enabled|included|applied|claimed|run)|disabled|removed|unused|dropped|"
    r"turned off|rejected|off\b|skipped)|"
    r"\W{1,2}(?:[\w ]{0,30} )?but (?:is |are |was |left )?"
    r"(?:disabled|not (?:used|enabled)|unused|off\b|never)|"
    r"[\w ()/]{0,12}\s?[-—:]+ ?(?:it )?(?:hurts?|hurt|worse|no gain|did ?n[o']t help|negative)\b)",
    re.IGNORECASE,
)
_LEFT_OUT = guarded(
    r"(?:^|[\n|(>]|[.;]\s)\W{0,6}(?:what (?:i|we) |tried and |tested and |also )?"
    r"(?:dropped|removed|not (?:used|included|helpful|adopted)|unused|disabled|excluded|"
    r"rejected|skipped|abandoned|omitted|ruled out|no longer used|did ?n[o']t (?:help|work)|"
    r"harmful|no gain)"
    r"(?: \([^()\n]{0,40}\))?:(?!\s{0,4}(?:no|none)\b)[^\n;:|]{0,100}$",
    re.IGNORECASE,
)
_NONE_OF = guarded(r"\b(?:no|without|neither|never|not?) [^.;:|\n]{0,110}$", re.IGNORECASE)
_OR_LAST = re.compile(r"[^.;:|\n(]{0,80}?(?:,| )\s?n?or [^.;:|\n]{2,40}", re.IGNORECASE)
_STILL = re.compile(r"\b(?:but|with|only|uses?|instead|yet|than|just)\b", re.IGNORECASE)
_NOT_DONE = guarded(
    r"(?:^|\n)\W{0,4}(?:\d{1,2}\. )?(?:re)?(?:try|test|explore|investigate) [^.;\n]{0,60}$|"
    r"\b(?:could|would|might|wanted to|plan to|hope to) (?:have )?(?:also )?"
    r"(?:try|tried|use|add|help|explore)\b[^.;\n]{0,60}$|"
    r"\b(?:top|other|winning|leading|stronger|leaderboard) (?:entries|submissions|records|runs)"
    r"\b[^.;\n]{0,50}\b(?:use|add|rely on|have)\b[^.;\n]{0,50}$",
    re.IGNORECASE,
)
_CLAUSE_START = re.compile(r"\.\s|[;:|\n(]")
_CLAUSE_END = re.compile(r"\.\s|[;\n]")
_SETTING = re.compile(
    r"(?<![\w.$-])([A-Za-z][A-Za-z0-9_]{2,48})\s?[=:]\s?[\"']?([\w.,+-]{1,40})(?![\w.,+-]|\s?=)"
)
_ROW_SETTING = re.compile(r"^([A-Za-z][A-Za-z0-9_]{2,48}) \| ([\w.,+-]{1,40})(?: \||$)")
_ROW_PAIR = re.compile(r"^(\w{3,48}) ?/ ?(\w{3,48}) \| ([\d.,]{1,12}) ?/ ?([\d.,]{1,12})")
_THEIRS = re.compile(
    r"baseline|previous|prior|before|default|\bold\b|parent|#\d|\bfrom\b|\bbase\b|sota|control",
    re.I,
)
_MINE = re.compile(r"\bthis|\bours?\b|\bnew\b|\bafter\b|\bnow\b|#\d|\bto\b|tuned", re.IGNORECASE)
_TOKENIZED = re.compile(r"(?:fineweb10B_|variant[ =])sp(\d{3,5})(?!\d)|\bfineweb_(\d{3,5})_bpe")
_MLP_HIDDEN = re.compile(r"\bMLP[_ ]hidden(?: dim| size)?\W{0,4}(\d{3,5})\b", re.IGNORECASE)
_MLP_SET = re.compile(r"\bMLP_HIDDEN\s?=\s?(\d{3,5})\b")
_OFF = ("0", "false", "no", "off", "none", "0.0", "not", "removed", "disabled")
_ON = ("true", "yes", "on", "enabled", "used", "all", "full", "default")
_TTT_PLACE = re.compile(r"\bTTT\b|test[ -]time|\bSGD\b|\bSLOT\b")
_TTT_SETTINGS = ("grad_clip", "muon_momentum", "matrix_lr", "weight_decay", "train_batch_tokens")
_AT_EVALUATION = re.compile(r"\bstride|\bsliding|\bevaluat|\beval\b", re.IGNORECASE)
_PART_OF = {
    "vocab_size": re.compile(r"gram\b|gramhash|\bhash", re.IGNORECASE),
    "train_seq_len": re.compile(rf"(?:{_AT_EVALUATION.pattern})(?![^,|]*\btrain)", re.IGNORECASE),
}
_TARGET = re.compile(r"\s?(?:->|→)\s?(\d[\d.,]*[kKM]?)")
_OTHERS_ROW = re.compile(
    r"^(?:PR ?)?#\d{2,5}|\b(?:discard|reverted|rejected|abandoned)", re.IGNORECASE
)
_JSON_ELSEWHERE = guarded(
    r"baseline|compar|seed_results|per_seed|attribution|credit|lineage|previous|prior|base_|"
    r"ablation|negative|failed|history|reference|hardware|file",
)
_JSON_PROSE = {
    "name", "title", "run_name", "submission_name", "blurb", "description", "summary", "notes",
    "techniques", "technique", "technique_summary", "key_techniques", "architecture", "features",
    "key_changes", "changes", "methods", "innovations", "key_innovations", "quantization",
    "compression", "tokenizer", "optimizer", "changes_from_baseline", "inherited_techniques",
    "novel_techniques", "novel_contributions", "our_contribution", "novel_contribution",
    "eval_method", "val_bpb_method", "contribution", "approach", "method", "activation",
    "base_submission", "compressor", "ttt", "model", "training", "eval", "evaluation",
}  # fmt: skip


class Evidence(NamedTuple):  # a README gives hundreds, and few of them come to be a source
    """One place that speaks of a technique; value None when it only names it."""

    variable: str
    value: Value | None
    weight: int
    file: str
    line: int
    negated: bool = False
    generic: bool = False
    hint: bool = False  # speaks of a level, but of the technique only where that is named too

    @property
    def source(self) -> Source:
        """Where it stands."""
        return Source(file=self.file, line=self.line)


@dataclass(frozen=True)
class Techniques:
    """The reading: id → value, ids said to be absent, and where each was read."""

    used: dict[str, Value]
    absent: tuple[str, ...]
    sources: dict[str, Source]


def read_techniques(document: Document, facts: Iterable[Fact]) -> Techniques:
    """Collect the evidence of README and submission.json and settle each technique's value."""
    found: dict[str, list[Evidence]] = {}
    for evidence in [
        *_from_json(facts),
        *_from_settings(document),
        *_from_change_tables(document),
        *_from_text(document),
    ]:
        found.setdefault(evidence.variable, []).append(evidence)
    used: dict[str, Value] = {}
    sources: dict[str, Source] = {}
    absent = []
    for name, variable in load_variables().items():
        places = found.get(name, [])
        positive = [e for e in places if not e.negated and not e.hint]
        negative = [e for e in places if e.negated and _denies_all(e)]
        if positive and not _outweighed(positive, negative):
            used[name], sources[name] = _best(places, variable)
        elif negative and (variable.kind != "categorical" or "none" in variable.levels):
            absent.append(name)
            sources[name] = max(negative, key=lambda e: e.weight).source
    if "optimizer" not in used and "muon_momentum" in used:
        used["optimizer"], sources["optimizer"] = "muon", sources["muon_momentum"]
    _width_of_mlp(document, used, sources)
    layers = used.get("num_layers")
    if used.get("xsa_layers") == "all":
        used["xsa_layers"] = layers if layers is not None else True
    ordered = {name: used[name] for name in load_variables() if name in used}
    return Techniques(ordered, tuple(absent), sources)


def _width_of_mlp(document: Document, used: dict[str, Value], sources: dict[str, Source]) -> None:
    """MLP_HIDDEN=992 over a stated model_dim of 512 is an mlp_mult of 1.9375.

    As a setting it overrides MLP_MULT; as a remark it only stands in for it.
    """
    dim = used.get("model_dim")
    if not isinstance(dim, int):
        return
    known = type(used.get("mlp_mult")) in (int, float)
    for block in document.blocks:
        match = (_MLP_SET if known else _MLP_HIDDEN).search(block.text)
        if match and _weight(block, document):
            hidden = parse_number(match.group(1)) or 0.0
            if 0.5 <= hidden / dim <= 16:
                line = block.line + block.text.count("\n", 0, match.start())
                used["mlp_mult"] = tidy(round(hidden / dim, 4))
                sources["mlp_mult"] = Source(file=document.name, line=line)
                return


def variables_in(text: str) -> list[tuple[str, Value | None, int]]:
    """Return (id, value or None, offset) of the techniques a short text names, in text order.

    Of overlapping mentions the longest counts.
    """
    return list(_variables_in(text))


@lru_cache(maxsize=4096)  # the same few labels and stage names come again and again
def _variables_in(text: str) -> tuple[tuple[str, Value | None, int], ...]:
    hits: list[tuple[int, int, str, Value | None]] = []
    words = words_of(text)
    for alias in aliases_in(words):
        for start, end, value, _ in _matches(alias, words):
            hits.append((start, end, alias.variable, value))
    for name, value, start, end in _settings(text):
        hits.append((start, end, name, None if value is True else value))
    hits.sort(key=lambda hit: (hit[0], -hit[1], hit[3] is None))
    chosen: list[tuple[str, Value | None, int]] = []
    seen: dict[str, int] = {}
    reached = -1
    for start, end, name, value in hits:
        if name in seen:
            at = seen[name]
            if chosen[at][1] is None and value is not None:
                chosen[at] = (name, value, chosen[at][2])
            continue
        if start < reached and end <= reached:
            continue
        reached = max(reached, end)
        seen[name] = len(chosen)
        chosen.append((name, value, start))
    return tuple(chosen)


def _outweighed(positive: list[Evidence], negative: list[Evidence]) -> bool:
    """An explicit switch-off beats talk; denial in prose beats only asides and few mentions."""
    if not negative:
        return False
    loudest = max(e.weight for e in positive)
    return max(e.weight for e in negative) > loudest or (
        len(negative) > len(positive) and loudest <= max(e.weight for e in negative)
    )


def _denies_all(evidence: Evidence) -> bool:
    """Whether a denial is of the technique, not of one level of it ("no pre-quant TTT")."""
    return evidence.value is None or evidence.generic or evidence.value is False


def _best(places: list[Evidence], variable: Variable) -> tuple[Value, Source]:
    """The value with most weight behind it, at its most trusted, earliest place.

    Only the most trusted kind of place votes on a number, so that ten mentions of a baseline's
    value do not beat the run command; on a level all places vote unless one states it outright,
    and levels denied somewhere lose those votes.
    """
    positive = [e for e in places if not e.negated]
    valued = [e for e in positive if e.value is not None]
    if specific := [e for e in valued if not e.generic]:
        valued = specific
    if not valued:
        first = max(positive, key=lambda e: e.weight)
        return True, first.source
    votes: dict[Value | None, float] = {}
    trusted = max(e.weight for e in valued)
    for evidence in valued:
        if evidence.weight == trusted or (variable.kind == "categorical" and trusted < SETTING):
            mixed = "_int" in str(evidence.value)  # "int5 MLP, int6 attention" says both
            weight = evidence.weight**2 * (3 if mixed else 1)
            votes[evidence.value] = votes.get(evidence.value, 0) + weight
    for denial in places:
        if denial.negated and denial.value in votes:
            votes[denial.value] -= denial.weight**2
    chosen = max(votes, key=lambda value: votes[value])
    best = max((e for e in valued if e.value == chosen), key=lambda e: e.weight)
    return True if chosen is None else chosen, best.source


def _from_json(facts: Iterable[Fact]) -> Iterator[Evidence]:
    for fact in facts:
        path = "/".join(fact.path).lower()
        if fact.value is None or _JSON_ELSEWHERE.search(path, path):
            continue
        place = ("submission.json", fact.line)
        setting = _setting(fact.key, str(fact.value))
        if setting is not None:
            name, value = setting
            yield Evidence(name, None if value is True else value, STATED, *place, value is False)
        elif fact.key.startswith("no_") and fact.value is True:
            for name, level, _ in variables_in(fact.key[3:].replace("_", " ").upper()):
                yield Evidence(name, level, CONFIG, *place, negated=True)
        elif isinstance(fact.value, str) and any(
            part.lower() in _JSON_PROSE for part in fact.path
        ):
            for clause in re.split(r"(?<=[.;])\s", fact.value[:4000]):
                yield from _from_clause(clause, TITLE, *place)
        elif fact.value is True:
            for name, _, _ in variables_in(fact.key.replace("_", " ")):
                yield Evidence(name, None, PROSE, *place)


def _from_clause(text: str, weight: int, file: str, line: int) -> Iterator[Evidence]:
    text = plain(text)
    words = words_of(text)
    for alias in aliases_in(words):
        for start, end, value, generic in _matches(alias, words):
            negated = _negated(words, start, end)
            hint = text[start:end].lower() in alias.hints
            yield Evidence(alias.variable, value, weight, file, line, negated, generic, hint)
    for name, value, _, _ in _settings(text):
        stated = None if value is True else value
        yield Evidence(name, stated, weight, file, line, value is False)


def _from_settings(document: Document) -> Iterator[Evidence]:
    """NAME=value in run commands and dumps; the first command is the submission's own."""
    changes = {row.line for table in document.tables if own_column(table) for row in table.rows}
    for block in document.blocks:
        weight = COMMAND if block.kind == "code" else _weight(block, document)
        if not weight or (block.kind == "code" and _SKIPPED.search(" ".join(block.section))):
            continue
        if block.kind == "row" and block.line in changes:
            continue
        weight = SETTING if weight == CONFIG else weight
        for number, line in enumerate(block.text.split("\n")):
            text = line.split("#", 1)[0] if block.kind == "code" else line
            for name, value, start, _ in _settings(text):
                if name in _PART_OF and block.kind != "code" and _of_a_part(name, text, start):
                    continue
                stated = None if value is True else value
                place = (document.name, block.line + number)
                yield Evidence(name, stated, weight, *place, negated=value is False)
            if block.kind == "code" and (data := _TOKENIZED.search(line)):
                vocabulary = int(data.group(1) or data.group(2))
                yield Evidence(
                    "vocab_size", vocabulary, weight, document.name, block.line + number
                )


def _from_change_tables(document: Document) -> Iterator[Evidence]:
    """| Change | Baseline | This run |: of two values the submission's is the second."""
    for table in document.tables:
        mine = own_column(table)
        if mine is None or _SKIPPED.search(" / ".join(table.section[1:])):
            continue
        for row in table.rows:
            if len(row.cells) <= mine:
                continue
            same = re.match(r"\W*(?:same|unchanged|identical)\b", row.cells[mine], re.IGNORECASE)
            text = f"{row.cells[0]} | {row.cells[1 if same else mine]}"
            yield from _from_clause(text, CHANGED, document.name, row.line)


def own_column(table: Table) -> int | None:
    """Index of the submission's column beside a baseline's; None in tables of contrasts."""
    if len(table.header) < 3 or not _THEIRS.search(table.header[1]):
        return None
    if columns_of(table).kind is not None:
        return None
    return 2 if _MINE.search(table.header[2]) else None


def _from_text(document: Document) -> Iterator[Evidence]:
    text = document.text
    changes = {row.line for table in document.tables if own_column(table) for row in table.rows}
    weights: dict[int, int] = {}
    words = words_of(text)
    for alias in aliases_in(words):
        for start, end, value, generic in _matches(alias, words):
            block, line = document.block_at(start)
            if block.kind == "row" and line in changes:
                continue
            if block.kind == "code" and not _looks_like_prose(text, start):
                continue
            weight = weights.get(id(block))
            if weight is None:
                weight = weights[id(block)] = _weight(block, document)
            if not weight:
                continue
            if alias.variable in _TTT_SETTINGS and _of_test_time(block, text, start, end):
                continue
            if alias.variable in _PART_OF and _of_a_part(alias.variable, text, start):
                continue
            negated = _negated(words, start, end)
            hint = text[start:end].lower() in alias.hints
            yield Evidence(
                alias.variable, value, weight, document.name, line, negated, generic, hint
            )


def _of_test_time(block: Block, text: str, start: int, end: int) -> bool:
    """Whether an optimizer setting is the test-time optimizer's."""
    clause = re.split(r"[.;\n]", text[max(0, start - 80) : start])[-1]
    heading = block.section[-1] if block.section else ""
    return bool(_TTT_PLACE.search(heading) or _TTT_PLACE.search(clause + text[start:end]))


def _of_a_part(variable: str, text: str, start: int) -> bool:
    """Whether a size is a hash table's or an evaluation's, not the vocabulary's or training's."""
    clause = re.split(r"[.;|\n]", text[max(0, start - 60) : start])[-1]
    return bool(_PART_OF[variable].search(clause))


def _looks_like_prose(text: str, at: int) -> bool:
    """In code only whole-line remarks count (logged summaries, ASCII tables), not statements."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    return not re.search(r"[=(){}\[\]]|^\s{0,4}(?:#|//|pip|cd|python|torchrun|git|export)", line)


def _weight(block: Block, document: Document) -> int:
    """How far a block speaks of the submission; 0 for what was tried, rejected or is planned."""
    headings = " / ".join(block.section[1:] if len(block.section) > 1 else block.section)
    own = block.text if block.kind == "heading" else ""
    gone, skipped, aside, config = _kind_of_section(headings)
    if gone and len(block.section) > 1:
        return 0
    if skipped or (own and block.section and _SKIPPED.search(own)):
        return 0
    if block.kind == "heading" and not block.section:
        return TITLE
    if block.kind == "row" and _OTHERS_ROW.search(block.text):
        return 0
    if block.kind == "row" and aside:
        return ASIDE
    if config:
        return CONFIG if block.kind in ("row", "item") else PROSE
    return ASIDE if aside else PROSE


@lru_cache(maxsize=256)  # every block below a heading asks
def _kind_of_section(headings: str) -> tuple[bool, bool, bool, bool]:
    """Whether a section tells of what is gone, of what is not in the submission, of results, of
    what is in it."""
    folded = fold(headings)
    gone, skipped, aside, config = (
        kind.search(headings, folded) is not None for kind in (_GONE, _SKIPPED, _ASIDE, _CONFIG)
    )
    return gone, skipped, aside, config


def _matches(alias: Alias, text: Text) -> Iterator[tuple[int, int, Value | None, bool]]:
    """Yield (start, end, value or None, generic) of every place the alias matches."""
    taken: list[tuple[int, int]] = []
    for wording in alias.numbers:
        for match in _places(wording, text):
            number = parse_number(match.group(1))
            if (target := _TARGET.match(text.text, match.end())) is not None:
                number = parse_number(target.group(1))  # "3 -> 4": the value it ends at
            if number is None or not alias.holds(number):
                continue
            taken.append(match.span())
            yield match.start(), match.end(), tidy(number), False
    for generic, levels in ((False, alias.levels), (True, alias.generic)):
        for level, wording in levels:
            for match in _places(wording, text):
                start, end = match.span()
                if not any(a < end and start < b for a, b in taken):
                    taken.append((start, end))
                    yield start, end, level, generic
    for wording in alias.mentions:
        for match in _places(wording, text):
            start, end = match.span()
            if not any(a < end and start < b for a, b in taken):
                yield start, end, None, False


def _places(wording: Wording, text: Text) -> Iterable[re.Match[str]]:
    # Five of seven wordings that are asked for cannot match: no generator is made for them.
    return islice(wording.finditer(text), MAX_MATCHES) if wording in text.able else ()


def _negated(text: Text, start: int, end: int) -> bool:
    """Whether the words around a mention say that it is not used."""
    begin = max(0, start - 130)
    around, folded = text.text[begin:start], text.folded[begin:start]
    before = _CLAUSE_START.split(around[-70:])[-1]
    after = _CLAUSE_END.split(text.text[end : end + 60], 1)[0]
    if _NEGATED_BEFORE.search(before, folded[len(around) - len(before) :]):
        return True
    if _NEGATED_AFTER.match(after, text.folded[end : end + len(after)]):
        return True
    listed = _NONE_OF.search(around, folded)  # "no SLOT, n-gram cache or logit bias": each of them
    if listed and _OR_LAST.match(text.text, end) and not _STILL.search(listed.group()):
        return True
    left_out = ":" in around and _LEFT_OUT.search(around, folded)
    return bool(left_out or _NOT_DONE.search(around, folded))


@cache
def _names() -> dict[str, Alias]:
    return {name: alias for alias in load_aliases().values() for name in alias.env}


@cache
def _switches() -> dict[str, Alias]:
    return {name: alias for alias in load_aliases().values() for name in alias.switches}


def _settings(text: str) -> Iterator[tuple[str, Value, int, int]]:
    """Yield (id, value, start, end) of every NAME=value, and of a table row's | NAME | value |."""
    if not ("=" in text or ":" in text or "|" in text):
        return
    pair = _ROW_PAIR.match(text)
    if pair:
        for key, value in ((1, 3), (2, 4)):
            setting = _setting(pair.group(key).lower(), pair.group(value))
            if setting is not None:
                yield (*setting, pair.start(key), pair.end(key))
    row = _ROW_SETTING.match(text)
    for match in [*([row] if row else ()), *islice(_SETTING.finditer(text), MAX_MATCHES)]:
        setting = _setting(match.group(1).lower(), match.group(2))
        if setting is not None:
            yield (*setting, match.start(), match.end())


def _setting(key: str, text: str) -> tuple[str, Value] | None:
    """Return (id, value) of NAME=value; True for switched on, False for switched off."""
    word = text.lower().rstrip(".,")
    alias = _names().get(key)
    if alias is not None and word in load_variables()[alias.variable].levels and word != "none":
        return alias.variable, word
    switch = _switches().get(key)
    if switch is not None:
        known = word in _OFF or word in _ON or parse_number(word) is not None
        return (switch.variable, word not in _OFF) if known else None
    if alias is None and key.startswith("use_") and word in ("0", "1", "true", "false"):
        named = variables_in(key[4:].replace("_", " ")) or variables_in(key[4:])
        if not named:
            return None
        name, level, _ = named[0]
        return name, False if word in _OFF else True if level is None else level
    if alias is None:
        return None
    variable = load_variables()[alias.variable]
    number = parse_number(word)
    if word in _OFF:
        return alias.variable, False
    if word == "true":
        return alias.variable, True
    if variable.kind == "numeric":
        plausible = number is not None and alias.holds(number)
        return (alias.variable, tidy(number)) if plausible and number is not None else None
    if variable.kind == "binary":
        return (alias.variable, True) if word in ("1", "yes", "on", "1.0", "enabled") else None
    if alias.variable == "quant_bits" and number in (4, 5, 6, 7, 8):
        return alias.variable, f"int{number:.0f}"
    if alias.variable == "rope_dims":
        return (alias.variable, "partial") if number and number < 64 else None
    for level, wording in (*alias.levels, *alias.generic):
        if wording.pattern.search(text):
            return alias.variable, level
    return None
