"""Numbers and strangers' text as people read them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup

MINUS = "−"
NONE = "–"
LONGEST = 2000
NO_BREAK = "\N{NO-BREAK SPACE}"


def plain_text(text: str, limit: int = LONGEST) -> str:
    """One line without characters that steer the display, at most `limit` long.

    Control, bidirectional and other invisible marks are written out as ``[U+202E]``, since
    they can make a line read differently from what it says; white space becomes a space.
    """
    shown = []
    for character in text[:limit]:
        kind = unicodedata.category(character)
        if character.isspace():
            shown.append(" ")
        elif kind in ("Cc", "Cf", "Cs", "Co"):
            shown.append(f"[U+{ord(character):04X}]")
        else:
            shown.append(character)
    return "".join(shown) + ("…" if len(text) > limit else "")


def bpb(value: float | None) -> str:
    """A score: four decimals."""
    return NONE if value is None else f"{value:.4f}".replace("-", MINUS)


def effect(value: float | None) -> str:
    """A difference in bpb: four decimals, sign always shown, a rounded zero without one."""
    if value is None:
        return NONE
    shown = f"{value:+.4f}"
    return "0.0000" if shown[1:] == "0.0000" else shown.replace("-", MINUS)


def probability(value: float | None) -> str:
    """A p-value: three decimals, and never exactly zero."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A share in whole per cent, never rounded to certainty."""
    if value is None:
        return NONE
    if 0 < value < 0.01:
        return "< 1%"
    if 0.99 < value < 1:
        return "> 99%"
    return f"{value:.0%}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number to so many significant digits."""
    if value is None:
        return NONE
    return f"{value:.{digits}g}".replace("-", MINUS)


def count(value: float | None) -> str:
    """A count, in words where it is large: 999, 17.1 million, 2.3 billion."""
    if value is None:
        return NONE
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:,.0f}"


def flops(value: float | None) -> Markup | str:
    """Floating-point operations, as a power of ten (markup: the exponent is raised)."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < 6:
        return f"{value:,.0f}"
    mantissa = round(value / 10**exponent, 1)
    if mantissa >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    return Markup(f"{mantissa:.1f}{NO_BREAK}×{NO_BREAK}10<sup>{exponent}</sup>")


def duration(seconds: float | None) -> str:
    """A span of time in the two largest units that matter."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_rest} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listed(items: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; beyond `most` items ``a, b and 7 more``."""
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(amount: int, noun: str, many: str | None = None) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{amount:,} {noun if amount == 1 else many or noun + 's'}"


def span(low: float, high: float) -> str:
    """An interval of a difference in bpb."""
    return f"{effect(low)} to {effect(high)}"
