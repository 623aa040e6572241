"""Scripts in the competition's style that train nothing: written by tests, run for real."""

from __future__ import annotations

from pathlib import Path

GOOD = """
import os, sys, time

class Hyperparameters:
    data_path = os.environ.get("DATA_PATH", "./data")
    seed = int(os.environ.get("SEED", 1337))
    iterations = int(os.environ.get("ITERATIONS", 20))
    train_batch_tokens = int(os.environ.get("TRAIN_BATCH_TOKENS", 512))
    num_layers = int(os.environ.get("NUM_LAYERS", 9))
    matrix_lr = float(os.environ.get("MATRIX_LR", 0.04))
    muon_wd = float(os.environ.get("MUON_WD", "0.0"))
    tie_embeddings = bool(int(os.environ.get("TIE_EMBEDDINGS", "1")))
    smear_gate = bool(int(os.environ.get("SMEAR_GATE", "0")))
    rope_dims = int(os.environ.get("ROPE_DIMS", 0))
    max_wallclock_seconds = float(os.environ.get("MAX_WALLCLOCK_SECONDS", 600.0))
    ttt_chunk = int(os.environ.get("TTT_CHUNK", 32))
    run_id = os.environ.get("RUN_ID", str(time.time()))

args = Hyperparameters()
assert os.path.isdir(args.data_path), args.data_path
assert os.path.isfile(os.environ["TOKENIZER_PATH"])
bpb = 1.25 + 0.5 * (args.matrix_lr - 0.04) - 0.01 * args.smear_gate + 0.001 * (args.seed % 5)
print("model_params:17059912")
print(f"train_batch_tokens:{args.train_batch_tokens} iterations:{args.iterations}")
for step in range(args.iterations + 1):
    if step % 10 == 0:
        print(f"step:{step}/{args.iterations} val_loss:{bpb + 1:.4f} val_bpb:{bpb + 0.1:.4f} "
              f"train_time:{step * 10}ms step_avg:10.00ms")
    if step < args.iterations:
        print(f"step:{step + 1}/{args.iterations} train_loss:{3 - 0.01 * step:.4f} "
              f"train_time:{(step + 1) * 10}ms step_avg:10.00ms")
with open("final_model.int8.ptz", "wb") as file:
    file.write(b"x" * 100)
print("Serialized model: 67224983 bytes")
print("Code size: 47642 bytes")
print("Total submission size: 67272625 bytes")
print("Serialized model int8+zlib: 15863489 bytes (payload:17178912 raw_torch:17224025)")
print("Total submission size int8+zlib: 15911131 bytes")
print(f"final_int8_zlib_roundtrip val_loss:{2 * bpb:.4f} val_bpb:{bpb:.4f} eval_time:1402ms")
print(f"final_int8_zlib_roundtrip_exact val_loss:{2 * bpb:.8f} val_bpb:{bpb:.8f}")
"""

FINAL = GOOD[GOOD.index('print(f"final_int8_zlib_roundtrip val_loss') :]


def write_script(folder: Path, text: str = GOOD, name: str = "train_gpt.py") -> Path:
    """Write a script and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def good_until(step: int, then: str) -> str:
    """The good script up to a step of its loop, where it does something else."""
    loop = "for step in range(args.iterations + 1):\n"
    return GOOD.replace(loop, f"{loop}    if step == {step}:\n        {then}\n")


def without_final() -> str:
    """The good script without its final lines."""
    return GOOD.replace(FINAL, "")
