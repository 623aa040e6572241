"""What literal text a regular expression cannot match without, and where a match then starts.

Three hundred patterns over seven megabytes of READMEs cost half a minute when each is tried at
every character. Nearly all contain a word ("muon", "softcap") that a plain substring search finds
fifty times faster; only the few starts from which that word can be reached need trying.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from re import _casefix  # type: ignore[attr-defined]
from re import _constants as ops  # type: ignore[attr-defined]  # the parser behind re.compile
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from ahocorasick_rs import AhoCorasick

MAX_REACH = 120  # starts tried per occurrence; beyond that a plain scan is no slower
_NUMBER = re.compile(r"\d(?<!\w\d)")  # the digit first: to it a search can skip
_WITHIN = re.compile(r"(?<=\w)(?=\w)")  # no token begins or ends here
_RARER = 6.0  # each further letter makes a word about that much rarer in running text


@dataclass(frozen=True)
class Needed:
    """Every match holds one of `words`, between `low` and `high` characters after its start."""

    words: frozenset[str]
    low: int
    high: int

    def moved(self, low: int, high: int) -> Needed:
        """Return the need of a sequence in which this one starts at `low` to `high`."""
        return Needed(self.words, self.low + low, self.high + high)

    @property
    def cost(self) -> float:
        """Expected trials per character of text, up to a constant."""
        return (self.high - self.low + 1) * sum(_RARER ** -len(word) for word in self.words)


def fold(text: str) -> str:
    """Lower the case, character by character, as `re.IGNORECASE` compares ASCII letters."""
    if text.isascii():
        return text.lower()
    return text.replace("İ", "i").lower().replace("ſ", "s").replace("ı", "i")


class Index:
    """The words that many wordings need, to be looked for all at once.

    Attributes:
        everywhere: the wordings that need no word, nor a number.
        numeric: those that need no word, but a number.
        by_word: word → the wordings that need it, or one of several.
        words: what is looked for: the words of `by_word`, then names of settings.
    """

    def __init__(
        self, wordings: Iterable[Wording], names: Iterable[str] = (), prefix: str | None = None
    ) -> None:
        """Index wordings.

        Args:
            wordings: what is asked for.
            names: names of settings, found only as whole tokens.
            prefix: what every further name of a setting begins with.
        """
        self.everywhere: set[Wording] = set()
        self.numeric: set[Wording] = set()
        self.by_word: defaultdict[str, set[Wording]] = defaultdict(set)
        for wording in wordings:
            if wording.needed is None:
                (self.numeric if wording.numeric else self.everywhere).add(wording)
            for word in wording.needed.words if wording.needed else ():
                self.by_word[word].add(wording)
        self.words = [*self.by_word, *names, *([prefix] if prefix else [])]
        self._names = len(self.by_word)
        self._prefix = len(self.words) - 1 if prefix else len(self.words)
        self._search = AhoCorasick(self.words, store_patterns=False).find_matches_as_indexes

    def find(self, folded: str) -> tuple[dict[str, list[int]], list[int]]:
        """Return word → its offsets, ascending, and the offsets of settings' names, ascending."""
        try:
            found = self._search(folded, overlapping=True)
        except UnicodeEncodeError:  # a lone surrogate, which JSON can hold and UTF-8 cannot
            found = self._search(folded.encode(errors="replace").decode(), overlapping=True)
        places: defaultdict[str, list[int]] = defaultdict(list)
        names = set()
        words, first_name, prefix = self.words, self._names, self._prefix
        for which, at, end in found:
            if which < first_name:
                places[words[which]].append(at)
            elif not (
                _WITHIN.match(folded, at) or (which != prefix and _WITHIN.match(folded, end))
            ):
                names.add(at)
        return dict(places), sorted(names)


class Text:
    """A text, which of an index's words stand in it and where, and which wordings can match.

    Attributes:
        text, folded: as given, and folded.
        numbers: where a digit stands with no \\w before it, ascending.
        names: where a whole token stands that the index takes for a setting's name, ascending.
        places: word → its offsets, ascending, of every word of the index that the text holds.
        able: the wordings that can match.
    """

    def __init__(self, text: str, index: Index) -> None:
        self.text = text
        self.folded = fold(text)
        self.numbers = [found.start() for found in _NUMBER.finditer(self.folded)]
        self.places, self.names = index.find(self.folded)
        self.able = index.everywhere.union(
            index.numeric if self.numbers else (), *(index.by_word[word] for word in self.places)
        )


