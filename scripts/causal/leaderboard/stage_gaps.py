"""Quantization gaps that sentences state, also those of a comparator."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interventions.keywords import guarded
from scripts.causal.leaderboard.contrasts import contrast
from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS
from scripts.causal.leaderboard.techniques import variables_in
from scripts.causal.leaderboard.topics import headed_by

_NUMBER = r"\+?(0?\.\d{2,6})(?![\d%]|\.\d|\s?(?:-(?!>)|to)\s?[+~]?\d?\.\d|\s?(?:nats|MB|M\b))"
_FRACTION = re.compile(r"\.\d\d")  # in every gap
_GAP = guarded(
    r"\b(?:quant(?:i[sz]ation)?|q|round-?trip)[ -]"
    r"(?:gap|penalty|degradation|cost|damage|loss|tax)\b"
    rf"[^\d\n.;|]{{0,24}}?{_NUMBER}|"
    rf"{_NUMBER} (?:bpb )?(?:gap|penalty|loss|degradation) from (?:\w+ )?quanti[sz]ation\b|"
    rf"\bquanti[sz]ation(?: round-?trip)? (?:causes|costs|adds|loses)"
    rf"(?: only)?(?: about)? ~?{_NUMBER}",
    re.IGNORECASE,
)
_CHANGED = guarded(  # what a change made of the gap is a contrast of that change
    r"\b(?:quant\w*|q|round-?trip|int\d)[ -](?:\w+ )?"
    r"(?:gap|penalty|degradation|cost|damage|loss|error|tax)\b"
    r"[^\d\n.;|]{0,24}?(?:\bfrom |\()[~+]{0,2}(0?\.\d{2,6})(?: bpb)?(?: \([^()]{0,30}\))?"
    r" ?(?:to|->|→) ?[~+]{0,2}(0?\.\d{2,6})(?![\d%])",
    re.IGNORECASE,
)
_HOPED = re.compile(
    r"\bwould|\bcould|\bshould|\bexpect|\bestimat(?:e|ed|es|ion)\b|\btarget|\bproject(?:ed|ion)",
    re.I,
)
_SPOKEN = guarded(r"quant|q-gap|trip gap", re.IGNORECASE)
_AGAINST = re.compile(
    rf"\W{{0,3}}(?:bpb\W{{1,3}})?(?:->|→) ?{_NUMBER}|"
    r"\W{0,3}(?:bpb\W{1,3})?[^\d\n.;|]{0,20}?"
    rf"(?:than|vs\.?|versus|against|compared (?:to|with)) ([^\d\n.;|()]{{2,30}}?)"
    rf"(?:'s)? {_NUMBER}",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\bwould|\bcould|\bexpect|\bestimat(?:e|ed|es|ion)\b|\bproject(?:ed|ion)|\btarget|\btypical|\bshould|\bif\b|"
    r"\bwithout|\bhelp|\breduc|\bclos|\brecover",
    re.IGNORECASE,
)


def stated_gaps(document: Document) -> Iterator[Ablation]:
    """Yield "quant gap 0.012, better than prior SOTA's 0.014" as the two contrasts it states."""
    variable, control, treatment = STAGE_CONTRASTS["quantized"]
    for block in document.blocks:
        if block.kind not in ("paragraph", "item") or not _SPOKEN.search(block.text):
            continue
        for number, line in enumerate(block.text.split("\n")):
            if not _FRACTION.search(line):
                continue
            if (changed := _CHANGED.search(line[:2000])) and not _HOPED.search(line[:2000]):
                before, after = float(changed.group(1)), float(changed.group(2))
                named = {name for name, _, at in variables_in(line[: changed.start()])}
                named -= {variable, "gptq", "tied_embeddings"}  # what was quantized, and how
                named = named or {name for name, _, _ in headed_by(block)} - {variable}
                yield contrast(
                    variable=named.pop() if len(named) == 1 else "other:quantization_gap",
                    control=f"quantization gap {before:g}",
                    treatment=f"quantization gap {after:g}",
                    delta=after - before,
                    quote=document.quote(block.line + number),
                    source=Source(file=document.name, line=block.line + number),
                )
                continue
            for match in _GAP.finditer(line[:2000]):
                begun = max(line.rfind(". ", 0, match.start()), match.start() - 60, 0)
                if _UNSURE.search(line[begun : match.end()]):
                    continue
                other = _AGAINST.match(line, match.end())
                at = next(index for index, group in enumerate(match.groups(), 1) if group)
                sign = "-" if re.search(r"[\s:~]-$", line[: match.start(at)]) else ""
                gaps = [(sign + match.group(at), treatment)]
                if other:
                    run = (other.group(2) or "then").strip()
                    gaps.append((other.group(1) or other.group(3), f"{treatment} ({run})"))
                for gap, stated in gaps:
                    yield contrast(
                        variable=variable,
                        control=control,
                        treatment=stated,
                        delta=float(gap),
                        quote=document.quote(block.line + number),
                        source=Source(file=document.name, line=block.line + number),
                    )
