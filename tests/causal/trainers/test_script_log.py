"""Lines of real logs, in each of the ways that competition scripts write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.api import RunFailed
from trainers.script_log import MAX_BPB, RunLog

BASELINE = """\
val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path=/data/fineweb_1024_bpe.model
model_params:17059912
train_batch_tokens:524288 train_seq_len:1024 iterations:20000 max_wallclock_seconds:600.000
warmup_step:20/20
step:0/20000 val_loss:6.9357 val_bpb:4.1077 train_time:0ms step_avg:0.01ms
step:1/20000 train_loss:6.9370 train_time:35ms step_avg:34.87ms
step:13780/20000 train_loss:2.0561 train_time:600038ms step_avg:43.54ms
step:13780/20000 val_loss:2.0606 val_bpb:1.2172 train_time:600038ms step_avg:43.54ms
stopping_early: wallclock_cap train_time:600038ms step:13780/20000
Serialized model: 67224983 bytes
Code size: 47642 bytes
Total submission size: 67272625 bytes
Serialized model int8+zlib: 15815847 bytes (payload:17178912 raw_torch:17224025)
Total submission size int8+zlib: 15863489 bytes
final_int8_zlib_roundtrip val_loss:2.0727 val_bpb:1.2244 eval_time:1401ms
final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:1.22436570
"""

PHASED = """\
model_params:35988634
4000/20000 train_loss: 2.4513 train_time: 8.1m tok/s: 6473123
4854/20000 val_loss: 2.3349 val_bpb: 1.0669
stopping_early: wallclock_cap train_time: 596.2s step: 4854/20000
diagnostic pre-quantization post-ema val_loss:2.33489010 val_bpb:1.06691122 eval_time:7012ms
Serialized model quantized+brotli: 15943411 bytes
Total submission size quantized+brotli: 15975561 bytes
diagnostic quantized val_loss:2.35573310 val_bpb:1.07643518 eval_time:58123ms
ttt_phased: total_docs:50000 prefix_docs:2000 suffix_docs:48000
quantized_ttt_phased val_loss:2.32960011 val_bpb:1.06449400 eval_time:472101ms
total_eval_time:472.1s
"""


def heard(text):
    log = RunLog()
    for line in text.splitlines():
        log.hear(line)
    return log


def test_the_baselines_log():
    result = heard(BASELINE).result(seconds=700.0, cap=600.0)
    assert result.metrics == {
        "val_bpb": 1.22436570,
        "val_loss": 2.07269931,
        "pre_quant_bpb": 1.2172,
        "steps": 13780,
        "tokens": 13780 * 524288,
        "parameters": 17059912,
        "artifact_bytes": 15815847,
        "submission_bytes": 15863489,
        "code_bytes": 47642,
        "seconds": pytest.approx(600.038),
        "wall_seconds": 700.0,
    }
    assert result.curves["val_step"] == [0, 13780]
    assert result.curves["train_loss"] == [6.9370, 2.0561]


def test_a_later_records_log():
    metrics = heard(PHASED).result(seconds=1100.0, cap=600.0).metrics
    assert metrics["val_bpb"] == 1.06449400
    assert metrics["pre_quant_bpb"] == 1.06691122
    assert metrics["submission_bytes"] == 15975561
    assert metrics["seconds"] == pytest.approx(596.2)
    assert "tokens" not in metrics


def test_the_mlx_scripts_sizes():
    log = heard("serialized_model_int8_zlib:15863489 bytes (payload:1 raw_pickle:2)\n" + BASELINE)
    assert log.final is not None
    only = heard(
        "serialized_model_int8_zlib:15863489 bytes\nfinal_int8_exact val_loss:2.0 val_bpb:1.2"
    )
    assert only.result(1.0, None).metrics["artifact_bytes"] == 15863489


def test_the_last_evaluation_of_the_shipped_weights_is_the_score():
    later = "final_int6_sliding_window_exact val_loss:1.92 val_bpb:1.13\n"
    tuned = "legal_ttt_exact val_loss:1.90 val_bpb:1.12\n"
    assert heard(BASELINE + later).final.bpb == 1.13
    assert heard(BASELINE + later + tuned).final.bpb == 1.12
    rounded = "final_int6_sliding_window val_loss:1.9 val_bpb:1.1\n"
    assert heard(BASELINE + later + rounded).final.bpb == 1.13


def test_a_step_after_the_final_line_takes_it_back():
    with pytest.raises(RunFailed, match=r"without its final line .* the last step 13781"):
        heard(BASELINE + "step:13781/20000 train_loss:2.1").result(1.0, None)


def test_without_a_cap_a_run_may_take_its_time():
    assert heard(BASELINE).result(9000.0, None).metrics["seconds"] == pytest.approx(600.038)
    with pytest.raises(RunFailed, match=r"trained for 600\.0 s, over the cap of 590 s"):
        heard(BASELINE).result(9000.0, 590.0)


def test_steps_that_come_twice_or_backwards_leave_curves_increasing():
    log = heard(
        "step:5/9 train_loss:3.0\nstep:4/9 train_loss:9.0\nstep:5/9 train_loss:8.0\n"
        "step:6/9 train_loss:2.9\nfinal_exact val_loss:2.0 val_bpb:1.2"
    )
    result = log.result(1.0, None)
    assert result.curves["step"] == [5, 6]
    assert result.curves["train_loss"] == [3.0, 2.9]


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "NaN"])
def test_a_loss_that_is_no_number_ends_the_run(word):
    with pytest.raises(RunFailed, match=r"diverged: train_loss is .* at step 3"):
        heard(f"step:3/9 train_loss:{word} train_time:1ms")


@given(st.lists(st.one_of(st.text(max_size=200), st.sampled_from(BASELINE.splitlines()))))
def test_garbage_gives_a_score_that_can_be_or_a_reason(lines):
    log = RunLog()
    try:
        for line in lines:
            log.hear(line)
        bpb = log.result(1.0, 600.0).metrics["val_bpb"]
    except RunFailed as failure:
        assert str(failure)
    else:
        assert 0 < bpb < MAX_BPB


@pytest.mark.parametrize(
    "line",
    [
        "step:" + "9" * 4000,
        "step:1/2 train_loss:" + "1" * 4000,
        "final " * 600 + "val_loss:1",
        "val_loss:" * 450,
        "serialized_model_" + "x" * 4000 + ": 5",
    ],
)
def test_hostile_lines_are_read_at_once(line):
    import time

    log, began = RunLog(), time.perf_counter()
    for _ in range(20):
        log.hear(line[:4096])
    assert time.perf_counter() - began < 0.5
    assert log.final is None
