"""How READMEs say that a submission builds on a pull request, and how they merely mention one."""

from __future__ import annotations

import re

from interventions.keywords import guarded

# A pull request as it is written; ISSUE is not one.
NUMBER = r"(?:(?<![\w-])PRs?\s?#?\s?|pull/|(?<!issue )(?<!issues )#)(\d{2,5})\b"
PR = re.compile(NUMBER, re.IGNORECASE)

# A line break inside a sentence: after a long line that ends with no stop.
_WRAP = re.compile(r"(?<=[^\n]{50})(?<![.:;|!?])\n(?=[a-z(#@\d]|PRs?\b)")


def unwrap(text: str) -> str:
    """Join a paragraph's hard-wrapped lines; every character keeps its place."""
    return _WRAP.sub(" ", text) if "\n" in text else text


# What a whole submission is made of, as against one of its parts.
_WHOLE = (
    r"(?:stack|architecture|code(?:base)?|config(?:uration)?s?|setup|base|baseline|model|trunk|"
    r"backbone|script|train_gpt(?:\.py)?|recipe|hyper-?parameters|pipeline|submission|foundation)"
)
_CLAUSE = r"(?:[^.;\n|→]|\.\d)"  # a character of the same clause; a number keeps its point
_FEW = r"[^.;\n|]{0,40}?"
_OBJECT_OF = rf"(?:{_FEW}\s)??[^.;,\n|]{{0,30}}?[(\[]{{0,2}}"

