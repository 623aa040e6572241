"""The matrices of every kind of MLP, by name: which paths it has and how wide each is.

Every kind has about the parameters of the baseline's two matrices, 2 · model_dim · mlp_hidden,
so a contrast between two of them is one of structure and not of size. `proj` always leads out.
"""

from __future__ import annotations

from trainers.gpt.config import GPTConfig

BANKS = ("memory", "feature", "residual")  # of a CausalWide MLP
PATH_EPS = 1e-6  # added to a path's square before dividing by it


def mlp_shapes(config: GPTConfig) -> dict[str, tuple[int, int]]:
    """Shapes (out, in) of the matrices of one MLP, in the order they are used."""
    dim, hidden = config.model_dim, config.mlp_hidden
    match config.activation:
        case "swiglu":
            wide = _width(hidden, 2 / 3)
            paths, out = {"gate": wide, "value": wide}, wide
        case "fan":
            paths, out = {"fc": hidden - periodic_width(hidden)}, hidden
        case "dml_gated":
            wide = _width(hidden, 2 / 3)
            paths, out = {"nuisance": wide, "target": wide}, wide
        case "dml_orth":
            narrow, wide = _width(hidden, 1 / 4), _width(hidden, 1 / 2)
            return {
                "nuisance": (narrow, dim),
                "target": (wide, dim),
                "map": (wide, narrow),
                "proj": (dim, narrow + wide),
            }
        case "fan_dml":
            wide = _width(hidden, 16 / 23)  # 7/8 + 1 + 1 matrices of this width
            paths, out = {"fc": wide - periodic_width(wide), "gate": wide}, wide
        case "causal_wide":
            wide = _width(hidden, 1 / 3)
            paths, out = dict.fromkeys(BANKS, wide), 3 * wide
        case "dml_causal_wide":
            wide = _width(hidden, 2 / 9)
            names = [f"{bank}_{part}" for bank in BANKS for part in ("gate", "value")]
            paths, out = dict.fromkeys(names, wide), 3 * wide
        case _:
            paths, out = {"fc": hidden}, hidden
    return {**{name: (rows, dim) for name, rows in paths.items()}, "proj": (dim, out)}


def periodic_width(hidden: int) -> int:
    """Rows of FAN's periodic projection: an eighth of the hidden channels, each used twice."""
    return max(1, hidden // 8)


def decorrelated_widths(config: GPTConfig) -> tuple[int, ...]:
    """Width of each pair of paths that the Barlow Twins loss decorrelates."""
    shapes = mlp_shapes(config)
    match config.activation:
        case "dml_gated":
            return (shapes["target"][0],)
        case "fan_dml":
            return (shapes["gate"][0],)
        case "causal_wide":
            return (shapes["memory"][0],) * 3
        case "dml_causal_wide":
            return (shapes["memory_gate"][0],) * 6
    return ()


def _width(hidden: int, share: float) -> int:
    """A share of the hidden channels; a wide one in eights, which tensor cores ask for."""
    unit = 8 if hidden * share >= 256 else 1
    return max(2, unit * round(hidden * share / unit))
