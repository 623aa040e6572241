"""Sentences that set the submission as a whole against another run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from interventions.keywords import guarded

_SCORE = re.compile(
    r"(?<![\d.,/#v_+-])(?<![A-Z]=)(\d\.\d{3,8})(?![\d%]|\.\d|\s?(?:nats|s\b|ms|MB|std))"
)
_WORD = re.compile(
    r"\bvs\.?(?=\W)|\bversus\b|\bbeat|\bimprov|\bbetter\b|\bworse\b|\bbelow\b|\babove\b|\bover\b|"
    r"\bthan\b|\bsurpass|\boutperform|\bdelta\b|Δ|\bdown from\b|\bcompared\b|\bagainst\b|"
    r"\bhigher\b|\blower\b",
    re.IGNORECASE,
)
_OTHERS = guarded(
    r"\bbaseline|\bSOTA\b|\brecord\b|\bleader|#\d|\bPR\b|\bprevious\b|\bprior\b|\breference\b|"
    r"\bmerged\b|\bparent\b|\bbase\b|\bcontrol\b|\bpredecessor\b",
    re.IGNORECASE,
)
_OF_ONE_RUN = re.compile(
    r"\bpre-? ?(?:quant|TTT|EMA|SLOT)|\bround-?trip|\bw/o\b|\bwithout\b|\bunquantized\b|"
    r"\bworst\b|\bindividual|\bevery seed|\bval[_ ]loss\b|\bat step\b|\bstep \d|\bbefore\b|"
    r"\bseed \d|\bcutoff|\bnoise|\bno-[A-Za-z]",
    re.IGNORECASE,
)
_NOT_DONE = re.compile(
    r"\b(?:would|should|could|might|expect\w*|predict\w*|project\w*|target\w*|estimat\w*|extrapolat\w*|if)\b",
    re.IGNORECASE,
)
_NUMBER = r"(?:[+-]\s?)?(\d?\.\d{3,8})(?:\s?(bp[bp]|nats?)\b)?"
_STATES = re.compile(
    r"(?:\b(?:delta|improvement|gain|gap|difference)\b|Δ)\W{0,3}(?:[a-z]{2,12} ){0,3}?"
    rf"(?:of |is |= |: |~)*{_NUMBER}|\bby (?:~|about |roughly )?{_NUMBER}|"
    rf"\ban? {_NUMBER} (?:improvement|gain|reduction)\b|"
    rf"(?<![\w.+-]){_NUMBER} (?:above|below|behind|ahead|better|worse|lower|higher)\b|"
    rf"[\d)]\s?=\s?{_NUMBER}|(?<![\w.])(?=[+-]){_NUMBER}",
    re.IGNORECASE,
)
_BY = re.compile(r"\bby \W{0,3}(?:about |roughly )?\d?\.\d{3,8}\W{0,3}bp[bp]\b", re.IGNORECASE)
_ORDERED = re.compile(
    r"(?<![\d.,/#v_+-])(?<![A-Z]=)(\d\.\d{3,8})(?![\d%])[^.;\d]{0,60}?"
    r"(?i:\b(worse|higher|behind|better|lower|ahead)\b[^.;\d]{0,8}|\b(beats?|beating|trails?|vs\.?)\s)"
    r"(?i:[^.;\d]{0,40}\b(?:baseline|control|reference)\b)[^.;\d]{0,20}(\d\.\d{3,8})(?![\d%])"
)
_SAID_WORSE = re.compile(r"\b(?:worse|behind|regress\w*|degrad\w*)\b", re.IGNORECASE)
_SAID_BETTER = re.compile(r"\b(?:beats?|beating|better|improv\w*)\b", re.IGNORECASE)
_THIS = re.compile(
    r"(?<![\d.,/#v_+-])(\d\.\d{3,8})\s?(?:bpb )?\((?:this|ours?|mine|new)\b[^()]{0,30}\)"
    r"[^.;\d]{0,30}?"
    r"(?:vs\.?|versus|against|compared (?:to|with)|from)\s[^.;\d]{0,30}(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"(?<![\d.,/#v_+-])(\d\.\d{3,8})(?: bpb)? \((?:vs\.?|versus|against|compared (?:to|with)) "
    r"(?:[a-z -]{0,30} )?(\d\.\d{3,8})(?: bpb)? (?:for )?(?:the )?(?:\w+ )?(?:baseline|control)\b",
    re.IGNORECASE,
)
_THEIRS_OURS = re.compile(
    r"\b(?:baseline|control|parent|before|old)\b\W{0,3}(?:(?:is|was|at|bpb)\s)?(\d\.\d{3,8})(?![\d%])"
    r"[^.;\d]{0,25}\b(?:ours?|this|new|after|submission)\b\W{0,3}(?:(?:is|was|at|bpb)\s)?"
    r"(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_BEATS = re.compile(
    r"(?:^|[|:;,.(]\s?|\band\s|\bit\s|\bthis\s)\W{0,3}"
    r"(?:(?:beat|surpass|outperform)(?:e?s|ing)?|improv(?:es|ing|ement) (?:on|over|upon))\b"
    r"[^.;|\d]{0,40}(?:#\d{2,5}|\bSOTA\b|\bbaseline\b|\brecord\b)[^.;|\d]{0,40}"
    r"\b(?:by|of|=|:)\W{0,3}(?:~|about )?-?(\d?\.\d{3,8})\s?bp[bp]\b",
    re.IGNORECASE,
)
_FROM = re.compile(  # "1.0687 (3-seed mean), -0.01228 from SOTA"
    r"(?<![\w.\"“])-\s?(\d?\.\d{3,8})\s?(?:bp[bp] )?(?:from|vs\.?|below|under|over|against) "
    r"(?:(?:the|current|merged|prior|previous|naive|official) )*"
    r"(?:SOTA|baseline|record|PR ?#\d|#\d)",
    re.IGNORECASE,
)
_EACH = re.compile(  # "surpasses #414 (1.1228) by 0.028"
    r"(?<![\d.,/#v_+-])(\d\.\d{3,8})(?![\d%])[^.;\d]{0,20}?\bby \W{0,3}(\d?\.\d{2,8})(?![\d%])",
    re.IGNORECASE,
)
_NEAR = 1.1e-3  # bpb: what rounding leaves of a difference
_MINUS = re.compile(
    r"(?<![\w.])(\d\.\d{3,8})\s?-\s?(\d\.\d{3,8})\s?(?:=|~)\s?[+-]?(\d?\.\d{3,8})(?![\d%])"
)
_UP = ("worse", "higher", "behind", "trail", "trails")
_DOWN = ("better", "lower", "ahead", "beat", "beats", "beating")
_THEN = re.compile(r"\W{0,4}(?:delta|improvement|gain|difference|Δ)\b", re.IGNORECASE)
_LEAST, _MOST = 0.3, 1.7  # bits per byte of a nat, and some room for rounding


@dataclass(frozen=True)
class Against:
    """Two scores of one sentence: another run's and the one set against it."""

    at: int
    other: str
    own: str
    delta: float


