"""Every place of a README and a submission.json that speaks of a technique."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from interventions.aliases import aliases_in, words_of
from interventions.keywords import Text, guarded
from interventions.vocabulary import Value
from scripts.causal.leaderboard.denials import is_denied
from scripts.causal.leaderboard.document import Block, Document, plain
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.sections import (
    CHANGED,
    COMMAND,
    CONFIG,
    PROSE,
    SETTING,
    STATED,
    TITLE,
    is_skipped,
    weight_of,
)
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.techniques import (
    mentions,
    own_column,
    setting,
    settings,
    variables_in,
)

_SAME = re.compile(r"\W*(?:same|unchanged|identical)\b", re.IGNORECASE)
_STATEMENT = re.compile(r"[=(){}\[\]]|^\s{0,4}(?:#|//|pip|cd|python|torchrun|git|export)")
_SETS = re.compile(r"\w+(?:\s?[=:/]| \|)")  # a name, and what stands between it and a value
_CLAUSES = re.compile(r"(?<=[.;])\s")
_TOKENIZED = re.compile(r"(?:fineweb10B_|variant[ =])sp(\d{3,5})(?!\d)|\bfineweb_(\d{3,5})_bpe")
_TOKENIZED_MARKS = ("fineweb", "variant")
_TTT_PLACE = re.compile(r"\bTTT\b|test[ -]time|\bSGD\b|\bSLOT\b")
_TTT_SETTINGS = ("grad_clip", "muon_momentum", "matrix_lr", "weight_decay", "train_batch_tokens")
_AT_EVALUATION = re.compile(r"\bstride|\bsliding|\bevaluat|\beval\b", re.IGNORECASE)
_PART_OF = {
    "vocab_size": re.compile(r"gram\b|gramhash|\bhash", re.IGNORECASE),
    "train_seq_len": re.compile(rf"(?:{_AT_EVALUATION.pattern})(?![^,|]*\btrain)", re.IGNORECASE),
}
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


def from_json(facts: Iterable[Fact]) -> Iterator[Evidence]:
    """What submission.json states as a setting, switches on or off, or tells in words."""
    for fact in facts:
        if fact.value is None or _is_elsewhere(fact.path):
            continue
        place = ("submission.json", fact.line)
        stated = setting(fact.key, str(fact.value))
        if stated is not None:
            name, value = stated
            yield Evidence(name, None if value is True else value, STATED, *place, value is False)
        elif fact.key.startswith("no_") and fact.value is True:
            for name, level, _ in variables_in(fact.key[3:].replace("_", " ").upper()):
                yield Evidence(name, level, CONFIG, *place, negated=True)
        elif isinstance(fact.value, str) and _is_prose(fact.path):
            for clause in _CLAUSES.split(fact.value[:4000]):
                yield from _from_clause(clause, TITLE, *place)
        elif fact.value is True:
            for name, _, _ in variables_in(fact.key.replace("_", " ")):
                yield Evidence(name, None, PROSE, *place)


@lru_cache(maxsize=4096)  # submissions write down the same few hundred facts
def _is_elsewhere(path: tuple[str, ...]) -> bool:
    """Whether a fact is of another run than the submission's."""
    joined = "/".join(path).lower()
    return _JSON_ELSEWHERE.search(joined, joined) is not None


def _is_prose(path: tuple[str, ...]) -> bool:
    return any(part.lower() in _JSON_PROSE for part in path)


def _from_clause(text: str, weight: int, file: str, line: int) -> Iterator[Evidence]:
    text = plain(text)
    words = words_of(text)
    for alias in aliases_in(words):
        for start, end, value, generic in mentions(alias, words):
            negated = is_denied(words, start, end)
            hint = text[start:end].lower() in alias.hints
            yield Evidence(alias.variable, value, weight, file, line, negated, generic, hint)
    for name, value, _, _ in settings(text) if words.names else ():
        stated = None if value is True else value
        yield Evidence(name, stated, weight, file, line, value is False)


def from_settings(document: Document, words: Text) -> Iterator[Evidence]:
    """NAME=value in run commands and dumps; the first command is the submission's own.

    Args:
        document: the README.
        words: of `document.text`.
    """
    changes = _changes(document)
    named: defaultdict[int, set[int]] = defaultdict(set)
    for at in words.names:
        if not _SETS.match(words.text, at):
            continue
        index, number = document.place_of(at)
        named[index].add(number)
    for index, block in enumerate(document.blocks):
        code = block.kind == "code"
        data = code and any(mark in block.text for mark in _TOKENIZED_MARKS)
        if index not in named and not data:
            continue
        weight = COMMAND if code else weight_of(block)
        if not weight or (code and is_skipped(" ".join(block.section))):
            continue
        if block.kind == "row" and block.line in changes:
            continue
        weight = SETTING if weight == CONFIG else weight
        lines = block.text.split("\n")
        for number in range(len(lines)) if data else sorted(named[index]):
            line = lines[number]
            place = (document.name, block.line + number)
            text = line.split("#", 1)[0] if code else line
            for name, value, start, _ in settings(text):
                if name in _PART_OF and not code and _of_a_part(name, text, start):
                    continue
                stated = None if value is True else value
                yield Evidence(name, stated, weight, *place, negated=value is False)
            if data and (match := _TOKENIZED.search(line)):
                yield Evidence("vocab_size", int(match[1] or match[2]), weight, *place)


def from_change_tables(document: Document) -> Iterator[Evidence]:
    """| Change | Baseline | This run |: of two values the submission's is the second."""
    for table in document.tables:
        mine = own_column(table)
        if mine is None or is_skipped(" / ".join(table.section[1:])):
            continue
        for row in table.rows:
            if len(row.cells) <= mine:
                continue
            same = _SAME.match(row.cells[mine])
            text = f"{row.cells[0]} | {row.cells[1 if same else mine]}"
            yield from _from_clause(text, CHANGED, document.name, row.line)


def _changes(document: Document) -> set[int]:
    """The lines of the tables that `from_change_tables` reads."""
    return {row.line for table in document.tables if own_column(table) for row in table.rows}


def from_text(document: Document, words: Text) -> Iterator[Evidence]:
    """Every mention in a README's text.

    Args:
        document: the README.
        words: of `document.text`.
    """
    text = document.text
    changes = _changes(document)
    weights: dict[int, int] = {}
    for alias in aliases_in(words):
        for start, end, value, generic in mentions(alias, words):
            index, number = document.place_of(start)
            block = document.blocks[index]
            if block.kind == "row" and block.line in changes:
                continue
            if block.kind == "code" and not _looks_like_prose(text, start):
                continue
            weight = weights.get(index)
            if weight is None:
                weight = weights[index] = weight_of(block)
            if not weight:
                continue
            if alias.variable in _TTT_SETTINGS and _of_test_time(block, text, start, end):
                continue
            if alias.variable in _PART_OF and _of_a_part(alias.variable, text, start):
                continue
            negated = is_denied(words, start, end)
            hint = bool(alias.hints) and text[start:end].lower() in alias.hints
            place = (document.name, block.line + number)
            yield Evidence(alias.variable, value, weight, *place, negated, generic, hint)


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
    return not _STATEMENT.search(text[start : end if end >= 0 else len(text)])
