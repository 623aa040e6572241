"""Every field of a vocabulary-space run, with the names under which the family was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scripts.causal.files import InputError
from trainers.fields import (
    ARCHITECTURE,
    HYPERPARAMETER,
    SCHEDULE,
    TRAINING_RULES,
    Rule,
    check,
    config_from,
    setting,
)
from trainers.vocab_space.rates import PUBLISHED, own_rate
from trainers.vocab_space.versions import VERSIONS

OWN = "own"
OWN_RATE = 0.0
MIXINGS = {OWN, *(version.across for version in VERSIONS.values())}

RULES = (
    *TRAINING_RULES,
    Rule("vocab_size % 64 == 0", ("vocab_size",), lambda config: config.vocab_size % 64 == 0),
)


@dataclass(frozen=True)
class VocabConfig:
    """One run of a vocabulary-space model, complete; the defaults are the published setting.

    Attributes:
        architecture: one of the seventeen (`trainers.vocab_space.versions`).
        mixing: across positions: the architecture's own, or another's by its name there.
        num_steps: times that mixing across positions and within one are applied.
        interaction_rank: of the word × word interaction of v8_graph.
        train_batch_tokens: tokens of one optimizer step.
        train_data_tokens: only the first so many tokens of the training text, again and again;
            0 for all of it.
        logit_softcap: bound on the logits, as in c · tanh(x / c).
        aux_weight: of the losses of the inner steps, where an architecture has them.
        gumbel_temperature: of the soft choices, where an architecture makes them.
        learning_rate: at its peak; 0 for the architecture's own (`trainers.vocab_space.rates`).
        beta1, beta2: of Adam's moments.
        grad_clip: bound on the norm of the whole gradient; 0 for none.
        warmdown_frac: last part of the steps, over which the learning rate falls to zero.
        val_tokens: size of the validation subset that the trajectory is measured on.
        val_points: evaluations on it, evenly spaced, the last one at the end.
        final_tokens: of validation, for the final scores; 0 for all of them.
    """

    architecture: str = setting(
        "v8_graph", ARCHITECTURE, env="MODEL_VERSION", among=tuple(VERSIONS)
    )
    mixing: str = setting(OWN, ARCHITECTURE, among=sorted(MIXINGS))
    vocab_size: int = setting(1024, ARCHITECTURE, within=(64, 65536))
    num_steps: int = setting(8, ARCHITECTURE, within=(1, 64))
    interaction_rank: int = setting(8, ARCHITECTURE, within=(1, 4096))
    train_seq_len: int = setting(1024, ARCHITECTURE, within=(1, 65536))
    train_batch_tokens: int = setting(491520, ARCHITECTURE, within=(1, 2**24))
    train_data_tokens: int = setting(0, SCHEDULE, within=(0, 2**40))
    logit_softcap: float = setting(30.0, HYPERPARAMETER, within=(1e-3, 1e3))
    aux_weight: float = setting(0.1, HYPERPARAMETER, within=(0, 10))
    gumbel_temperature: float = setting(1.0, HYPERPARAMETER, within=(1e-2, 100))
    learning_rate: float = setting(PUBLISHED, HYPERPARAMETER, within=(0, 10))
    weight_decay: float = setting(0.0, HYPERPARAMETER, within=(0, 10))
    beta1: float = setting(0.9, HYPERPARAMETER, within=(0, 0.9999))
    beta2: float = setting(0.95, HYPERPARAMETER, within=(0, 0.99999))
    grad_clip: float = setting(1.0, HYPERPARAMETER, within=(0, 1e6))
    iterations: int = setting(2000, SCHEDULE, within=(1, 10**8))
    warmup_iters: int = setting(20, SCHEDULE, within=(0, 10**8))
    warmdown_frac: float = setting(0.3, SCHEDULE, within=(0, 1))
    val_tokens: int = setting(65536, SCHEDULE, within=(1, 2**34))
    val_points: int = setting(10, SCHEDULE, within=(1, 10000))
    final_tokens: int = setting(0, SCHEDULE, within=(0, 2**34))

    def __post_init__(self) -> None:
        """Raise InputError where a value has the wrong type, is out of range, or does not fit."""
        check(self, RULES)

    @property
    def across(self) -> str:
        """Its mixing across positions (`trainers.vocab_space.across`)."""
        return VERSIONS[self.architecture].across if self.mixing == OWN else self.mixing

    @property
    def rate(self) -> float:
        """Its learning rate at the peak: as stated, else the architecture's own."""
        if self.learning_rate == OWN_RATE:
            return own_rate(self.architecture, self.mixing)
        return self.learning_rate

    @property
    def batch_sequences(self) -> int:
        """Sequences in one optimizer step."""
        return self.train_batch_tokens // self.train_seq_len


def vocab_config(values: Mapping[str, Any]) -> VocabConfig:
    """Return the configuration with these fields; the ones left out keep their defaults.

    Raises:
        InputError: an unknown field, a value of the wrong type or out of range, or fields at
            odds.
    """
    return config_from(VocabConfig, values, "vocab_space")


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that environment variables set, as the published scripts take them.

    A field is its name in capitals, except for MODEL_VERSION (architecture).

    Raises:
        InputError: a value that is no number where one is needed.
    """
    found: dict[str, Any] = {}
    for item in fields(VocabConfig):
        name = item.metadata["env"] or item.name.upper()
        if name not in environment:
            continue
        text = environment[name]
        try:
            found[item.name] = {"int": int, "float": float, "str": str}[str(item.type)](text)
        except ValueError as error:
            raise InputError(f"must be a number, but got {text!r}", where=f"${name}") from error
    return found


def config_values(config: VocabConfig) -> dict[str, bool | int | float | str]:
    """Return the fields as plain values, in the order of their declaration."""
    return dict(vars(config))  # all are plain: `asdict` would copy each deeply, in far more time


def fields_with(*, role: str) -> tuple[str, ...]:
    """Names of the fields with this role."""
    return tuple(item.name for item in fields(VocabConfig) if item.metadata["role"] == role)
