"""A quantizer's gap is that of the same targets, as a whole and by tensor."""

import math
from dataclasses import replace

import numpy as np
import pytest
from literal_results import literal_contrast, literal_result

from interventions.catalog import Intervention
from scripts.causal import quant_gap_analysis
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import run_chain
from scripts.causal.campaign.schema import (
    AblationResults,
    Platform,
    StageEffects,
)
from scripts.causal.diagnostics.quant_gap import SequenceLosses, quantizer_gap, sequence_losses
from scripts.causal.diagnostics.quantizers import quantizers
from scripts.causal.diagnostics.subject import find_run
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.quant_gap_analysis import QuantGaps, TrainingEffect, quant_gaps
from trainers.api import RunSpec
from trainers.gpt.trainer import GptTrainer


def test_a_gap_and_its_standard_error():
    exact = SequenceLosses(np.array([1.0, 2.0, 3.0, 4.0]), 10)
    worse = SequenceLosses(np.array([1.1, 2.3, 3.1, 4.3]), 10)
    gap, error = worse.gap(exact)
    assert gap == pytest.approx(0.8 / math.log(2) / 10)
    spread = np.std([0.1, 0.3, 0.1, 0.3], ddof=1) / math.sqrt(4)
    assert error == pytest.approx(4 * spread / math.log(2) / 10)


def test_one_tensor_at_a_time(subject):
    bench, weights = subject.open()
    exact = sequence_losses(bench.engine, bench.validation)
    assert exact.bpb == pytest.approx(subject.metrics["pre_quant_bpb"], abs=1e-12)
    halved = {
        name: values * np.float32(0.5 if name.endswith(("mlp.fc", "attn.v")) else 1)
        for name, values in weights.items()
    }
    found = quantizer_gap(bench.engine, weights, bench.validation, exact, "half", (5, halved))
    assert {tensor.name for tensor in found.tensors} == {
        f"blocks.{layer}.{name}" for layer in (0, 1) for name in ("mlp.fc", "attn.v")
    }
    assert all(tensor.relative_error == pytest.approx(0.5) for tensor in found.tensors)
    assert [tensor.gap for tensor in found.tensors] == sorted(
        (tensor.gap for tensor in found.tensors), reverse=True
    )
    assert found.sum_of_tensors == pytest.approx(sum(tensor.gap for tensor in found.tensors))
    worst = found.tensors[0]
    bench.engine.load({**weights, worst.name: weights[worst.name] / 2})
    again = sequence_losses(bench.engine, bench.validation)
    assert again.bpb - exact.bpb == pytest.approx(worst.gap, abs=1e-12)
    total = sum(values.size for values in weights.values())
    assert found.bits_per_parameter == pytest.approx(8 * 5 / total)


def test_the_runs_own_quantizer_is_what_the_run_did(subject, recorded):
    ledger = open_ledger(recorded[0])
    metrics = ledger.get(recorded[1]).result.metrics
    ledger.close()
    report = quant_gaps(subject, ["own"])
    (own,) = report.quantizers
    assert report.bpb + own.gap == pytest.approx(metrics["val_bpb"], abs=1e-9)


def test_weights_trained_on_a_grid_are_stored_on_it(small_data, tmp_path):
    late = {"qat": True, "qat_below": 0.9, "qat_k": 0.002, "curvature_steps": True}
    gpt, path = GptTrainer(), str(tmp_path / "ledger.sqlite")
    config = gpt.resolve("tiny", {"vocab_size": 300, "compressor": "ans", **late})
    spec = RunSpec("gpt", "torch-cpu-float32", "tiny", config, 3, str(small_data))
    ledger = open_ledger(path)
    run = run_chain(gpt, spec, ledger, this_owner())
    metrics = ledger.get(run.key).result.metrics
    ledger.close()
    report = quant_gaps(find_run(run.key, path), ["own"])
    (own,) = report.quantizers
    assert report.bpb + own.gap == pytest.approx(metrics["val_bpb"], abs=1e-9)


def test_quantizers_come_from_the_catalog(subject, monkeypatch):
    entry = Intervention(
        id="crush", variable="quant_bits", label="", stage="quantize", set={"quant_bits": "int0"}
    )
    other = replace(entry, id="late", stage="evaluate")
    monkeypatch.setattr(
        "scripts.causal.diagnostics.quantizers.load_catalog",
        lambda: {"crush": entry, "late": other},
    )
    assert quantizers(subject.spec.config) == {"own": {}, "crush": {"quant_bits": "int0"}}
    report = quant_gaps(subject, max_tokens=64)
    assert [gap.name for gap in report.quantizers] == ["own"]
    assert list(report.passed_over) == ["crush"] and "int0" in report.passed_over["crush"]


def result(name, verdict, stage, training):
    return literal_result(
        literal_contrast(name, label=name.upper(), stage=stage),
        verdict,
        training + 0.5,
        stage_effects=StageEffects(training=training, quantization=0.5),
        trend="steady",
    )


def campaign(folder, *results):
    where = Platform(trainer="gpt", backend="b", scale="tiny", data="d", machine="m")
    form = AblationResults(
        alpha=0.05,
        alpha_spent=0.05,
        alpha_left=0.0,
        mde=0.005,
        platform=where,
        prior=None,
        results=results,
    )
    write_file(folder / "ablation_results.json", form)
    return folder


MIXED = (
    result("better", "confirmed_better", "train", -0.02),
    result("worse", "confirmed_worse", "train", 0.03),
    result("open", "inconclusive", "train", -0.9),
    result("ema", "confirmed_better", "average", -0.7),
)


def test_the_command_beside_a_confirmed_effect(recorded, tmp_path, capsys):
    output = tmp_path / "gaps.json"
    quant_gap_analysis.main(
        output=output,
        run=recorded[1],
        ledger=recorded[0],
        campaign=campaign(tmp_path, *MIXED),
        tokens=320,
        quantizer=["quant_bits=int8"],
    )
    report = parse_file(QuantGaps, output)
    (gap,) = report.quantizers
    assert gap.name == "quant_bits=int8"
    assert report.targets == 320
    assert gap.tensors and abs(gap.gap) < 0.05
    assert report.effect == TrainingEffect(contrast="worse", label="WORSE", effect=0.03)
    shown = capsys.readouterr().out
    assert f"{gap.gap / 0.03:.2f} of the largest confirmed training effect" in shown
    assert "one tensor at a time" in (tmp_path / "gaps.svg").read_text()


def test_a_campaign_that_confirmed_nothing_of_training(recorded, tmp_path, capsys):
    quant_gap_analysis.main(
        output=tmp_path / "gaps.json",
        run=recorded[1],
        ledger=recorded[0],
        campaign=campaign(tmp_path, *MIXED[2:]),
        tokens=320,
    )
    assert "confirmed no effect on training" in capsys.readouterr().out


def test_unknown_names(subject, tmp_path):
    with pytest.raises(InputError, match=r"unknown quantizer 'int3'.*own"):
        quant_gaps(subject, ["int3"])
    with pytest.raises(InputError, match=r"no quantizer fits.*int3"):
        quant_gaps(subject, ["quant_bits=int3"])
    with pytest.raises(InputError, match="ablation_results"):
        quant_gaps(subject, campaign=tmp_path)
