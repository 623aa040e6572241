"""A model of 27 M parameters through the whole way: quantized, evaluated, assembled, refereed."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.causal.campaign.chosen import Recorded
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import run_chain
from scripts.causal.campaign.schema import Platform
from scripts.causal.submission_assembly import assemble
from trainers.api import RunSpec, StageResult
from trainers.data import open_dataset
from trainers.evaluation import evaluate
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.run import validation_of
from trainers.gpt.trainer import WEIGHTS_FILE, GptTrainer
from trainers.quantize.int8 import is_quantized

BACKEND = "torch-cpu-float32"
SIZE = {
    "num_layers": 11,
    "model_dim": 512,
    "num_heads": 8,
    "num_kv_heads": 4,
    "mlp_mult": 3.0,
    "bigram_hash": 4096,
    "bigram_dim": 128,
    "vocab_size": 300,
    "train_seq_len": 32,
    "train_batch_tokens": 64,
    "muon_ns_steps": 1,
    "iterations": 10,
    "val_tokens": 64,
    "val_points": 1,
}


def coarse_weights(config):
    """Random weights on 15 levels: int8 and zlib hold no 27 M of full entropy in 16 MB."""
    random = np.random.default_rng(5)
    weights = initial_weights(config, seed=1)
    for name, value in weights.items():
        if is_quantized(value.shape):
            levels = np.clip(np.rint(random.normal(0, 2, value.shape)), -7, 7)
            weights[name] = (levels * 0.01).astype(np.float32)
    return weights


def record(spec: RunSpec, trainer: GptTrainer, ledger) -> float:
    """Put the weights where training leaves them; the bpb before quantization."""
    config = gpt_config(spec.config)
    weights = coarse_weights(config)
    engine = TorchEngine(config, BACKEND)
    engine.load(weights)
    plain = evaluate(engine, validation_of(config, open_dataset(Path(spec.data)))).bpb
    claim = ledger.claim(trainer.stages(spec)[0], this_owner())
    save_file(weights, claim.folder / WEIGHTS_FILE)
    curves = {"step": [], "train_loss": [], "val_step": [], "val_bpb": []}
    ledger.finish(claim, StageResult({"pre_quant_bpb": plain, "seconds": 0.0}, curves))
    return plain


@pytest.mark.slow
def test_a_model_of_27_million_parameters_is_assembled_under_the_cap(small_data, tmp_path):
    trainer = GptTrainer()
    config = trainer.resolve("baseline", SIZE)
    spec = RunSpec("gpt", BACKEND, "baseline", config, 42, str(small_data))
    assert 26.5e6 < trainer.parameters(config) < 27.5e6
    ledger = open_ledger(tmp_path / "ledger.sqlite")
    try:
        record(spec, trainer, ledger)
        run = run_chain(trainer, spec, ledger, this_owner())
        assert run.failure is None
        platform = Platform(
            trainer="gpt", backend=BACKEND, scale="baseline", data=str(small_data), machine="here"
        )
        done = assemble(
            Recorded("", "random weights", {}, platform, {42: run}),
            [],
            ledger,
            name="27 M",
            author="Somebody",
            github_id="",
            output=tmp_path / "submission",
            minify=True,
        )
    finally:
        ledger.close()
    on_disk = sum(
        (done.folder / name).stat().st_size for name in ("train_gpt.py", "model.int8.zlib")
    )
    assert done.facts.bytes_total == on_disk < 16_000_000
    assert not done.report.failures
    proven = {one.rule for one in done.report.verdicts if one.outcome == "pass"}
    assert {"reproduces its score", "bytes under the cap", "files as listed"} <= proven
    print(f"{on_disk:,} bytes, {trainer.parameters(config):,} parameters")
