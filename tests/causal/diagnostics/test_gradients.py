"""A repeated run is the recorded one, and its gradients are told layer by layer."""

import numpy as np
import pytest

from scripts.causal import gradient_attribution as stage
from scripts.causal.diagnostics.gradients import (
    largest_difference,
    layer_of,
    phase_of,
    rank_correlation,
    recorded_steps,
    repeat_run,
)
from scripts.causal.diagnostics.influence import inner_product, mean_gradient
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from trainers.gpt.config import gpt_config
from trainers.gpt.run import schedule_of


def test_layers():
    names = ("blocks.3.attn.q", "blocks.12.mlp.fc", "embed", "value_embed.table", "")
    assert [layer_of(name) for name in names] == [
        "blocks.3",
        "blocks.12",
        "embed",
        "value_embed",
        "",
    ]


def test_phases():
    rates = {"iterations": 20, "warmdown_iters": 5, "muon_momentum_warmup_steps": 0}
    warm = schedule_of(gpt_config({**rates, "warmup_iters": 3}))
    phases = [phase_of(warm, step) for step in range(20)]
    assert phases == ["warmup"] * 3 + ["main"] * 13 + ["warmdown"] * 4
    scales = warm.lr_scales()
    assert [scale < 1 for scale in scales] == [True] * 2 + [False] * 14 + [True] * 4
    momentum = schedule_of(gpt_config({**rates, "muon_momentum_warmup_steps": 7}))
    assert [phase_of(momentum, step) for step in (6, 7)] == ["warmup", "main"]


def test_steps():
    assert recorded_steps(400, 5) == [0, 100, 200, 299, 399]
    assert recorded_steps(3, 100) == [0, 1, 2]


def test_the_repeated_run_is_the_recorded_one(subject):
    bench, _ = subject.open()
    losses, course = repeat_run(bench, 4)
    assert losses == subject.curves["train_loss"]
    assert course.steps == (0, 6, 13, 19)
    assert course.loss == tuple(losses[step] for step in course.steps)
    bench.engine.load(bench.start)
    first = mean_gradient(bench.engine, bench.batches.batch(0))
    squares = sum(layer.norms[0] ** 2 for layer in course.layers)
    assert squares == pytest.approx(inner_product(first, first), rel=1e-6)
    for phase in ("warmup", "main", "warmdown"):
        assert sum(layer.phases[phase].share for layer in course.layers) == pytest.approx(1)


def test_correlations():
    rising = np.arange(8.0)
    assert rank_correlation(rising, rising**3) == pytest.approx(1)
    assert rank_correlation(rising[:4], rising[:4]) is None
    assert rank_correlation(rising, np.ones(8)) is None
    assert largest_difference([1.0, 2.0], [1.0, 2.5]) == 0.5
    assert largest_difference([1.0], None) is None


def test_the_command(recorded, tmp_path, capsys):
    output = tmp_path / "gradients.json"
    stage.main(output=output, run=recorded[1], ledger=recorded[0], points=10)
    report = parse_file(stage.GradientAttribution, output)
    assert (report.iterations, report.loss_difference) == (20, 0.0)
    assert [layer.layer for layer in report.course.layers] == [
        "embed",
        "skip_weights",
        "blocks.0",
        "blocks.1",
    ]
    assert "equal to the recorded ones to the last bit" in capsys.readouterr().out
    drawn = (tmp_path / "gradients.svg").read_text()
    assert all(word in drawn for word in ("warmup", "main", "warmdown", "blocks.1"))
    with pytest.raises(InputError, match="at least 2 points"):
        stage.main(output=output, run=recorded[1], ledger=recorded[0], points=1)
