"""One line that tells one run and its score, or one change and what it brought."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["score", "change"]

_ABOUT = r"(?:~|about |around |roughly |approx\.? ){0,2}"
_NUMBER = (  # two decimals where a word or a unit tells that it is a score
    r"(\d\.\d{3,10}|(?:(?<=~)|(?<=about )|(?<=around )|(?<=roughly ))\d\.\d\d(?=\s?$)|"
    r"\d\.\d\d(?=\s?bpb\b))"
)
_END = r"(?![\d%]|\.\d)(?!\s?(?:->|→|[:=]|s\b|ms\b|MB|nats))"
_MEASURED = (  # what may stand between a run and its score: "15.6 MB (too large), "
    r"[\d.,]{1,12}\s?(?:[KMG]i?B|[KM]|bytes|params|steps|ms(?:/step)?|s|min|h)\b[^,;|\n]{0,25}?"
    r"\s?(?:,|;|\||->|→)\s?"
)
_SCORE = re.compile(
    r"[^\w+]{0,3}(\+?[^\n|]{1,70}?)\s?(?::|->|→| - |—|=|\s(?:val_)?bpb\s?[:=])\s?"
    rf"(?:(?:val_)?bpb[ =:]{{1,2}})?{_ABOUT}{_NUMBER}{_END}",
    re.IGNORECASE,
)
_MEASURED_FIRST = re.compile(
    rf"[^\w+]{{0,3}}([^\n|:]{{1,70}}?)\s?(?::|->|→)\s?(?:{_MEASURED}){{1,3}}"
    rf"(?:(?:val_)?bpb[ =:]{{1,2}}{_NUMBER}|{_NUMBER}\s?bpb\b){_END}",
    re.IGNORECASE,
)
_BRACKETED = re.compile(  # v3 (1.2345): + EMA
    rf"[^\w+]{{0,3}}([^\n|:()]{{1,60}}?)\s?\({_ABOUT}(\d\.\d{{3,10}})(?:\s?bpb)?\)\s?"
    r"(?::|—| - )\s?([^\n|]{3,160})",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\W{0,3}([^\n:|()]{3,70}?)\s?(?:\(([+-]\d?\.\d{2,8})\)|: ?([+-]\d?\.\d{2,8})(?:$|[,;.]\s))"
)
_CODE = re.compile(  # says which run it is, and nothing of it
    r"\W{0,3}(?:(?:run|config(?:uration)?|exp(?:eriment)?|variant|arm|trial|version|iteration|v)"
    r"\s?#?(?:\d{1,3}(?:\.\d{1,2}){0,2}[a-z]?|[A-Z]))\b",
    re.IGNORECASE,
)
_NO_RUN = re.compile(
    r"(?<![a-z])(?:bpb|loss|seeds?|mean|std|time|size|delta|gain|gap|p-?value|improvement|"
    r"submission|leaderboard|record)(?![a-z])|"
    r"Δ|^\W*(?:final|val|steps?|lr|best|score|ours|result)\W*$|\bstep[ :]?[1-9]|\bchunk|"
    r"\bepoch \d|\d\.\d{3}|"
    r"\b(?:decay|momentum|beta|threshold|alpha|weight)\W*$",
    re.IGNORECASE,
)
_LEAST, _MOST = 0.3, 5.0  # bits per byte: less is a setting, where no bracket or unit tells


class Told(NamedTuple):
    """What a line tells: a run's score or a change's delta, as it is written."""

    kind: Kind
    label: str
    number: str


def told_run(line: str) -> Told | None:
    """Read "11 layers: 1.2345", "Run 2: + EMA → 1.2345 bpb", "v3 (1.2345): + EMA", "EMA (-0.004)".

    None for a line that tells no run: a metric, a seed, a step of training, a setting.
    """
    if match := _BRACKETED.match(line):
        name, number, text = match.groups()
        if not re.search("[A-Za-z]", name) or _NO_RUN.search(name):
            return None
        return Told("score", text.strip() if _CODE.fullmatch(name) else name.strip(), number)
    for form in (_MEASURED_FIRST, _SCORE):
        if match := form.match(line):
            label, *numbers = match.groups()
            number = next(filter(None, numbers))
            return _told("score", _bare(label), number) if _LEAST < float(number) < _MOST else None
    if match := _CHANGE.match(line):
        label = match.group(1)
        if re.search("[A-Za-z]{3}", label):
            return _told("change", label, match.group(2) or match.group(3))
    return None


def _bare(label: str) -> str:
    """A label without the run's number before it: "+ EMA" of "Run 2: + EMA"."""
    match = _CODE.match(label)
    rest = label[match.end() :].lstrip() if match else ""
    if rest[:1] in (":", ")", "-") and re.search("[A-Za-z]", rest):
        return rest[1:].strip()
    return label


def _told(kind: Kind, label: str, number: str) -> Told | None:
    label = label.strip(" :")
    return None if _NO_RUN.search(label) else Told(kind, label, number)
