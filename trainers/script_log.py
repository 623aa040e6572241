"""What the log of a competition script says: its lines, read as they stream.

Three ways of writing are known, the baseline's and those of later records:

    step:200/20000 train_loss:2.5571 train_time:8765ms step_avg:43.83ms
    step:1000/20000 val_loss:2.2967 val_bpb:1.3602 train_time:43841ms
    1000/20000 train_loss: 2.9081 train_time: 1.2m tok/s: 8123456
    final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22756820
    quantized_ttt_phased val_loss:2.31538446 val_bpb:1.05803761 eval_time:591446ms
    Serialized model int8+zlib: 15863489 bytes (payload:17178912 ...)
    Total submission size int8+zlib: 15910922 bytes

The final score is the last one of the weights as they ship: of a line whose name says final,
quantized, round trip, sliding window or test-time training. What a line says is taken as numbers
and nothing else; whatever is no such line is passed over.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from trainers.api import RunFailed, StageResult

LOG_FORMAT = 1  # part of the runs' keys: raise it when a log is read otherwise
MAX_POINTS = 100_000
MAX_BPB = 64.0
CAP_TOLERANCE = 1.01  # a script stops at the end of the step in which its time is up

_NUMBER = r"([-+]?(?:\d{1,12}(?:\.\d{0,16})?(?:[eE][-+]?\d{1,3})?|nan|inf)\b)"
_STEP = re.compile(r"^(?:step\s?[:=]\s?(\d{1,9})(?:/(\d{1,9}))?|(\d{1,9})/(\d{1,9}))(?=\s)")
_TRAIN_LOSS = re.compile(rf"\btrain_loss\s?[:=]\s?{_NUMBER}", re.IGNORECASE)
_VAL_LOSS = re.compile(rf"\bval_loss\s?[:=]\s?{_NUMBER}", re.IGNORECASE)
_VAL_BPB = re.compile(rf"\bval_bpb\s?[:=]\s?{_NUMBER}", re.IGNORECASE)
_TRAIN_TIME = re.compile(r"\btrain_time\s?[:=]\s?(\d{1,12}(?:\.\d{0,9})?)\s?(ms|s|m)\b")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0}
_FACTS = {
    "parameters": re.compile(r"^(?:model_params|params)\s?[:=]\s?(\d{1,15})\b"),
    "batch": re.compile(r"\btrain_batch_tokens\s?[:=]\s?(\d{1,12})\b"),
    "code_bytes": re.compile(r"^Code size[^:]{0,40}:\s?(\d{1,12}) bytes", re.IGNORECASE),
    # A size without the name of a coder is of the raw weights.
    "artifact_bytes": re.compile(
        r"^(?:serialized[ _]model[ _][^\s:]{1,40}|artifact_bytes)\s?:\s?(\d{1,12})\b",
        re.IGNORECASE,
    ),
    "submission_bytes": re.compile(
        r"^Total submission size [^\s:]{1,40}\s?:\s?(\d{1,12}) bytes", re.IGNORECASE
    ),
}
_UNQUANTIZED = re.compile(r"pre[-_ ]?quant|post[-_ ]?ema", re.IGNORECASE)
_SHIPPED = re.compile(r"final|quantized|round_?trip|sliding|ttt", re.IGNORECASE)


@dataclass(frozen=True)
class Score:
    """A validation score: the name of its line, nats per token, bits per byte."""

    name: str
    loss: float
    bpb: float


class RunLog:
    """A run's log, line by line; see the module's description.

    Attributes:
        final: the score of the weights as they ship, once there is one.
        pre_quant: the last score of the weights before quantization.
        train_seconds: what the script says it has trained for.
        step, steps: the last step reported, and how many there are to be (0: not known yet).
    """

    def __init__(self) -> None:
        self.final: Score | None = None
        self.pre_quant: Score | None = None
        self.train_seconds: float | None = None
        self.step = self.steps = 0
        self.lines = 0
        self._facts: dict[str, float] = {}
        self._train: list[tuple[int, float]] = []
        self._val: list[tuple[int, float]] = []

    def hear(self, line: str) -> None:
        """Take one line.

        Raises:
            RunFailed: it reports a loss or a score that is no number.
        """
        self.lines += 1
        if ":" not in line and "=" not in line:
            return
        if time := _TRAIN_TIME.search(line):
            self.train_seconds = float(time[1]) * _SECONDS[time[2]]
        step = _STEP.match(line)
        if step:
            self._step_line(line, int(step[1] or step[3]), int(step[2] or step[4] or 0))
        else:
            self._score_line(line)
        for name, pattern in _FACTS.items():
            if fact := pattern.search(line):
                self._facts[name] = float(fact[1])

    def result(self, seconds: float, cap: float | None) -> StageResult:
        """What the run measured, now that it has ended well.

        Args:
            seconds: the program's wall time.
            cap: seconds it was allowed to train; None for as long as it liked.

        Raises:
            RunFailed: there is no final score, or one that cannot be; or it trained for longer.
        """
        if self.final is None:
            raise RunFailed(
                f"ended without its final line (…roundtrip_exact val_loss:… val_bpb:…), after "
                f"{self.lines} lines, the last step {self.step}"
            )
        if not 0 < self.final.bpb < MAX_BPB or not 0 < self.final.loss < MAX_BPB:
            raise RunFailed(
                f"its final line {self.final.name!r} gives val_loss {self.final.loss:g} and "
                f"val_bpb {self.final.bpb:g}, which cannot be"
            )
        trained = self.train_seconds
        if cap is not None and trained is not None and trained > CAP_TOLERANCE * cap:
            raise RunFailed(f"trained for {trained:.1f} s, over the cap of {cap:g} s")
        batch = self._facts.get("batch")
        metrics = {
            "val_bpb": self.final.bpb,
            "val_loss": self.final.loss,
            "steps": float(self.step),
            "seconds": seconds if trained is None else trained,
            "wall_seconds": seconds,
        }
        metrics |= {name: value for name, value in self._facts.items() if name != "batch"}
        if self.pre_quant is not None:
            metrics["pre_quant_bpb"] = self.pre_quant.bpb
        curves = {
            "step": [float(step) for step, _ in self._train],
            "train_loss": [loss for _, loss in self._train],
            "val_step": [float(step) for step, _ in self._val],
            "val_bpb": [bpb for _, bpb in self._val],
        }
        if batch:
            metrics["tokens"] = self.step * batch
            curves["val_tokens"] = [step * batch for step, _ in self._val]
        return StageResult(metrics=metrics, curves=curves)

    def _step_line(self, line: str, step: int, steps: int) -> None:
        loss, score = _number(_TRAIN_LOSS, line, step), _score("", line, step)
        if loss is None and score is None:
            return
        self.step, self.steps = max(step, self.step), steps or self.steps
        if loss is not None:
            self.final = None  # it trains on: what it called final was not
            _append(self._train, step, loss)
        if score is not None:
            self.pre_quant = score
            _append(self._val, step, score.bpb)

    def _score_line(self, line: str) -> None:
        name = re.split(r"\bval_(?:loss|bpb)\b", line, maxsplit=1, flags=re.IGNORECASE)[0]
        score = _score(name.strip()[:80], line, self.step) if len(name) < len(line) else None
        if score is None:
            return
        if _UNQUANTIZED.search(name):
            self.pre_quant = score
        elif _SHIPPED.search(name):
            rounded = self.final is not None and self.final.name == f"{score.name}_exact"
            self.final = self.final if rounded else score


def _score(name: str, line: str, step: int) -> Score | None:
    loss, bpb = _number(_VAL_LOSS, line, step), _number(_VAL_BPB, line, step)
    return None if loss is None or bpb is None else Score(name, loss, bpb)


def _number(pattern: re.Pattern[str], line: str, step: int) -> float | None:
    found = pattern.search(line)
    if found is None:
        return None
    value = float(found[1])
    if not math.isfinite(value):
        name = found[0].partition(":")[0].partition("=")[0].strip()
        raise RunFailed(f"diverged: {name} is {value} at step {step}")
    return value


def _append(curve: list[tuple[int, float]], step: int, value: float) -> None:
    """Keep a curve increasing in its steps and of bounded length."""
    if len(curve) < MAX_POINTS and (not curve or step > curve[-1][0]):
        curve.append((step, value))