# The verb, then the PR within the same clause.
BUILT = guarded(
    r"\b(?:buil[dt]s?|building|based|stack(?:s|ed)|fork(?:s|ed)?|derive[sd]?|"
    r"(?<!-)start(?:s|ed|ing|(?=\sfrom))|extend(?:s|ed|ing)?|reproduc(?:es|tion|ed|ing)|"
    r"inherit(?:s|ed)?|identical|unchanged|modif(?:y|ies|ied)|variant(?! from)|"
    r"continu(?:es|ation)|appl(?:y|ies|ied)|follow-?up|ports?(?= of| [^.;\n|]{0,60}\bon))\b"
    rf"{_CLAUSE}{{0,30}}?\b(?:on|upon|from|of|to|onto)\b{_CLAUSE}{{0,90}}?" + NUMBER,
    re.IGNORECASE,
)
ON_TOP = guarded(rf"\bon top of\b{_CLAUSE}{{0,90}}?" + NUMBER, re.IGNORECASE)
# The verb takes the PR as its object: "Extends PR #1", "Takes PR #1 and adds".
TAKES = guarded(
    r"(?:^|\bthis (?:submission|work|record|pr|run)\s)(?:extends|takes|forks|reproduces)\s"
    rf"{_OBJECT_OF}" + NUMBER,
    re.IGNORECASE | re.MULTILINE,
)
# "Uses the configuration from PR #1", "hyperparameters sourced from PR #1", "same code as PR #1".
WHOLE_FROM = guarded(
    r"(?:^[^\w\n]{0,9}|\b(?:the|our|same|full|base|exact|model|training|identical|all|baseline|clean|"
    r"unmodified)\s)(?:[^\s.;|]{1,40}\s){0,6}?"
    rf"{_WHOLE}(?:\s\([^()\n]{{0,120}}\))?(?: and \w+)?\s"
    r"(?:(?:is|are|was|were)\s)?(?:\w+\s)?(?:from|of|as|in)\s(?:the )?(?:[\w-]+ ){0,3}?"
    r"[(\[]{0,2}" + NUMBER,
    re.IGNORECASE | re.MULTILINE,
)
# A credit that opens with what the whole work stands on.
BUILT_FIRST = guarded(
    r"(?m)(?:(?:^\W{0,6}|\.\s)(?:we|this (?:submission|work|record|pr|run))\s|"
    rf"^\W{{0,6}}(?:{_WHOLE}\s)?)"
    r"(?:is\s)?(?:directly\s)?(?:buil[dt]s?|based|forked|derived)\s(?:directly\s)?(?:(?:up)?on|from)\b"
    rf"{_CLAUSE}{{0,90}}?" + NUMBER,
    re.IGNORECASE,
)
# The base as it is named: "Base: PR #1", "base PR #1".
NAMED = guarded(
    r"\b(?<!comparison )(?:base(?:line)?|parent|foundation|base (?:model|submission|architecture))"
    r"(?: stack| architecture| and (?:training )?(?:recipe|code))?\b"
    r"\s{0,2}(?:\([^()\n]{0,40}\))?\s{0,2}"
    r"(?:is|was|from|[:=|])\s{0,2}[^.;\n|]{0,60}?" + NUMBER,
    re.IGNORECASE,
)
# A sentence that opens a list of what the work is built on: "Built on the work of:".
OPENS_LIST = guarded(
    rf"\b(?:buil[dt]s?|building|based|stack(?:s|ed)|fork(?:s|ed)|derived)\b"
    rf"[^.;\n|#]{{0,40}}?\b{_WHOLE}\b[^.;\n|#]{{0,40}}:$",
    re.IGNORECASE,
)
# "Architecture (from PR #1)", as a heading or at the head of a line.
HEADED = guarded(
    r"(?m)^(?:[^\w\n]|\d){0,12}(?:\w+ ){0,2}(?:architecture|stack|model|base)\s?[:(-]\s?"
    r"[^()\n]{0,40}?\bfrom\s(?:the )?\[?" + NUMBER,
    re.IGNORECASE,
)
STACK = guarded(
    NUMBER + r"(?:'s)?(?: \([^()\n]{0,60}\))?(?: by @\w+)?(?::(?!.{0,20}baseline))?"
    r"(?! (?:in|on|with|from|to|at|under|hparams?|hyper-?param\w*)\b)[^.:#;\n|,]{0,20}?\s"
    r"(?:stack|base|baseline|codebase|submission stack|foundation|record folder|scaffold)\b"
    r"(?! audit)",
    re.IGNORECASE,
)
# Weaker: whom the author measures the changes from.
CHANGES = guarded(
    r"\b(?:chang(?:es?|ed)|differences?|different|new|delta|diff|modifications?)\b[^.;\n|]{0,30}?"
    r"\b(?:vs\.?|from|over|versus|relative to|compared (?:to|with))\s[^.;\n|]{0,20}?"
    rf"{NUMBER}|\bimprovements? over (?:our |the )?(?:previous|prior) submission[^.;\n|]{{0,20}}?"
    + NUMBER,
    re.IGNORECASE,
)
# "What changed vs PR #1", as a heading: the work is measured from it throughout.
CHANGED = guarded(
    r"\bchange[sd]?\b[^.;\n|]{0,20}?\b(?:vs\.?|from|over|versus|relative to)\s[^.;\n|]{0,30}?"
    + NUMBER,
    re.IGNORECASE,
)
# What a gain is stated over: "Beats PR #1 (1.12)", "Merged SOTA (PR #1): 1.1147. Delta: -0.0251".
_GAIN = (
    r"(?:delta|gain|improv\w{1,8}|beat(?:s|ing)?|surpass\w{0,3}|outperform\w{0,3}|better|lower)"
)
MEASURED = guarded(
    rf"\b{_GAIN}\b[^.;\n)]{{0,60}}?{NUMBER}[^\n#]{{0,40}}?\d\.\d{{3}}|"
    rf"\b(?:sota|record|leader(?:board)?|baseline|prior|previous)\b[^.;\n]{{0,40}}?{NUMBER}"
    rf"(?=[^\n#]{{0,40}}?\d\.\d{{3}}[^\n#]{{0,40}}?\b{_GAIN}\b)",
    re.IGNORECASE,
)
# The next of several, with what stands between: "(ann), PR #2", "+ PR #2", "-> #2".
MORE = re.compile(
    r"(?:\]\([^()\s]{0,120}\))?\)?\s{0,2}(?:\([^()\n]{0,120}\))?\s{0,2}"
    r"(/|\+|,\sand|,|and|&|->|→|with(?=[^\n]{4,9}\d{2,5}\b(?!'s| [a-z])))\s{0,2}"
    r"(?:the )?(?:@?[\w-]{2,40}\s\()?\[?" + NUMBER,
    re.IGNORECASE,
)
# The one before, in a bare list that shares one noun: "PR #1 + PR #2 stack".
BEFORE = re.compile(NUMBER + r"\s?(?:/|\+|&|and)\s?\[?$", re.IGNORECASE)

# --- what makes a mention no parent -------------------------------------------------------------