def set_against(text: str, following: str, final: float | None) -> Against | None:
    """Read "1.0766 vs 1.0810 (PR #1493)", or one foreign score with the difference to `final`.

    Args:
        text: one sentence.
        following: what stands after it, where "Delta: -0.0082" may be.
        final: the submission's own score; without it a sentence must say which score is whose.
    """
    if final is not None and (difference := _difference(text, final)):
        return difference
    if not _OTHERS.search(text) or _NOT_DONE.search(text):
        return None
    if match := _THIS.search(text):
        return _between(match.start(), match.group(2), match.group(1))
    if match := _THEIRS_OURS.search(text):
        return _between(match.start(), match.group(1), match.group(2))
    if final is None:
        return None
    differences = [match.span() for match in _BY.finditer(text)]
    found = [
        match
        for match in _SCORE.finditer(text)
        if not any(start <= match.start() < end for start, end in differences)
        and 0.2 * final < float(match.group(1)) < 5 * final
        and float(match.group(1)) >= 0.05
    ]
    own = _own(found, final, text)
    foreign = [m for m in found if m not in own]
    if not foreign and (match := _BEATS.search(text) or _FROM.search(text)):
        return Against(match.start(1), "", f"{final:g}", -float(match.group(1)))
    if len(found) > 4 or _OF_ONE_RUN.search(text):
        return None
    others = {m.group(1): m for m in foreign}
    if len(others) != 1:
        return None if own else _two_others(text)
    other = next(iter(others.values()))
    delta = final - float(other.group(1))
    spoken = text + re.split(r"\.\s", following)[0] if _THEN.match(following) else text
    stated = [
        (float(parts[0]), parts[1]) for m in _STATES.finditer(spoken) if (parts := _given(m))
    ]
    close = [
        (value, unit) for value, unit in stated if _LEAST * value <= abs(delta) <= _MOST * value
    ]
    if abs(delta) >= 1 or not (close or (own and _WORD.search(text) and not stated)):
        return None
    if not own and (_SAID_WORSE if delta < 0 else _SAID_BETTER).search(text):
        return None  # the number is of a third run
    if own:
        delta = float(own[0].group(1)) - float(other.group(1))
    elif in_bits := [
        value
        for value, unit in close
        if not unit.lower().startswith("nat") and not _rounds_to(abs(delta), value)
    ]:
        delta = in_bits[0] if delta > 0 else -in_bits[0]
    mine = own[0].group(1) if own else f"{final:g}"
    return Against(other.start(), other.group(1), mine, round(delta, 8))