@dataclass(frozen=True, eq=False)
class Wording:
    """A compiled pattern with the words it needs; None where it must be tried everywhere.

    Attributes:
        pattern: matches without regard to case.
        needed: the words; the index of a `Text` it is tried on must hold it.
        numeric: whether every match starts with a number, so a digit that no \\w stands before.
        letter: what a number needs behind it where no word is needed: the "L" of "11L".
    """

    pattern: re.Pattern[str]
    needed: Needed | None
    numeric: bool
    letter: Needed | None = None

    def find_all(self, text: Text, most: int) -> list[re.Match[str]]:
        """Return the first matches, at most so many, of `pattern.finditer(text.text)`."""
        if self.needed is None and not self.numeric:
            return list(islice(self.pattern.finditer(text.text), most))
        starts = self._starts(text, self.needed) if self.needed else self._numbers(text)
        match, whole = self.pattern.match, text.text
        found = [one for at in starts if (one := match(whole, at))]
        return found if len(found) < 2 else list(islice(_apart_from_others(found), most))

    def _numbers(self, text: Text) -> list[int]:
        """The numbers that have the letter behind them, where one is needed."""
        if self.letter is None:
            return text.numbers
        (letter,), low, high = self.letter.words, self.letter.low, self.letter.high + 1
        return [at for at in text.numbers if letter in text.folded[at + low : at + high]]

    def _starts(self, text: Text, needed: Needed) -> Iterable[int]:
        """Every place a match can start at, ascending."""
        if needed.high == 0 and len(needed.words) == 1:
            (word,) = needed.words
            return text.places.get(word, ())
        places = [text.places[word] for word in needed.words if word in text.places]
        if needed.high == 0:
            return sorted(chain.from_iterable(places))
        starts: set[int] = set()
        if self.numeric:
            numbers = text.numbers
            for at in chain.from_iterable(places):
                first = bisect_left(numbers, at - needed.high)
                starts.update(numbers[first : bisect_right(numbers, at - needed.low, first)])
        else:
            low, high = needed.low, needed.high
            for at in chain.from_iterable(places):
                starts.update(range(max(0, at - high), at - low + 1))
        return sorted(starts)


def _apart_from_others(found: list[re.Match[str]]) -> Iterator[re.Match[str]]:
    """Yield the matches that begin where no earlier one that was yielded reaches."""
    reached = 0
    for match in found:
        if match.start() >= reached:
            yield match
            reached = match.end()


@dataclass(frozen=True, eq=False)
class Guarded:
    """A pattern that is not tried on a text without any of the words that it cannot match without.

    Looking for twenty words in a clause takes a tenth of the time of a pattern with twenty
    branches, which is tried at every character.

    Attributes:
        pattern: any pattern.
        words: folded; one of them is in every match.
    """

    pattern: re.Pattern[str]
    words: tuple[str, ...]

    def search(self, text: str, folded: str | None = None) -> re.Match[str] | None:
        """Return what `pattern.search(text)` returns; `folded` is the text's `fold`, if known."""
        if folded is None:
            folded = fold(text)
        return self.pattern.search(text) if self.may_match(folded) else None

    def match(self, text: str, folded: str | None = None) -> re.Match[str] | None:
        """Return what `pattern.match(text)` returns; `folded` as in `search`."""
        if folded is None:
            folded = fold(text)
        return self.pattern.match(text) if self.may_match(folded) else None

    def finditer(self, text: str, folded: str | None = None) -> Iterable[re.Match[str]]:
        """Return what `pattern.finditer(text)` returns; `folded` as in `search`."""
        if folded is None:
            folded = fold(text)
        return self.pattern.finditer(text) if self.may_match(folded) else ()

    def sub(self, by: Callable[[re.Match[str]], str], text: str, folded: str | None = None) -> str:
        """Return what `pattern.sub(by, text)` returns; `folded` as in `search`."""
        if folded is None:
            folded = fold(text)
        return self.pattern.sub(by, text) if self.may_match(folded) else text

    def may_match(self, folded: str) -> bool:
        """Whether a folded text has one of the words."""
        for word in self.words:  # noqa: SIM110 - any() over a generator takes twice as long
            if word in folded:
                return True
        return False


