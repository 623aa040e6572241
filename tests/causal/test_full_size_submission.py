"""A model through the whole way under a cap: quantized, evaluated, assembled, refereed.

27 M parameters with `-m slow`, a small one of the same kind always.
"""

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.causal.campaign.chosen import Recorded
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import run_chain
from scripts.causal.campaign.schema import Platform
from scripts.causal.submission.verdicts import passed
from scripts.causal.submission_assembly import assemble
from trainers.api import RunSpec, StageResult
from trainers.data import open_dataset
from trainers.evaluation import evaluate
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.run import validation_of
from trainers.gpt.trainer import GptTrainer
from trainers.quantize.int8 import is_quantized
from trainers.seeds import stream
from trainers.workbench import WEIGHTS_FILE

BACKEND, MODEL = "torch-cpu-float32", "model.int6.ans"
PROBES = ("is_causal", "trains_without_validation")
USAGE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
COMMON = {
    "vocab_size": 300,
    "train_seq_len": 32,
    "train_batch_tokens": 64,
    "muon_ns_steps": 1,
    "iterations": 10,
    "val_tokens": 64,
    "val_points": 1,
    "quant_bits": "int6",
    "sdclip": True,
    "compressor": "ans",
}
SMALL = {"num_layers": 2, "model_dim": 64, "num_heads": 4, "num_kv_heads": 2, "mlp_mult": 3.0}
LARGE = {
    "num_layers": 11,
    "model_dim": 512,
    "num_heads": 8,
    "num_kv_heads": 4,
    "mlp_mult": 3.0,
    "bigram_hash": 4096,
    "bigram_dim": 128,
}


def normal_weights(config):
    """As large as trained ones and normal, so that a coder has the least to gain."""
    weights = initial_weights(config, seed=1)
    for name, value in weights.items():
        if is_quantized(value.shape):
            drawn = stream(5, "normal weights", name).standard_normal(value.shape, np.float32)
            weights[name] = drawn * np.float32(value.shape[-1] ** -0.5)
    return weights


def record(spec: RunSpec, trainer: GptTrainer, ledger) -> float:
    """Put the weights where training leaves them; the bpb before quantization."""
    config = gpt_config(spec.config)
    weights = normal_weights(config)
    engine = TorchEngine(config, BACKEND)
    engine.load(weights)
    plain = evaluate(engine, validation_of(config, open_dataset(Path(spec.data)))).bpb
    claim = ledger.claim(trainer.stages(spec)[0], this_owner())
    save_file(weights, claim.folder / WEIGHTS_FILE)
    curves = {"step": [], "train_loss": [], "val_step": [], "val_bpb": []}
    ledger.finish(claim, StageResult({"pre_quant_bpb": plain, "seconds": 0.0}, curves))
    return plain


@pytest.mark.parametrize(
    ("shape", "parameters", "artifact_cap"),
    [
        pytest.param(SMALL, (9e4, 1e5), 55_000, id="small"),
        pytest.param(LARGE, (26.5e6, 27.5e6), 15_850_000, id="27 M", marks=pytest.mark.slow),
    ],
)
def test_a_model_is_assembled_under_the_cap(
    shape, parameters, artifact_cap, small_data, tmp_path, monkeypatch
):
    started, trainer = time.perf_counter(), GptTrainer()
    if shape is SMALL:
        for probe in PROBES:  # each takes seconds, and is tested where models are tiny
            monkeypatch.setattr(
                f"scripts.causal.referee.probes.{probe}", lambda *_: passed("", "")
            )
    config = trainer.resolve("baseline", COMMON | shape | {"artifact_cap": artifact_cap})
    spec = RunSpec("gpt", BACKEND, "baseline", config, 42, str(small_data))
    assert parameters[0] < trainer.parameters(config) < parameters[1]
    ledger = open_ledger(tmp_path / "ledger.sqlite")
    try:
        before = record(spec, trainer, ledger)
        run = run_chain(trainer, spec, ledger, this_owner())
        assert run.failure is None
        assert run.metrics["val_bpb"] == pytest.approx(before, rel=0.05)
        platform = Platform(
            trainer="gpt", backend=BACKEND, scale="baseline", data=str(small_data), machine="here"
        )
        done = assemble(
            Recorded("", "random weights", {}, platform, {42: run}),
            [],
            ledger,
            name="normal weights",
            author="Somebody",
            github_id="",
            output=tmp_path / "submission",
            minify=True,
        )
    finally:
        ledger.close()
    sizes = {name: (done.folder / name).stat().st_size for name in ("train_gpt.py", MODEL)}
    assert 0.995 * artifact_cap <= sizes[MODEL] <= artifact_cap
    assert done.facts.bytes_total == sum(sizes.values()) < 16_000_000
    assert not done.report.failures
    proven = {one.rule for one in done.report.verdicts if one.outcome == "pass"}
    assert {"reproduces its score", "bytes under the cap", "files as listed"} <= proven
    memory = max(resource.getrusage(who).ru_maxrss for who in USAGE) / 2**20
    print(
        f"{trainer.parameters(config):,} parameters in {sizes} bytes, "
        f"{time.perf_counter() - started:.0f} s, {memory:.1f} GiB"
    )
