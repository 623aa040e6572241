"""A whole submission folder around a program of forty lines: counts of tokens, without torch."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from scripts.causal.submission.documents import readme, requirements, training_log
from scripts.causal.submission.facts import SeedScore, Step, SubmissionJson, TrainingLog
from scripts.causal.submission.folder import list_files, open_folder

# What the tests replace stands on lines of its own.
PROGRAM = '''\
"""Toy: token counts."""
import argparse
import json
import os
from pathlib import Path
import numpy as np
import sentencepiece

CHUNK = 64


def shards(name):
    # the tokens of every shard
    found = sorted(Path(os.environ["DATA_PATH"]).glob(name))
    return np.concatenate([np.fromfile(f, "<u2", offset=1024) for f in found]).astype(int)


def byte_counts(tokens):
    pieces = sentencepiece.SentencePieceProcessor(model_file=os.environ["TOKENIZER_PATH"])
    sizes = [
        0 if pieces.is_control(i) or pieces.is_unknown(i) else 1 if pieces.is_byte(i)
        else len(pieces.id_to_piece(i).replace("\\u2581", " ").encode())
        for i in range(pieces.vocab_size())
    ]
    return np.array(sizes)[tokens]


def train(options):
    tokens = shards("fineweb_train_*.bin")
    counts = np.bincount(tokens[: 100 * options.steps], minlength=300) + 1
    options.output.mkdir(parents=True, exist_ok=True)
    np.save(options.output / "model.npy", counts)


def evaluate(options):
    counts = np.load("model.npy").astype(float)
    tokens = shards("fineweb_val_*.bin")
    targets = tokens[1:]
    losses = np.zeros(len(targets))
    for start in range(0, len(targets), CHUNK):
        chunk = targets[start : start + CHUNK]
        losses[start : start + CHUNK] = -np.log(counts[chunk] / counts.sum())
        np.add.at(counts, chunk, 1)
    size = byte_counts(targets).sum()
    if options.losses:
        np.save(options.losses, losses.astype(np.float32))
    losses = losses.astype(np.float32).astype(float)
    print(json.dumps({"val_bpb": losses.sum() / np.log(2) / size, "val_loss": losses.mean()}))


parser = argparse.ArgumentParser()
parser.add_argument("--eval", action="store_true")
parser.add_argument("--losses", type=Path)
parser.add_argument("--train-only", action="store_true")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--output", type=Path, default=Path("."))
options = parser.parse_args()
evaluate(options) if options.eval else train(options)
'''


def variant(*changes: tuple[str, str]) -> str:
    """The program with lines of it replaced."""
    text = PROGRAM
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def write_submission(folder: Path, data: Path, program: str = PROGRAM) -> Path:
    """Train the toy, evaluate it, and write every document of a submission of ours."""
    folder.mkdir(parents=True)
    (folder / "train_gpt.py").write_text(program)
    where = {"DATA_PATH": str(data), "TOKENIZER_PATH": str(data / "small.model")}
    run(folder, where)
    score = json.loads(run(folder, where, "--eval"))
    return describe(folder, program, score["val_bpb"], score["val_loss"])


def run(folder: Path, where: dict[str, str], *options: str) -> str:
    command = [sys.executable, "train_gpt.py", *options]
    environment = {**os.environ, **where}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def describe(folder: Path, source: str, bpb: float, loss: float) -> Path:
    """Write README.md, submission.json, requirements.txt and the logs of two seeds."""
    size = (folder / "model.npy").stat().st_size
    code = (folder / "train_gpt.py").stat().st_size
    scores = {
        seed: SeedScore(
            val_bpb=bpb * factor,
            val_loss=loss * factor,
            pre_quant_bpb=bpb * factor,
            artifact_bytes=size,
            train_seconds=1.0,
        )
        for seed, factor in ((42, 1.0), (43, 1.01))
    }
    for seed, score in scores.items():
        curves = {"step": [1.0], "train_loss": [4.0], "val_step": [], "val_bpb": []}
        log = TrainingLog(seed, {"machine": "a machine", "seed": str(seed)}, curves, score)
        (folder / f"train_seed{seed}.log").write_text(training_log(log, source, "model.npy"))
    packages = {"numpy": np.__version__, "sentencepiece": "0.2"}
    (folder / "requirements.txt").write_text(requirements(packages))
    facts = SubmissionJson(
        author="A",
        github_id="a",
        name="Toy",
        blurb="b",
        date="2026-05-01",
        track="non_record_16mb",
        val_loss=math.fsum(one.val_loss for one in scores.values()) / 2,
        val_bpb=math.fsum(one.val_bpb for one in scores.values()) / 2,
        bytes_total=size + code,
        bytes_code=code,
        bytes_model=size,
        seeds=(42, 43),
        seed_results=scores,
        record=False,
        backend="torch-cpu-float32",
        scale="tiny",
        machine="a machine",
        configuration={"vocab_size": 300},
        files=list_files(open_folder(folder)),
        same_code=True,
        packages=packages,
        lineage=(Step(name="the baseline"),),
        effects=(),
    )
    text = json.dumps(facts.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / "submission.json").write_text(text + "\n")
    (folder / "README.md").write_text(readme(facts))
    return folder


def redescribe(folder: Path) -> None:
    """Make every document agree again with what lies in the folder, as a forger would."""
    stated = json.loads((folder / "submission.json").read_text())
    score = stated["seed_results"]["42"]
    describe(folder, (folder / "train_gpt.py").read_text(), score["val_bpb"], score["val_loss"])
