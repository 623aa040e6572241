"""Published beliefs, from READMEs and the catalog, beside what the data says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from interventions.catalog import Intervention, load_catalog
from interventions.vocabulary import Variable
from scripts.causal.files import InputError
from scripts.causal.graph.carry import contrasts, same
from scripts.causal.graph.effects import EffectsTable
from scripts.causal.graph.schema import CombinedEffect, Level

Contrast = tuple[Level, Level]


def catalog_claims(
    variables: Mapping[str, Variable], catalog: Mapping[str, Intervention] | None = None
) -> dict[str, dict[Contrast, list[float]]]:
    """Return the catalog's published effects in bpb: variable, then contrast with the baseline."""
    found: dict[str, dict[Contrast, list[float]]] = defaultdict(lambda: defaultdict(list))
    for intervention in (load_catalog() if catalog is None else catalog).values():
        variable = variables.get(intervention.variable)
        sizes = [one.delta_bpb for one in intervention.claims if one.delta_bpb is not None]
        if variable is None or not sizes:
            continue
        try:
            after = intervention.apply({variable.id: variable.baseline}).get(variable.id)
        except InputError:
            continue  # changes another field, whose baseline is the trainer's
        if after is not None and not same(after, variable.baseline):
            found[variable.id][variable.baseline, after] += sizes
    return {name: dict(claims) for name, claims in found.items()}


def believed_effects(
    table: EffectsTable,
    variables: Mapping[str, Variable],
    catalog: Mapping[str, Intervention] | None = None,
) -> tuple[CombinedEffect, ...]:
    """Return the posterior of every contrast that is estimated or claimed, by variable."""
    claims = catalog_claims(variables, catalog)
    effects = []
    for name in variables:
        mine = dict(claims.get(name, {}))
        for before, after in contrasts(table.estimates.get(name, ())):
            published: list[float] = []
            for one, other in list(mine):
                if same(one, before) and same(other, after):
                    published += mine.pop((one, other))
                elif same(one, after) and same(other, before):
                    published += [-size for size in mine.pop((one, other))]
            effects.append(table.effect(name, before, after, published))
        effects += [table.effect(name, *contrast, sizes) for contrast, sizes in mine.items()]
    return tuple(effects)
