"""Whether the words around a mention of a technique say that it is not used."""

from __future__ import annotations

import re
from functools import lru_cache

from interventions.keywords import Text, guarded

_BEFORE = guarded(
    r"(?:\b(?:no|zero(?!-init)|without|w/o|not|never|neither|nor|non|removed?|removes|removing|"
    r"drop(?:ped|s)?|disabled?|disables|instead of|replac(?:es?|ed|ing)|unlike|rather than|"
    r"lacks?|excluding|don't|doesn't|didn't|isn't|avoid(?:s|ed)?|rejected|skipped|skipping|beyond|vs\.?)"
    r"[ -](?:(?!(?:but|with|plus)\b)[\w+/#()-]{1,24}[ ,/]{1,2}(?:or |and |no )?){0,3}|no[_-])$",
    re.IGNORECASE,
)
_SWITCHED_OFF = re.compile(  # "EMA: none", "TTT epochs | 0"
    r"[\w /()+-]{0,24}+[^\S\n]{0,4}[:|=][^\S\n]{0,4}"
    r"(?:none|no|off|disabled|false|not used|n/a|0)\b(?![.,]\d)",
    re.IGNORECASE,
)
_AFTER = guarded(
    r"^[\w /()+-]{0,24}?(?:\s(?:is|are|was|were|has been|have been)?\s?"
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
_NONE_OF = guarded(r"\b(?:no |not |without |neither |never )[^.;:|\n]{0,110}$", re.IGNORECASE)
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


def is_denied(text: Text, start: int, end: int) -> bool:
    """Whether what stands from `start` to `end` is said not to be used."""
    # One line is looked at; a line break right before `start` lets it see the line before, too.
    first = text.folded.rfind("\n", 0, max(0, start - 1)) + 1
    last = text.folded.find("\n", end)
    line = text.folded[first : last if last >= 0 else len(text.folded)]
    before, after, listed = _may_deny(line)
    if before:
        clause = _CLAUSE_START.split(text.text[max(0, start - 70) : start])[-1]
        if _BEFORE.search(clause):
            return True
    behind = text.folded[end : end + 60]
    if (":" in behind or "|" in behind or "=" in behind) and _SWITCHED_OFF.match(text.text, end):
        return True
    if after and _AFTER.may_match(behind):
        clause = _CLAUSE_END.split(text.text[end : end + 60], 1)[0]
        if _AFTER.pattern.match(clause):
            return True
    if not listed:
        return False
    # The line break above stays: what begins a line may only be said there.
    begin = max(0, first - 1, start - 130)
    around, folded = text.text[begin:start], text.folded[begin:start]
    none = _NONE_OF.search(around, folded)  # "no SLOT, n-gram cache or logit bias": each of them
    if none and _OR_LAST.match(text.text, end) and not _STILL.search(none.group()):
        return True
    if ":" in around and _LEFT_OUT.search(around, folded):
        return True
    return _NOT_DONE.search(around, folded) is not None


@lru_cache(maxsize=256)  # a README's lines name several techniques each
def _may_deny(line: str) -> tuple[bool, bool, bool]:
    """Whether a folded line has a word that is needed right before, right after, further off."""
    left_out = ":" in line and _LEFT_OUT.may_match(line)
    further = left_out or _NONE_OF.may_match(line) or _NOT_DONE.may_match(line)
    return _BEFORE.may_match(line), _AFTER.may_match(line), further
