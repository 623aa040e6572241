"""Per variable: can the submissions tell its effect, or must an experiment come first?"""

from __future__ import annotations

from collections.abc import Mapping

from interventions.vocabulary import Variable, load_variables
from scripts.causal.graph.citest import WilksTest, encode_table
from scripts.causal.graph.design import CONTEXT, OUTCOME, Design, Excluded, build_design
from scripts.causal.graph.estimate import fault_of
from scripts.causal.graph.identify import identification, paths_to
from scripts.causal.graph.pag import Pag, make_pag
from scripts.causal.graph.schema import (
    CausalDag,
    Estimate,
    Identifiability,
    IdentifiabilityReport,
    Mark,
)
from scripts.causal.graph.threads import one_thread
from scripts.causal.leaderboard.schema import Leaderboard

STRONG_ASSOCIATION = 0.7


def data_pag(dag: CausalDag) -> Pag:
    """Return the PAG of the graph's data edges."""
    marks: dict[tuple[str, str], Mark] = {}
    for edge in dag.edges:
        if edge.origin == "data":
            marks[edge.source, edge.target] = edge.source_mark
            marks[edge.target, edge.source] = edge.target_mark
    return make_pag((node.id for node in dag.nodes), marks)


def outcome_estimates(dag: CausalDag) -> dict[str, tuple[Estimate, ...]]:
    """Return the effects on the outcome that the graph carries, by variable."""
    return {
        edge.source: edge.estimates
        for edge in dag.edges
        if edge.target == dag.outcome and edge.estimates
    }


def entangled(design: Design) -> dict[str, tuple[str, ...]]:
    """Return per factor the other columns that nearly go with it, strongest first.

    The measure is the largest canonical correlation of the two encoded columns. Empty where no
    graph can be estimated.
    """
    if fault_of(design):
        return {}
    names = [name for name in design.columns if name != OUTCOME]
    test = WilksTest(encode_table(design.table[names]))
    found: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(names):
        strengths = [
            (test.association(place, other), names[other])
            for other in range(len(names))
            if other != place
        ]
        strong = sorted((one for one in strengths if one[0] >= STRONG_ASSOCIATION), reverse=True)
        if strong and name not in CONTEXT:
            found[name] = tuple(other for _, other in strong)
    return found


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _of_excluded(excluded: Excluded, estimates: tuple[Estimate, ...]) -> Identifiability:
    return Identifiability(
        variable=excluded.variable,
        verdict="experiment_first",
        reason=excluded.cause,
        explanation=f"The submissions cannot tell: {excluded.reason}.",
        confounded_with=excluded.partners,
        estimates=estimates,
    )


def _of_tested(variable: str, estimates: tuple[Estimate, ...]) -> Identifiability:
    tested = [one for one in estimates if one.source == "tested"]
    clear = [one for one in tested if one.low > 0 or one.high < 0]
    best = min(clear or tested, key=lambda one: one.effect)
    told = f"{best.contrast}: {best.effect:+.4f} bpb [{best.low:+.4f}, {best.high:+.4f}]"
    return Identifiability(
        variable=variable,
        verdict="proceed" if clear else "experiment_first",
        reason="tested",
        explanation=f"Our own paired runs measured it, {told}"
        + ("." if clear else "; the interval holds zero, so more seeds or scale are needed."),
        estimates=estimates,
    )


def _silence(design: Design, variable: str) -> str:
    """Return that most submissions do not tell of a variable, where it is so; else nothing."""
    unknown, rows = design.imputed.get(variable, 0), len(design.table)
    if 2 * unknown <= rows:
        return ""
    return f" {unknown} of {rows} submissions do not say it and are taken to be as the baseline."


def _of_factor(
    pag: Pag,
    variable: str,
    partners: tuple[str, ...],
    estimates: tuple[Estimate, ...],
    silence: str,
) -> Identifiability:
    status = identification(pag, variable, OUTCOME)
    through = _words(paths_to(pag, variable, OUTCOME))
    beside = f" It nearly always goes with {_words(partners)}." if partners else ""
    observed = [one for one in estimates if one.source == "observed"]
    clear = [one for one in observed if one.low > 0 or one.high < 0]
    explanations = {
        "identified": "Every path from it to bpb starts with a directed edge that no hidden "
        "common cause can explain, so adjustment identifies its effect.",
        "confounded": "A hidden common cause of it and bpb, such as what was known at the time, "
        "explains their dependence or cannot be excluded.",
        "undirected": f"It may act on bpb through {through}, but the data leaves open whether it "
        "is a cause or shares one.",
        "disconnected": f"Given the other variables, {variable} and bpb show no dependence in "
        "these submissions, which is not proof that there is none.",
    }
    explanation = explanations[status] + beside + silence
    if status == "identified" and not observed:
        explanation += " The rows are too few to put a number on it."
    elif status == "identified" and not clear:
        explanation += " The estimate's interval holds zero."
    return Identifiability(
        variable=variable,
        verdict="proceed" if status == "identified" and clear else "experiment_first",
        reason=status,
        explanation=explanation,
        confounded_with=partners,
        estimates=estimates,
    )


@one_thread()
def check_identifiability(
    leaderboard: Leaderboard,
    dag: CausalDag,
    *,
    variables: Mapping[str, Variable] | None = None,
    design: Design | None = None,
    partners: Mapping[str, tuple[str, ...]] | None = None,
) -> IdentifiabilityReport:
    """Return for every variable of the vocabulary whether its effect can be told, and why.

    Own experiments come first; then what kept a variable out of the estimate; then what the
    graph says. Only an identified or tested effect whose interval leaves zero out is `proceed`.

    Args:
        leaderboard: the submissions that the graph is of.
        dag: their graph, own results included.
        variables: the vocabulary; None for the repository's.
        design: of the same leaderboard; None to make it here.
        partners: what `entangled` says of the design; None to ask it here.
    """
    variables = load_variables() if variables is None else variables
    design = build_design(leaderboard, variables=variables) if design is None else design
    pag = data_pag(dag)
    effects = outcome_estimates(dag)
    excluded = {one.variable: one for one in design.excluded}
    partners = entangled(design) if partners is None else partners
    items = []
    for name in variables:
        estimates = effects.get(name, ())
        if any(one.source == "tested" for one in estimates):
            items.append(_of_tested(name, estimates))
        elif name in excluded:
            items.append(_of_excluded(excluded[name], estimates))
        elif fault_of(design) or name not in pag.nodes:
            reason = fault_of(design) or "it is no node of the graph that was given"
            items.append(_of_excluded(Excluded(name, "too_few", reason), estimates))
        else:
            silence = _silence(design, name)
            items.append(_of_factor(pag, name, partners.get(name, ()), estimates, silence))
    return IdentifiabilityReport(outcome=dag.outcome, variables=tuple(items))
