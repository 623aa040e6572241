"""Sentences that state two scores of one change: from one to the other, this against that."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interventions.keywords import guarded
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import Reading, at_line, slug
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.prose_owner import named_by
from scripts.causal.leaderboard.row_contrasts import TOTAL
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.sentences import (
    BROUGHT,
    MAX_BLOCK,
    PENALTY,
    PRONOUN,
    REFERS,
    SUBJECT,
    blank,
    line_of,
)
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of
from scripts.causal.leaderboard.techniques import variables_in
from scripts.causal.leaderboard.topics import names_a_change, of_the_model, title_above

_TO = guarded(
    r"(?<![\w.])(\d\.\d{3,10})\s?(?:bpb\s?)?(?:\([^()\n]{0,30}\)\s?)?(?:->|→)\s?(\d\.\d{3,10})"
    r"(?![\d%])",
    re.IGNORECASE,
)
_FROM_TO = guarded(
    r"\bfrom (?:[^.;:()\n]{0,40} )?\W{0,2}(\d\.\d{3,10})\W{0,2}\s?(?:bpb\s?)?"
    r"(?:(?:baseline )?\([^()\n]{0,60}\)\s?|baseline )?"
    r"to (?:[a-z]+ ){0,2}\W{0,2}(\d\.\d{3,10})(?![\d%])",
    re.IGNORECASE,
)
_ASIDE = re.compile(  # what is compared with, and the stage that both scores are of
    r"\b(?:over|vs\.?|versus|than|compared (?:to|with)|relative to|against)\s[^.;:(]{0,60}|"
    r"\bfrom (?:the |our )?(?:previous|prior|old|earlier)\s[\w -]{0,30}|"
    r"\b(?:pre|post)[- ]?(?:TTT|quant(?:i[sz]\w+)?|EMA|SWA|GPTQ|SLOT)\b",
    re.IGNORECASE,
)
_METRIC = re.compile(r"\bsliding(?:[- ]window)? (?:val_)?bpb\b", re.IGNORECASE)  # a name for it
_STARTS = re.compile(r"\W{0,4}\d?\.\d")  # "-0.037 BPB improvement (1.1408 → 1.1046)"
_OF_A_SETTING = re.compile(
    r"(?<![a-z])(?:decay|momentum|betas?|lr|rate|threshold|slope|alpha|clip\w*|dropout|wd)\W{0,4}"
    r"(?:from )?$",
    re.IGNORECASE,
)
_DECAY = re.compile(r"\b(?:decay|momentum|beta\d?)\b", re.IGNORECASE)  # nearly one
_FALLS = re.compile(r"\b(?:improv|drop|reduc|lower|cut)[^.;]{0,40}$", re.IGNORECASE)
_MOVES = re.compile(
    r"\b(?:improv|drop|reduc|lower|degrad|hurt|rais|increas|worsen|takes?\b|mov|bring|cut|"
    r"deliver|turn)(?:[^.;]|\.(?=\d)){0,60}$",
    re.IGNORECASE,
)
_MOVES_IT = re.compile(  # "Drops val_bpb from 1.023 to 1.014", of what the words in bold name
    r"\W*(?:improv|drop|reduc|lower|degrad|hurt|rais|increas|tak|mov|bring|cut)\w+ ", re.IGNORECASE
)
_TO_BRIEFLY = guarded(
    r"(?<![a-z])bpb\b[^.;\n|]{0,40}?(?<![\w.])(\d\.\d\d)\s?(?:->|→)\s?(\d\.\d\d)(?![\d%])",
    re.IGNORECASE,
)
_CHAIN = guarded(  # "live 1.0822 -> EMA 1.0494": each step's name before its score
    r"(?<![\w.])(\d\.\d{3,8})(?: bpb)?(?: \([^()\n]{0,30}\))?\s?(?:->|→)\s"
    r"(?=([A-Za-z][\w /-]{1,28}?)(?: (?:at|of|bpb))?:? (\d\.\d{3,8})(?![\d%]))",
    re.IGNORECASE,
)
_AGAINST = guarded(
    r"\(\s?(\d\.\d{3,8})(?: bpb)? (?:vs\.?|versus|against|compared to) "
    r"(?:[A-Za-z\d]{1,12}(?:'s)? )?(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_VERSUS = guarded(  # "JEPA is still worse: 1.6132 vs 1.5861"
    r"\b(?:better|worse|improv\w*|degrad\w*|hurts?|helps?|regress\w*|beats?)\b[^.;\d]{0,40}?[:,(]"
    r"[^.;\d(]{0,12}?(\d\.\d{3,8})(?: bpb)? \(?(?:vs\.?|versus) (\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_WITHOUT = guarded(
    r"\b(?:without|w/o|minus|removing|disabling)\s([^.;:,\n]{2,40}?)\s"
    r"(?:gives|gets|scores|scored|reaches|reached|achieves|yields|lands at|is|was|costs?|got)\s"
    r"(?:val_bpb )?(?:of |at )?(\d\.\d{3,8})(?![\d%])",
    re.IGNORECASE,
)
_SCORE_MOVES = re.compile(  # a score over a course, which no one change made
    r"\W*(?:\d{1,2}[.)] )?(?:[\w-]+ ){0,3}(?:bp[bp]|val_bpb|base|score)\s"
    r"(?:improves|drops|falls|rises|goes|decreases)\b",
    re.IGNORECASE,
)
_SAID_OF_IT = re.compile(  # "(int8 roundtrip)", "sliding", not what a new clause goes on to say
    r"\s?\((?:[^()\n]|\([^()\n]*\)){0,30}|"
    r"(?:(?! (?:and|but|while|because|which)\b)[^()\n,;]){0,30}"
)
_QUANTIZES = re.compile(  # "Quantization roundtrip causes 0.047 degradation (1.3283 -> 1.3752)"
    r"\W*(?:[\w-]+ )?(?:quanti[sz]ation|int\d|round-?trip)(?: [\w-]+)? "
    r"(?:caus|cost|degrad|los[et]|add|hurt|rais|mov|tak)",
    re.IGNORECASE,
)
_SIDE = re.compile(  # "At matched steps, pause tokens beat the baseline (1.3424 vs 1.3465)"
    r"(?:[^,]{0,60}, )?\W*((?:the )?[A-Za-z][\w^()=.-]*(?: [\w^()=.-]+){0,3}?) "
    r"(?:beats?|overfits?|hurts?|helps?|wins?|loses?|improves?|degrades?|"
    r"(?:is|was|did|does|scored) (?:not |slightly |much |clearly |no |only |still )?"
    r"(?:improve|better|worse|beat|help))\b",
    re.IGNORECASE,
)
_GAP_BEFORE = re.compile(  # "attacks the 0.0187 BPB quantization gap (1.0415 -> 1.0602)"
    r"\bquant\w* (?:gap|penalty|degradation|loss|cost)\W{0,3}$", re.IGNORECASE
)
_LEAST = 0.3  # bits per byte: less is a gap or a rate
_OPENS = 3  # characters: a sentence about what it names first
_NO_CHANGE = re.compile(r"\bseeds?\b|\bSOTA\b|#\d", re.IGNORECASE)  # whole runs are compared
_OF_BOTH = re.compile(r"\((?:standard|same|the same) [^()]{0,20}\)", re.IGNORECASE)
_STANDARD = re.compile(  # both scores are of that stage: "1.121 -> 1.112 post-EMA"
    r"\W{0,3}(?:standard|non-)|\s(?:bpb )?(?:pre[- ]|post[- ]?(?:EMA|SWA)\b)", re.IGNORECASE
)


def moves_what_is_titled(text: str, title: str) -> bool:
    """Whether "Improves from 1.0740 to 1.0707" stands below a title that names one technique."""
    if not (_MOVES_IT.match(text) and _FROM_TO.search(text)):
        return False
    return len({name for name, _, _ in changes_in(title)}) == 1


def pair_in(text: str, block: Block, lead: str) -> re.Match[str] | None:
    """Return where a sentence says "1.4472 -> 1.4135", unless these are two stages of one run.

    Where it moves a score "from 1.4472 to 1.4135" it, or the title above it, names the change.
    """
    match = _TO.search(text) or _from_to(text, block, lead) or _TO_BRIEFLY.search(text)
    if match is None or _OF_A_SETTING.search(text[: match.start()]):
        return None
    if _STANDARD.match(text, match.end()):
        return match
    told = text[match.start() : match.end() + 30]
    return None if stage_of(_OF_BOTH.sub(" ", told)) else match


def against_in(text: str) -> re.Match[str] | None:
    """Return where a sentence says "(1.1466 vs 1.1374)"."""
    found = [*_AGAINST.finditer(text)]
    match = next((m for m in found if float(m.group(1)) > _LEAST), None)
    match = match or _VERSUS.search(text) or next(iter(found), None)
    return None if match and _OF_A_SETTING.search(text[: match.start()]) else match


def _from_to(text: str, block: Block, lead: str) -> re.Match[str] | None:
    """ "X improves BPB from 1.1923 to 1.1837", of one technique, not of a whole history."""
    match = _FROM_TO.search(text)
    if match is None or PENALTY.search(text) or float(match.group(1)) < 0.3:
        return None
    rises = float(match.group(2)) > float(match.group(1))
    if rises and _FALLS.search(text[: match.start()]):
        return None  # the words say one thing and the numbers another
    if not _MOVES.search(text[: match.start()]) or "#" in text[: match.start()]:
        return None
    named = {name for name, _, at in variables_in(text) if at < match.start()}
    return match if len(named) == 1 or (not named and title_above(block, lead)) else None


def against_contrast(
    reading: Reading, block: Block, start: int, text: str, match: re.Match[str], lead: str
) -> Ablation | None:
    """A sentence that says "X hurts (1.1466 vs 1.1374)": this against that.

    Where it does not say what X is, the words in bold before it do, or a numbered heading.
    """
    mine, theirs = float(match.group(1)), float(match.group(2))
    named = [
        item[0]
        for item in variables_in(_METRIC.sub(blank, text))
        if item[2] < match.start(1) and not of_the_model(item, text)
    ]
    alike = re.search(r"\b(?:identical|same|similar|matching)\b", text, re.IGNORECASE)
    if alike or mine == theirs or not (0.3 < mine < 5 and abs(mine - theirs) <= 0.5):
        return None
    if not named and _NO_CHANGE.search(text):
        return None
    subject = _SIDE.match(text[: match.start(1)]) if not named else None
    if subject and not PRONOUN.match(subject.group(1)):
        named = [f"other:{slug(subject.group(1))}"]
    if not named and (title := title_above(block, lead)):
        named = [f"other:{slug(title)}"]
    if not named:
        return None
    return at_line(
        reading,
        line_of(block, start + match.start(1)),
        variable="other:bundle" if len(set(named)) > 2 else named[0],
        control=match.group(2),
        treatment=match.group(1),
        delta=mine - theirs,
        kind="bundle" if len(set(named)) > 2 else "single",
    )


def left_out(
    reading: Reading, block: Block, start: int, text: str, final: float
) -> Iterator[Ablation]:
    """ "The same stack without X gives 1.1459": the submission against itself without X."""
    match = _WITHOUT.search(text)
    named = variables_in(match.group(1)) if match else []
    if match and len(named) == 1 and 0 < abs(final - float(match.group(2))) < 0.2:
        yield at_line(
            reading,
            line_of(block, start + match.start()),
            variable=named[0][0],
            control="none",
            treatment=match.group(1)[:80],
            delta=final - float(match.group(2)),
        )


def arrow_contrast(
    reading: Reading,
    block: Block,
    start: int,
    text: str,
    match: re.Match[str],
    lead: str,
    topic: str,
) -> Iterator[Ablation]:
    """A sentence that says "1.4472 -> 1.4135"; `topic` is what its block opens with."""
    before, after = float(match.group(1)), float(match.group(2))
    least = 0.1 if "bpb" in text.lower() else 0.3
    if not (least < before < 5 and least < after < 5) or abs(after - before) > 2:
        return
    if _SCORE_MOVES.match(text):
        return
    if 0.9 <= min(before, after) <= max(before, after) < 1 and _DECAY.search(text):
        return
    if re.search(r"\bloss\b", text[max(0, match.start() - 24) : match.start()], re.IGNORECASE):
        return
    named = changes_in(_ASIDE.sub(blank, text))
    named = [item for item in named if not of_the_model(item, text)]
    if not named and (REFERS.match(text) or BROUGHT.match(text) or _STARTS.match(text)):
        headed = changes_in(lead) or (variables_in(block.section[-1]) if block.section[1:] else [])
        named = headed if len(headed) == 1 else []
        if not named and REFERS.match(text):
            named = [item for item in variables_in(topic)[:1] if item[2] <= _OPENS]
    if not named and _MOVES_IT.match(text) and names_a_change(lead):
        named = changes_in(lead)[:1] or [(f"other:{slug(lead)}", None, 0)]
    subject = SUBJECT.match(text)
    if _GAP_BEFORE.search(text[: match.start()]) or (
        not named and (PENALTY.search(text) or _QUANTIZES.match(text))
    ):
        named = [(STAGE_CONTRASTS["quantized"][0], None, 0)]
    total = bool(TOTAL.match(text)) or not named or len({item[0] for item in named}) > 2
    variable = "other:bundle" if total else named[0][0]
    if not named and subject and not PRONOUN.match(subject.group(1)):
        total, variable = False, named_by(subject.group(1))
    yield at_line(
        reading,
        line_of(block, start + match.start()),
        variable=variable,
        control=match.group(1),
        treatment=match.group(2),
        delta=after - before,
        kind="bundle" if total or len(named) > 2 else "single",
    )


def stage_arrows(reading: Reading) -> list[Ablation]:
    """ "1.7579 (pre-quant) → 1.7622 (int8 roundtrip)": two stages of one run."""
    found = []
    for block in reading.document.blocks:
        if block.kind not in ("paragraph", "item", "code") or len(block.text) > MAX_BLOCK:
            continue
        if "->" not in block.text and "→" not in block.text:
            continue
        for match, before, after, stage in _arrows(block.text):
            least = min(before, after)
            if stage in STAGE_CONTRASTS and 0 < abs(after - before) < 0.5 and least > 0.05:
                variable, control, treatment = STAGE_CONTRASTS[stage]
                found.append(
                    at_line(
                        reading,
                        line_of(block, match.start()),
                        variable=variable,
                        control=control,
                        treatment=treatment,
                        delta=after - before,
                    )
                )
    return found


def _arrows(text: str) -> Iterator[tuple[re.Match[str], float, float, str | None]]:
    """Yield each arrow between two scores with them and the stage that the second is named as."""
    for match in _TO.finditer(text):
        said = _SAID_OF_IT.match(text, match.end(2))
        if not _STANDARD.match(text, match.end(2)):  # of which both are
            stage = stage_of(said.group()) if said else None
            yield match, float(match.group(1)), float(match.group(2)), stage
    for match in _CHAIN.finditer(text):
        yield match, float(match.group(1)), float(match.group(3)), stage_of(match.group(2))
