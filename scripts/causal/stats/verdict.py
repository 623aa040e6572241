"""Exactly one verdict per contrast.

The first row that applies decides. Adjusted p-values are Holm's within the cycle's confirmatory
family, `share` is the cycle's part of alpha, and only fresh seeds (none that took part in the
choice) count as tested.

| verdict          | rule                                                                       |
|------------------|----------------------------------------------------------------------------|
| failed           | no seed of the phase has a result in both arms                             |
| screened_out     | never taken to fresh seeds                                                 |
| inconclusive     | fewer than 2 complete pairs on fresh seeds                                 |
| equivalent       | every paired difference is exactly 0 (identical)                           |
| confirmed_worse  | adjusted p of the moderated t ≤ share, and the mean difference > 0         |
| inconclusive     | the treatment failed at a fresh seed: its good seeds are a selection       |
| confirmed_better | adjusted p of the moderated t ≤ share, and the mean difference < 0         |
| equivalent       | adjusted p of the TOST at ±MDE ≤ share                                     |
| inconclusive     | otherwise                                                                  |

The difference is treatment − control in bits per byte, so lower is better. The two kinds of claim
are two families, each held at `share`: wrong confirmations at most alpha over the campaign, wrong
"equivalent" at most alpha over the campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "confirmed_better",
    "confirmed_worse",
    "equivalent",
    "inconclusive",
    "screened_out",
    "failed",
]


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        tested: the contrast was run on fresh seeds.
        pairs: complete pairs of the phase that decides.
        effect: mean paired difference; None without a pair.
        identical: every difference is exactly 0.
        treatment_failures: seeds of the phase at which the treatment has no result.
        p_adjusted: Holm-adjusted p of the moderated t; None where undefined.
        p_equivalence_adjusted: Holm-adjusted p of the TOST; None where undefined.
    """

    tested: bool
    pairs: int
    effect: float | None
    identical: bool
    treatment_failures: int
    p_adjusted: float | None
    p_equivalence_adjusted: float | None


def decide(evidence: Evidence, share: float) -> Verdict:
    """The verdict by the table above, at the cycle's `share` of alpha."""
    if evidence.pairs == 0 or evidence.effect is None:
        return "failed"
    if not evidence.tested:
        return "screened_out"
    if evidence.pairs < 2:
        return "inconclusive"
    if evidence.identical and not evidence.treatment_failures:
        return "equivalent"
    different = evidence.p_adjusted is not None and evidence.p_adjusted <= share
    if different and evidence.effect > 0:
        return "confirmed_worse"
    if evidence.treatment_failures:
        return "inconclusive"
    if different and evidence.effect < 0:
        return "confirmed_better"
    p_tost = evidence.p_equivalence_adjusted
    if p_tost is not None and p_tost <= share:
        return "equivalent"
    return "inconclusive"