# What stands before "PR #1 baseline" when it is only measured against.
AGAINST = re.compile(
    r"\b(?:beat(?:s|ing)?|outperform(?:s|ing)?|surpass(?:es|ing)?|vs\.?|versus|than|moved to|like|"
    r"(?:validated|verified|tested|measured|tuned|swept) on|"
    r"(?:improv\w{2,8}|compared?|gain|win)\s(?:over|to|with|against|on|upon))"
    r"\s(?:the\s)?(?:merged\s|current\s)?\[?$",
    re.IGNORECASE,
)
CREDIT = re.compile(
    r"\b(?:credit|thank|acknowledg|inspir|technique(?! stack)|idea|recipe|related|ablation|first|"
    r"concept|mechanism|approach|framing|legality|illegal|comparison|similar|see also|"
    r"results|published)\b",
    re.IGNORECASE,
)
# What is taken from a PR when it is no code: "Based on PR #1's ablation".
LEARNT = re.compile(
    r"(?:'s?)?\s(?:[\w-]+\s){0,3}?(?:analys[ie]s|sweep|findings?|ablations?|results?|ideas?|"
    r"insights?|observations?|suggestions?|discovery|comment|ruling|reference|tuning|"
    r"implementation|approach|method|trick)\b",
    re.IGNORECASE,
)
_PART = (
    r"(?:ttt|lora|caches?|n-?gram|mixer|mixture|gates?|gating|activation|optimizer|muon|schedule|"
    r"kernels?|tokenizer|bigram\w*|approach|technique|loss|ema|swa|xsa|qat|gptq|quanti[sz]\w+|"
    r"slot|momentum|gain|recurrence|residuals?|rope|init\w*|bug|hash\w*|class|range|compress\w+|"
    r"calibration|shards?|embeddings?|adapters?|eval\w*|decay|coefficients?|warmdown|\w*relu\w*)"
)
PART = re.compile(rf"\b{_PART}\b", re.IGNORECASE)
# One part of a submission, as the subject of the verb: "the TTT is based on PR #1".
PART_BEFORE = re.compile(
    rf"\b{_PART}\b\W{{0,3}}(?:(?:was|is|are|were|has been|itself)\s)?(?:\w+\s)?\W{{0,3}}$",
    re.IGNORECASE,
)
# A section on one part: "2. LeakyReLU(0.75)^2".
PART_SECTION = re.compile(rf"^\W*\d+[.):]\s.{{0,60}}\b{_PART}\b", re.IGNORECASE)
WHOLE = re.compile(rf"\b{_WHOLE}\b", re.IGNORECASE)
CREDIT_SECTION = guarded(
    r"^\W*(?:\w+ )?(?:credit|acknowledg|attribution|reference|related|thanks|legality|compliance|"
    r"lineage|provenance|prior work)",
    re.IGNORECASE,
)
# The fields of submission.json that hold credits.
CREDIT_KEYS = re.compile(r"credit|attribution|acknowledg|lineage|reference")
# A submission that goes on from its author's earlier one.
OWN_BEFORE = guarded(
    r"\bbuil(?:ds?|t|ding) (?:directly )?(?:up)?on (?:top of )?(?:our|my) "
    r"(?:own |previous |prior |earlier |last )",
    re.IGNORECASE,
)
# A text in submission.json, at any depth, that opens with the base.
JSON_BASE = re.compile(
    r"\W{0,3}(?:direct |full |neural )?(?:base|parent|built on|based on|forked from)\b"
    r"[^.;\n]{0,40}?" + NUMBER,
    re.IGNORECASE,
)

# Fields of submission.json that hold the base.
BASE_KEYS = re.compile(
    r"^(?:(?:full_|current_sota_)?base(?:line)?_(?:prs?|stack\w*|submission(?:_pr)?|model(?:_pr)?|"
    r"record|recipe)|base|based_on(?:_prs?)?|parent(?:_prs?|_submission)?|parents|buil(?:ds|t)_on|"
    r"implementation_lineage_pr|(?:forked|derived)_from(?:_pr)?|basis|primary_codebase|pr\d+_base\w*|"
    r"current_sota_stack|\w*base(?:line)?_hparams)$"
)
# Fields among credits whose work is the base where nothing else is named.
LAST_KEYS = re.compile(
    r"^(?:\w+_)?(?:base_architecture|architecture_base|base_techniques)$|^\w+_base$"
)
COMPARED = re.compile(r"^(?:comparison|compared|deltas?|vs)(?:_|$)")
NUMBER_KEY = re.compile(r"(?:^|_)(?:prs?|number|parents)$")  # whose bare number is a pull request
