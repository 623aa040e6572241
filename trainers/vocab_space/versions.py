"""The seventeen architectures: which parts each is made of.

The family's premise: the hidden dimension is the vocabulary. Input is one-hot, there is no
embedding and no output projection, and the state is the prediction at every step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """One architecture.

    Attributes:
        across: its mixing across positions (`trainers.vocab_space.across`).
        within: its transform within a position (`trainers.vocab_space.within`).
        published: what was published of it.
        embedded: the state starts from a factored embedding instead of one word: the control that
            breaks the premise.
        predictive: every step's state is trained to predict (weight `aux_weight`).
    """

    across: str
    within: str
    published: str = ""
    embedded: bool = False
    predictive: bool = False


VERSIONS: dict[str, Version] = {
    "v1_attention": Version("attention", "fourier", "3.4 M parameters, plateaus early"),
    "v2_conv": Version("convolution", "fourier", "353 K parameters, strong baseline"),
    "v3_assoc": Version("fourier_memory", "fourier", "329 K parameters, stuck"),
    "v4_golf": Version("golf_memory", "factored", "102 K parameters"),
    "v5_gauss": Version("bound_memory", "spectrum"),
    "v6_wave": Version("waves", "bands", "824 K parameters, still descending"),
    "v7_lgp": Version("fourier_memory", "program", "329 K parameters, unstable"),
    "v8_graph": Version(
        "similarity", "interaction", "164 K parameters at rank 8, best; 1.1 M at 64, memorizes"
    ),
    "v9_meta": Version("dense_memory", "bottleneck", "4.2 M parameters"),
    "v10_policy": Version("policy_memory", "policy"),
    "v11_brainwave": Version("slow_and_fast", "oscillators"),
    "v11_tpg": Version("timescales", "teams"),
    "v12_sparse": Version("narrow_memory", "narrow"),
    "v13_embed": Version("narrow_memory", "narrow", embedded=True),
    "v14_adaptive": Version("modulated", "cosine_mix"),
    "v15_predictive": Version("narrow_memory", "predictive", predictive=True),
    "v16_columnar": Version("columns", "dendrites"),
}