def all_beaten(text: str, final: float) -> list[Against]:
    """Read "Beats #870 (0.0935) by 0.013 and #913 (0.0887) by 0.008": several runs, one by one."""
    if text.count("by ") < 2:
        return []  # as nearly always
    found = [
        Against(
            match.start(1), match.group(1), f"{final:g}", round(final - float(match.group(1)), 8)
        )
        for match in _EACH.finditer(text)
        if abs(abs(final - float(match.group(1))) - float(match.group(2))) <= _NEAR
    ]
    return found if len(found) > 1 and not _NOT_DONE.search(text) else []


def _rounds_to(exact: float, stated: float) -> bool:
    decimals = len(f"{stated:.8f}".rstrip("0").partition(".")[2])
    return decimals < 4 and abs(exact - stated) <= 0.51 * 10**-decimals


def _own(found: list[re.Match[str]], final: float, text: str) -> list[re.Match[str]]:
    """The scores that are the submission's: to its last digit, else nearly so.

    A score that is apart by just what the sentence states is another run's: "0.0004 over 1.0655".
    """
    near = [m for m in found if abs(float(m.group(1)) - final) <= 6e-4]
    exact = [m for m in near if abs(float(m.group(1)) - final) <= 1.2e-4]
    if exact or not near:
        return exact
    apart = abs(float(near[0].group(1)) - final)
    stated = [float(parts[0]) for m in _STATES.finditer(text) if (parts := _given(m))]
    return [] if any(abs(value - apart) < 2e-5 for value in stated) else near


def _between(at: int, other: str, own: str) -> Against | None:
    delta = float(own) - float(other)
    return Against(at, other, own, round(delta, 8)) if 0 < abs(delta) < 1 else None


def _difference(text: str, final: float) -> Against | None:
    """Read "1.1228 - 1.1175 = 0.0053", where one of the two is the submission's score."""
    match = _MINUS.search(text)
    if match is None or re.search(r"\bnoise|\bgap\b|\bval[_ ]loss\b", text, re.IGNORECASE):
        return None
    first, second = match.group(1), match.group(2)
    if abs(float(second) - final) <= 6e-4:
        return _between(match.start(), first, second)
    return _between(match.start(), second, first) if abs(float(first) - final) <= 6e-4 else None


def _given(match: re.Match[str]) -> tuple[str, str] | None:
    """The number and the unit ("" where none is written) of whichever wording matched."""
    groups = match.groups()
    return next(
        ((n, unit or "") for n, unit in zip(groups[::2], groups[1::2], strict=True) if n), None
    )


def _two_others(text: str) -> Against | None:
    """Read "1.5070, worse than the baseline (1.3599)", "1.5290 (vs 1.5540 baseline)"."""
    if beside := _BESIDE.search(text):
        return _between(beside.start(), beside.group(2), beside.group(1))
    match = _ORDERED.search(text)
    if match is None:
        return None
    first, word, verb, second = match.groups()
    delta, said = float(first) - float(second), (word or verb).lower()
    if not 0 < abs(delta) < 1 or said in (_DOWN if delta > 0 else _UP):
        return None
    return Against(match.start(), second, first, round(delta, 8))