def guarded(text: str, flags: re.RegexFlag = re.NOFLAG) -> Guarded:
    """Compile a pattern and find the words that it cannot match without.

    Raises:
        re.error: a broken pattern.
        ValueError: there are no such words; it has to be tried on every text.
    """
    tree = parser.parse(text, flags)
    needs = [need.words for need in _needs(tree) if all(map(_folds_alone, need.words))]
    if not needs:
        raise ValueError(f"no word is in every match of {text!r}")
    # A space or a full stop makes nothing rare: almost every text has both.
    words = min(needs, key=lambda words: sum(_RARER ** -len(word.strip(" .")) for word in words))
    # "not" and "none" are where "no" is.
    roots = [word for word in words if not any(o != word and o in word for o in words)]
    return Guarded(re.compile(text, flags), tuple(sorted(roots)))


def _folds_alone(word: str) -> bool:
    """Whether every text that matches a folded word without regard to case folds to that word.

    Not so of the letters beyond ASCII of which there are several: σ and ς.
    """
    return all(mark.isascii() or ord(mark) not in _casefix._EXTRA_CASES for mark in word)


def compile_wording(text: str) -> Wording:
    """Compile a pattern, without regard to case, and find what it needs.

    Raises:
        re.error: a broken pattern.
    """
    pattern = re.compile(text, re.IGNORECASE)
    tree = parser.parse(text, re.IGNORECASE)
    found = [need for need in _needs(tree) if need.high - need.low <= MAX_REACH]
    words = [need for need in found if min(map(len, need.words)) >= 2]
    letters = [need for need in found if len(need.words) == 1]
    best, letter = (
        min(some, key=lambda need: need.cost, default=None) for some in (words, letters)
    )
    numeric = _apart(tree) and _numeric(tree)
    return Wording(pattern, best, numeric, None if best or not numeric else letter)


def _needs(sequence: Any) -> Iterator[Needed]:
    """Yield one need per literal run, and per alternative of which every branch has one."""
    low = high = 0
    run, run_at = "", (0, 0)
    for position, (op, argument) in enumerate(sequence):
        if op is ops.LITERAL:
            run, run_at = run + chr(argument), run_at if run else (low, high)
        else:
            if run:
                yield Needed(frozenset((fold(run),)), *run_at)
            run = ""
            for need in _inner(op, argument):
                yield need.moved(low, high)
        least, most = sequence[position : position + 1].getwidth()
        low, high = low + least, high + most
    if run:
        yield Needed(frozenset((fold(run),)), *run_at)


def _inner(op: Any, argument: Any) -> Iterator[Needed]:
    repeated = op in (ops.MAX_REPEAT, ops.MIN_REPEAT) and argument[0] >= 1
    if op is ops.SUBPATTERN or repeated:
        yield from _needs(argument[-1])
    elif op is ops.BRANCH:
        bests = [
            min(_needs(branch), key=lambda need: need.cost, default=None) for branch in argument[1]
        ]
        known = [need for need in bests if need is not None]
        if len(known) == len(bests):
            yield Needed(
                frozenset().union(*(need.words for need in known)),
                min(need.low for need in known),
                max(need.high for need in known),
            )


def _apart(sequence: Any) -> bool:
    """Whether no \\w can stand before a match that starts with one: ``\\b`` or ``(?<!\\w)``."""
    for op, argument in sequence:
        if op is ops.AT and argument is ops.AT_BOUNDARY:
            return True
        if op is not ops.ASSERT_NOT or argument[0] != -1:
            return False
        (kind, members), *more = argument[1]
        if kind is ops.IN and (ops.CATEGORY, ops.CATEGORY_WORD) in members and not more:
            return True
    return False


def _numeric(sequence: Any) -> bool:
    """Whether every match starts with a decimal digit."""
    for op, argument in sequence:
        if op in (ops.AT, ops.ASSERT, ops.ASSERT_NOT):
            continue
        if op is ops.IN:
            return bool(argument == [(ops.CATEGORY, ops.CATEGORY_DIGIT)])
        if op is ops.SUBPATTERN:
            return _numeric(argument[-1])
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            return argument[0] >= 1 and _numeric(argument[-1])
        if op is ops.BRANCH:
            return all(_numeric(branch) for branch in argument[1])
        return False
    return False
