"""The rules that need the program to run, in a sandbox, on data of the referee's choosing.

The program is asked for by three command lines, which anybody's `train_gpt.py` may understand:

    --eval --losses FILE           evaluate the model beside it: a last line of JSON with val_bpb,
                                   and the nats of every target in the order of the text (float32)
    --output FOLDER --steps N      train N steps, quantize, write the model to FOLDER, evaluate
    ... --train-only               the same without evaluation: no validation shard is needed

DATA_PATH and TOKENIZER_PATH say where the shards lie. Only what is printed and written is judged.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.causal.submission.sandbox import Finished, Limits, Sandbox, SandboxError
from scripts.causal.submission.verdicts import Verdict, failed, open_question, passed
from trainers.data import DataSet
from trainers.shards import write_shard
from trainers.token_bytes import TokenBytes, bits_per_byte, token_bytes

BPB_TOLERANCE = 1e-6
REPRODUCED = "reproduces its score"
TEXT_BYTES = "counts the text's bytes"
CAUSAL = "causal, and scored before learnt from"
NO_VALIDATION = "trains without validation data"
RUN_RULES = (REPRODUCED, TEXT_BYTES, CAUSAL, NO_VALIDATION)

_LEFT_OVER = 0.05  # of the targets, behind the last whole sequence
_SAME_LOSS = 1e-6  # nats; on one machine the same tokens give the same bits, so far everywhere
_SEED = 20260317  # of the text that takes the place of the true one


@dataclass(frozen=True)
class Trial:
    """What a submission is put through.

    Attributes:
        data: the data set that its scores are of.
        limits: for each single run.
        probe_tokens: validation tokens of the excerpt on which causality is probed.
        train_steps: steps of the training that is repeated without validation data.
    """

    data: DataSet
    limits: Limits = field(default_factory=Limits)
    probe_tokens: int = 2**17
    train_steps: int = 10


@dataclass(frozen=True)
class Evaluation:
    """What a program says of the model beside it, and the nats of every target."""

    bpb: float
    losses: NDArray[np.floating]
    run: Finished


def evaluate(box: Sandbox, shards: Path, tokenizer: Path) -> Evaluation:
    """Run the program in evaluation mode.

    Raises:
        SandboxError: it fails, prints no result, or writes no losses.
    """
    written = box.root / "losses.npy"
    written.unlink(missing_ok=True)
    run = box.run(["--eval", "--losses", str(written)], _where(shards, tokenizer))
    return Evaluation(_printed_bpb(run.output), _read_losses(written), run)


def reproduces(found: Evaluation, stated: float | None) -> Verdict:
    """The folder alone evaluates to the score that is stated for the model it ships."""
    held = f"{found.run.seconds:.0f} s, {found.run.held}"
    if stated is None:
        return open_question(REPRODUCED, f"{found.bpb:.8f} bpb; none is stated ({held})")
    words = f"{found.bpb:.8f} bpb measured, {stated:.8f} stated ({held})"
    if math.isclose(found.bpb, stated, rel_tol=0.0, abs_tol=BPB_TOLERANCE):
        return passed(REPRODUCED, words)
    return failed(REPRODUCED, words)


def counts_the_bytes(found: Evaluation, data: DataSet) -> Verdict:
    """Its losses, over the bytes that the referee counts itself, give the bpb it prints.

    The referee's own count is that of a data set whose token bytes add up to the decoded text.
    """
    tokens, table = data.val_tokens(), token_bytes(data.tokenizer)
    targets, count = len(tokens) - 1, len(found.losses)
    if not targets * (1 - _LEFT_OVER) <= count <= targets:
        return failed(TEXT_BYTES, f"{count:,} targets scored, the text has {targets:,}")
    if not bool(np.isfinite(found.losses).all()):
        missing = count - int(np.isfinite(found.losses).sum())
        return failed(TEXT_BYTES, f"{missing:,} targets have no finite loss")
    if float(found.losses.min()) < 0:
        return failed(TEXT_BYTES, f"a loss of {found.losses.min():g} nats is a probability over 1")
    text = int(table.count_bytes(tokens[:count], tokens[1 : count + 1]).sum())
    bpb = bits_per_byte(float(found.losses.sum(dtype=np.float64)), text)
    words = f"{count:,} targets of {text:,} bytes make {bpb:.8f} bpb, printed {found.bpb:.8f}"
    if math.isclose(bpb, found.bpb, rel_tol=0.0, abs_tol=BPB_TOLERANCE):
        return passed(TEXT_BYTES, words)
    return failed(TEXT_BYTES, words)


def is_causal(box: Sandbox, trial: Trial, found: Evaluation, place: Path) -> Verdict:
    """With other text from some token on, no loss before it changes.

    A model that looks ahead fails, and so does one that learns from a piece of text before all of
    it is scored: what it has learnt from the altered tokens shows in the losses before them.

    Args:
        found: the evaluation of the whole text.
        place: an empty folder for altered shards.
    """
    table, whole = token_bytes(trial.data.tokenizer), trial.data.val_tokens()
    tokens = excerpt(whole, table, trial.probe_tokens)
    starts = _starts(tokens, table)
    if not starts:
        return open_question(CAUSAL, "the text has no pieces that could be exchanged")
    is_whole = len(tokens) == len(whole)
    true = found.losses if is_whole else _losses(box, tokens, trial, place / "true")
    words = []
    for start in starts:
        changed = altered(tokens, table, start)
        losses = _losses(box, changed, trial, place / f"altered_{start}")
        if losses.shape != true.shape:
            return failed(CAUSAL, f"{len(losses):,} losses, on the true text {len(true):,}")
        gap = np.abs(losses - true)
        early, late = gap[: start - 1], gap[start - 1 :]
        if not early.size or not late.size or not bool((late > _SAME_LOSS).any()):
            return open_question(CAUSAL, f"other text from token {start:,} on changes no loss")
        off = np.flatnonzero(~(early <= _SAME_LOSS))
        if off.size:
            return failed(
                CAUSAL,
                f"other text from token {start:,} on changes {off.size:,} earlier losses, from "
                f"token {int(off[0]) + 1:,} on, by up to {float(early.max()):.2g} nats",
            )
        words.append(f"{early.size:,} losses before token {start:,}")
    return passed(CAUSAL, f"other text behind changes none of {' and '.join(words)}")


def trains_without_validation(
    box: Sandbox, trial: Trial, model: Sequence[str], place: Path
) -> Verdict:
    """Trained with validation shards absent, and with other text in them, it is the same model.

    Args:
        model: names of the files that the program writes beside its log.
    """
    table = token_bytes(trial.data.tokenizer)
    tokens = excerpt(trial.data.val_tokens(), table, 2**13)
    poisoned = altered(tokens, table, 1)
    results = []
    for name, shard, extra in (("absent", None, ["--train-only"]), ("poisoned", poisoned, [])):
        shards, output = place / name, box.root / f"trained_{name}"
        _make_data(shards, trial.data, shard, train=True)
        steps = str(trial.train_steps)
        box.run(
            ["--output", str(output), "--steps", steps, *extra],
            _where(shards, trial.data.tokenizer),
        )
        results.append(_digest([output / one for one in model]))
    words = f"{trial.train_steps} steps with validation absent and with another text in its place"
    if None in results:
        return open_question(NO_VALIDATION, f"{words}: no {' or '.join(model)} was written")
    if results[0] != results[1]:
        return failed(NO_VALIDATION, f"{words} give two models")
    return passed(NO_VALIDATION, f"{words} give the same model, to the bit")


# --------------------------------------------------------------------------------------------
# The text that is probed


def excerpt(tokens: NDArray[np.uint16], table: TokenBytes, limit: int) -> NDArray[np.uint16]:
    """The first tokens, at most `limit`, cut where no character can be cut in two."""
    if len(tokens) <= limit:
        return np.asarray(tokens)
    part = np.asarray(tokens[:limit])
    cuts = np.flatnonzero(table.boundary[part] | table.leading_space[part])
    return part[: int(cuts[-1])] if cuts.size else part


def altered(tokens: NDArray[np.uint16], table: TokenBytes, start: int) -> NDArray[np.uint16]:
    """The text with other pieces from token `start` on, and documents where they were.

    Pieces of two bytes and more are exchanged, spaces kept in front: all of them are whole
    characters, so that the bytes still add up to a text.
    """
    random, out = np.random.default_rng(_SEED), np.array(tokens)
    for space in (False, True):
        pieces = np.flatnonzero(_movable(table) & (table.leading_space == space))
        if len(pieces) < 2:
            continue
        here = np.flatnonzero(np.isin(out, pieces))
        here = here[here >= start]
        step = random.integers(1, len(pieces), size=len(here))  # never itself
        out[here] = pieces[(np.searchsorted(pieces, out[here]) + step) % len(pieces)]
    return out


def _movable(table: TokenBytes) -> NDArray[np.bool_]:
    return (table.size >= 2) & ~table.boundary


def _starts(tokens: NDArray[np.uint16], table: TokenBytes) -> list[int]:
    """Two places where a piece can be exchanged, about a third and two thirds into the text."""
    can = np.flatnonzero(_movable(table)[tokens])
    wanted = (len(tokens) * part // 3 + 1 for part in (1, 2))
    found = (can[can >= start] for start in wanted)
    return sorted({int(places[0]) for places in found if places.size})


# --------------------------------------------------------------------------------------------
# Running


def _losses(
    box: Sandbox, tokens: NDArray[np.uint16], trial: Trial, shards: Path
) -> NDArray[np.floating]:
    _make_data(shards, trial.data, tokens, train=True)
    return evaluate(box, shards, trial.data.tokenizer).losses


def _make_data(
    folder: Path, data: DataSet, validation: NDArray[np.uint16] | None, *, train: bool
) -> None:
    folder.mkdir(parents=True)
    for shard in data.train if train else ():
        (folder / shard.name).symlink_to(shard.resolve())
    if validation is not None:
        write_shard(folder / data.val[0].name, validation)


def _where(shards: Path, tokenizer: Path) -> dict[str, str]:
    return {"DATA_PATH": str(shards.resolve()), "TOKENIZER_PATH": str(tokenizer.resolve())}


def _printed_bpb(output: str) -> float:
    try:
        bpb = float(json.loads(output.strip().splitlines()[-1])["val_bpb"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise SandboxError("evaluation printed no last line of JSON with val_bpb") from error
    if not math.isfinite(bpb):
        raise SandboxError(f"evaluation printed {bpb} as val_bpb")
    return bpb


def _read_losses(path: Path) -> NDArray[np.floating]:
    try:
        if path.is_symlink() or not path.is_file():
            raise SandboxError("evaluation wrote no losses")
        losses = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SandboxError("evaluation wrote losses that are no array of numbers") from error
    if losses.ndim != 1 or losses.dtype.kind != "f":
        raise SandboxError("evaluation wrote losses that are no row of numbers")
    return np.array(losses)


def _digest(paths: Sequence[Path]) -> str | None:
    total = hashlib.sha256()
    for path in paths:
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            while block := file.read(2**20):
                total.update(block)
    return total.hexdigest()
