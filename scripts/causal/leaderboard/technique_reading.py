"""Which techniques a submission uses, with their values, and which it says it does not use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from interventions.aliases import words_of
from interventions.keywords import guarded
from interventions.vocabulary import Value, Variable, load_variables
from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.numbers import parse_number, tidy
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.sections import SETTING, weight_of
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.technique_evidence import (
    Evidence,
    from_change_tables,
    from_json,
    from_settings,
    from_text,
)

_MLP_HIDDEN = guarded(r"\bMLP[_ ]hidden(?: dim| size)?\W{0,4}(\d{3,5})\b", re.IGNORECASE)
_MLP_SET = guarded(r"\bMLP_HIDDEN\s?=\s?(\d{3,5})\b")


@dataclass(frozen=True)
class Techniques:
    """The reading: id → value, ids said to be absent, and where each was read."""

    used: dict[str, Value]
    absent: tuple[str, ...]
    sources: dict[str, Source]


def read_techniques(document: Document, facts: Iterable[Fact]) -> Techniques:
    """Collect the evidence of README and submission.json and settle each technique's value."""
    found: dict[str, list[Evidence]] = {}
    words = words_of(document.text)
    for evidence in chain(
        from_json(facts),
        from_settings(document, words),
        from_change_tables(document),
        from_text(document, words),
    ):
        found.setdefault(evidence.variable, []).append(evidence)
    used: dict[str, Value] = {}
    sources: dict[str, Source] = {}
    absent = []
    for name, variable in load_variables().items():
        places = found.get(name)
        if places is None:
            continue
        positive = [e for e in places if not e.negated and not e.hint]
        negative = [e for e in places if e.negated and _denies_all(e)]
        if positive and not _outweighed(positive, negative):
            used[name], sources[name] = _best(places, variable)
        elif negative and (variable.kind != "categorical" or "none" in variable.levels):
            absent.append(name)
            sources[name] = max(negative, key=lambda e: e.weight).source
    if "optimizer" not in used and "muon_momentum" in used:
        used["optimizer"], sources["optimizer"] = "muon", sources["muon_momentum"]
    if "hidden" in words.folded:
        _width_of_mlp(document, used, sources)
    layers = used.get("num_layers")
    if used.get("xsa_layers") == "all":
        used["xsa_layers"] = layers if layers is not None else True
    ordered = {name: used[name] for name in load_variables() if name in used}
    return Techniques(ordered, tuple(absent), sources)


def _width_of_mlp(document: Document, used: dict[str, Value], sources: dict[str, Source]) -> None:
    """MLP_HIDDEN=992 over a stated model_dim of 512 is an mlp_mult of 1.9375.

    As a setting it overrides MLP_MULT; as a remark it only stands in for it.
    """
    dim = used.get("model_dim")
    if not isinstance(dim, int):
        return
    known = type(used.get("mlp_mult")) in (int, float)
    for block in document.blocks:
        match = (_MLP_SET if known else _MLP_HIDDEN).search(block.text)
        if match and weight_of(block):
            hidden = parse_number(match.group(1)) or 0.0
            if 0.5 <= hidden / dim <= 16:
                line = block.line + block.text.count("\n", 0, match.start())
                used["mlp_mult"] = tidy(round(hidden / dim, 4))
                sources["mlp_mult"] = Source(file=document.name, line=line)
                return


def _outweighed(positive: list[Evidence], negative: list[Evidence]) -> bool:
    """An explicit switch-off beats talk; denial in prose beats only asides and few mentions."""
    if not negative:
        return False
    loudest = max(e.weight for e in positive)
    return max(e.weight for e in negative) > loudest or (
        len(negative) > len(positive) and loudest <= max(e.weight for e in negative)
    )


def _denies_all(evidence: Evidence) -> bool:
    """Whether a denial is of the technique, not of one level of it ("no pre-quant TTT")."""
    return evidence.value is None or evidence.generic or evidence.value is False


def _best(places: list[Evidence], variable: Variable) -> tuple[Value, Source]:
    """The value with most weight behind it, at its most trusted, earliest place.

    Only the most trusted kind of place votes on a number, so that ten mentions of a baseline's
    value do not beat the run command; on a level all places vote unless one states it outright,
    and levels denied somewhere lose those votes.
    """
    positive = [e for e in places if not e.negated]
    valued = [e for e in positive if e.value is not None]
    if specific := [e for e in valued if not e.generic]:
        valued = specific
    if not valued:
        first = max(positive, key=lambda e: e.weight)
        return True, first.source
    votes: dict[Value | None, float] = {}
    trusted = max(e.weight for e in valued)
    for evidence in valued:
        if evidence.weight == trusted or (variable.kind == "categorical" and trusted < SETTING):
            mixed = "_int" in str(evidence.value)  # "int5 MLP, int6 attention" says both
            weight = evidence.weight**2 * (3 if mixed else 1)
            votes[evidence.value] = votes.get(evidence.value, 0) + weight
    for denial in places:
        if denial.negated and denial.value in votes:
            votes[denial.value] -= denial.weight**2
    chosen = max(votes, key=lambda value: votes[value])
    best = max((e for e in valued if e.value == chosen), key=lambda e: e.weight)
    return True if chosen is None else chosen, best.source
