"""A run's stages: each computed once, failures recorded, interrupts leaving no trace."""

import shutil
import threading

import pytest

from scripts.causal.campaign.owner import this_owner
from scripts.causal.campaign.run import Occupied, read_chain, run_chain
from scripts.causal.files import InputError
from trainers.api import RunFailed, StageResult


def counting(trainer, monkeypatch):
    """The kinds of the stages executed from here on, in order."""
    kinds, execute = [], trainer.execute

    def record(plan, *rest):
        kinds.append(str(plan.kind))
        return execute(plan, *rest)

    monkeypatch.setattr(trainer, "execute", record)
    return kinds


def test_a_run_is_computed_and_then_read(toy, ledger, make_spec, monkeypatch):
    kinds, fractions = counting(toy, monkeypatch), []
    assert read_chain(toy, make_spec(), ledger) is None
    run = run_chain(toy, make_spec(), ledger, "me", fractions.append)
    assert kinds == ["train", "quantize", "evaluate"]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] <= 1
    assert run.failure is None
    assert run.key == toy.stages(make_spec())[-1].key
    assert set(run.metrics) == {
        "pre_quant_bpb",
        "parameters",
        "seconds",
        "threads",
        "artifact_bytes",
        "val_bpb",
    }
    assert len(run.curves["train_loss"]) == 40
    assert run_chain(toy, make_spec(), ledger, "you") == run
    assert read_chain(toy, make_spec(), ledger) == run
    assert len(kinds) == 3


def test_a_quantizer_contrast_shares_the_training(toy, ledger, make_spec, monkeypatch):
    run = run_chain(toy, make_spec(), ledger, "me")
    kinds = counting(toy, monkeypatch)
    coarse = run_chain(toy, make_spec(quant_bits=4), ledger, "me")
    assert kinds == ["quantize", "evaluate"]
    assert coarse.metrics["pre_quant_bpb"] == run.metrics["pre_quant_bpb"]
    assert coarse.metrics["val_bpb"] != run.metrics["val_bpb"]


def test_deleted_checkpoints_are_computed_again_only_when_needed(
    toy, ledger, make_spec, monkeypatch
):
    run = run_chain(toy, make_spec(), ledger, "me")
    kinds = counting(toy, monkeypatch)
    shutil.rmtree(ledger.artifacts)
    assert run_chain(toy, make_spec(), ledger, "me") == run
    assert kinds == []
    run_chain(toy, make_spec(quant_bits=4), ledger, "me")
    assert kinds == ["train", "quantize", "evaluate"]


def test_a_diverged_run_is_an_outcome(toy, ledger, make_spec, monkeypatch):
    spec = make_spec(learning_rate=5.0)
    kinds = counting(toy, monkeypatch)
    run = run_chain(toy, spec, ledger, "me")
    assert run.failure.startswith("train: diverged: training loss")
    assert run.metrics == {}
    assert run_chain(toy, spec, ledger, "me") == run
    assert kinds == ["train"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (RunFailed("out of GPU memory"), "train: out of GPU memory"),
        (MemoryError(), "train: out of memory"),
    ],
)
def test_failures_keep_their_reason(toy, ledger, make_spec, monkeypatch, failure, words):
    def execute(*_):
        raise failure

    monkeypatch.setattr(toy, "execute", execute)
    assert run_chain(toy, make_spec(), ledger, "me").failure == words


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (StageResult(metrics={"val_bpb": float("nan")}), "diverged: val_bpb is nan"),
        (
            StageResult(metrics={}, curves={"train_loss": [1.0, float("inf")]}),
            "diverged: train_loss is inf at point 1",
        ),
    ],
)
def test_no_result_holds_a_number_that_is_none(toy, ledger, make_spec, monkeypatch, result, words):
    monkeypatch.setattr(toy, "execute", lambda *_: result)
    assert words in run_chain(toy, make_spec(), ledger, "me").failure


def test_a_bug_is_tried_twice_and_recorded(toy, ledger, make_spec, monkeypatch):
    kinds = counting(toy, monkeypatch)
    run = run_chain(toy, make_spec(accident="bug"), ledger, "me")
    assert run.failure == "train: crashed 2 times: TypeError: a bug in the trainer"
    assert kinds == ["train", "train"]


@pytest.mark.parametrize("error", [InputError("shard is truncated"), KeyboardInterrupt()])
def test_what_is_no_outcome_leaves_the_stage_to_be_claimed(
    toy, ledger, make_spec, monkeypatch, error
):
    def execute(*_):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(toy, "execute", execute)
        run_chain(toy, make_spec(), ledger, this_owner())
    assert ledger.rows()[0].status == "open"
    assert run_chain(toy, make_spec(), ledger, this_owner()).failure is None


def test_a_full_disk_is_no_outcome(toy, ledger, make_spec, monkeypatch):
    def execute(*_):
        raise RuntimeError("SafetensorError: I/O error")

    usage = shutil.disk_usage(ledger.artifacts)
    monkeypatch.setattr(toy, "execute", execute)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(InputError, match="no space left"):
        run_chain(toy, make_spec(), ledger, "me")
    assert ledger.rows()[0].status == "open"


def test_a_stage_computed_elsewhere_is_waited_for(toy, ledger, make_spec):
    spec, elsewhere = make_spec(), this_owner()
    train = toy.stages(spec)[0]
    claim = ledger.claim(train, elsewhere)
    with pytest.raises(Occupied):
        run_chain(toy, spec, ledger, this_owner(), wait=False)

    def finish():
        ledger.finish(claim, toy.execute(train, None, claim.folder))

    other = threading.Timer(0.3, finish)
    other.start()
    run = run_chain(toy, spec, ledger, this_owner())
    other.join()
    assert run.failure is None
    assert ledger.get(train.key).owner == elsewhere
