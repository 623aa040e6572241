"""What every reader of sentences shares: who a sentence speaks of, where it stands."""

from __future__ import annotations

import re

from interventions.keywords import guarded
from scripts.causal.leaderboard.document import Block

MAX_BLOCK = 4_000  # characters; longer blocks are logs pasted without a fence
PENALTY = re.compile(
    r"\b(?:gap|penalty|loss|degradation|cost) (?:from|of|due to|after) (?:[\w-]+ ){0,2}"
    r"quanti[sz]ation|"
    r"\bquanti[sz]ation (?:introduc|caus|cost|add|leav|creat)\w* (?:[\w-]+ ){0,3}"
    r"(?:gap|penalty|loss|degradation|cost)\b|"
    r"\bquanti[sz]ation \([^()]{0,30}\bpenalty|"
    r"\b(?:quant\w*|gptq|int\d|export|roundtrip|RT)\W{0,3}(?:loss|penalty|gap|degradation|cost)",
    re.IGNORECASE,
)
HYPOTHETICAL = guarded(
    r"\b(?:would|should|could|might|expect\w*|estimat\w*|predict\w*|projected|potential\w*|"
    r"if these|at most|target\w*|aim(?:s|ing)?|typically|usually|can't|cannot)\b",
    re.IGNORECASE,
)
NOT_A_CHANGE = guarded(
    r"\bstd\b|±|threshold|\bnoise|\bwithin\b(?! the \d+ ?s)|variance|\bp ?[<=]|per[- ]seed|"
    r"\bspread\b|\bclear(?:s|ing)? the|requirement|\bmargin",
    re.IGNORECASE,
)
REFERS = re.compile(
    r"^\W*(?:this|it|that(?!'s why)|their|they|which|these|yields?|gives?|result|effect|impact)\b",
    re.I,
)
BROUGHT = re.compile(  # "Observed improvement: ~0.003 bpb" of what the heading names
    r"\W*(?:(?:observed|measured|verified|isolated|solo|individual|standalone|marginal|net|total|direct|"
    r"typical|the|pre-?quant|post-?(?:quant|GPTQ))\s){0,3}"
    r"(?:improvements?|impact|effect|gain|benefit|contribution|result|delta|"
    r"Δ ?(?:val_)?(?:bpb)?)\b"
    r"(?! (?:vs|over|on(?! top of)|from|to|against)\b)[^:;.\d]{0,24}\d?[:=]",
    re.IGNORECASE,
)
STAGE = re.compile(  # at which a change is measured: no technique of its own
    r"\b(?:pre|post)[- ]?(?:TTT|quant(?:i[sz]\w+)?|EMA|SWA|GPTQ|SLOT)\b|"
    r"\bat the [\w-]+ (?:stage|level)\b|"
    r"\b(?:after|before) (?:TTT|quanti[sz]ation|EMA|SWA|GPTQ|SLOT)\b",
    re.IGNORECASE,
)
SUBJECT = re.compile(
    r"\W*((?:the )?[A-Za-z][\w^()=.-]*(?: [\w^()=.-]+){0,3}?) (?:(?:degrade|hurt|improve|add|give|"
    r"cost|save|contribute|deliver|yield|provide|reduce|help|regresse|lose)[sd]|"
    r"(?:drops|dropped|gave|cuts?|brings|brought|lost|worsens|worsened|lowers|lowered|recovers|"
    r"recovered|buys|bought|boosts|boosted|"
    r"(?:is|was|were|proved) (?:catastrophic|harmful|worse|better|bad|negative|positive)))\b",
    re.IGNORECASE,
)
PRONOUN = re.compile(
    r"(?:the |a |an |our |all )?(?:this|it|that|which|we|they|these|result|model|run|submission|"
    r"approach|combination|change|technique|method|baseline|stack|total|seeds?|pr)\b"
    r"|(?:the |this )?(?:\w+ )?(?:variant|penalty|gap|cost|difference|effect)$"
    r"|.*\b(?:that|which|who|also|then|to|it|this|they|we|i)$",
    re.IGNORECASE,
)

_WRAPPED = re.compile(  # no item, and no "name: value"
    r"(?<=[^\n]{58}[^\n.:;!?|])\n"
    r"(?![-*•|+] |\d{1,2}[.)] |[^\n:]{0,40}: )"
)


def blank(match: re.Match[str]) -> str:
    """For `re.sub`: as many spaces, so that all else stays where it stood."""
    return " " * len(match.group())


def line_of(block: Block, offset: int) -> int:
    """The line of the README that a place in a block's text is on."""
    return block.line + block.text.count("\n", 0, offset)


def unwrapped(text: str) -> str:
    """Join lines that an editor broke, in as many characters: a line that is full goes on."""
    return _WRAPPED.sub(" ", text) if "\n" in text else text
