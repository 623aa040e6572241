import json
import random
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainers.quantize.int8 import (
    ARTIFACT_MAGIC,
    ArtifactError,
    dequantize,
    is_quantized,
    quantize,
    round_to_grid,
    row_scale,
)


def model(seed=0):
    draw = np.random.default_rng(seed)
    return {
        "embed": draw.normal(0, 0.02, (64, 16)).astype(np.float32),
        "blocks.0.mlp.fc": draw.normal(0, 0.5, (32, 48)).astype(np.float32),
        "blocks.0.resid_mix": draw.normal(size=(2, 16)).astype(np.float32),
        "bank": draw.normal(size=(3, 4, 5)).astype(np.float32),
        "gain": draw.normal(size=8).astype(np.float32),
        "step": np.float32(0.25).reshape(()),
    }


def pack(described, *buffers):
    """An artifact from a header and buffers of anyone's choosing."""
    header = json.dumps(described).encode() if not isinstance(described, bytes) else described
    raw = len(header).to_bytes(4, "little") + header + b"".join(buffers)
    return ARTIFACT_MAGIC + zlib.compress(raw)


# The grid


def test_what_is_quantized_goes_by_shape():
    assert [is_quantized(s) for s in [(16, 16), (1024, 512), (2, 3, 4)]] == [True] * 3
    small = [(), (512,), (2, 512), (512, 15), (0, 5), (0, 5, 5)]
    assert [is_quantized(shape) for shape in small] == [False] * 6


def test_a_row_is_rounded_to_127_steps_of_its_largest_value():
    row = np.zeros((16, 16), dtype=np.float32)
    row[0, :4] = [127.0, -63.5, 0.4, 0.6]  # step 1; −63.5 is a tie, which goes to even
    restored = dequantize(quantize({"w": row}))["w"]
    assert restored[0, :4].tolist() == [127.0, -64.0, 0.0, 1.0]
    assert not restored[1:].any()


def test_each_row_has_its_own_scale_and_larger_tensors_one():
    weights = np.ones((16, 20), dtype=np.float32) * np.arange(1, 17, dtype=np.float32)[:, None]
    assert row_scale(weights).shape == (16,)
    assert row_scale(weights.reshape(4, 4, 20)).shape == ()


def test_the_clip_leaves_out_one_in_625_000():
    values = np.linspace(-1, 1, 2_000_000, dtype=np.float32).reshape(1, -1)
    values[0, 0] = 50.0  # an outlier, which must not stretch the grid of all others
    assert float(row_scale(values)[0]) == pytest.approx(1 / 127, rel=1e-3)
    assert float(row_scale(values[:, :1000])[0]) == pytest.approx(50 / 127, rel=1e-3)


@settings(deadline=None, max_examples=200)
@given(
    weights=arrays.arrays(
        np.float32,
        st.sampled_from([(16, 16), (17, 30), (2, 3, 4), (5,), (), (0, 4), (2, 16)]),
        elements=st.floats(-8e6, 8e6, width=32) | st.floats(-(2**-10), 2**-10, width=32),
    )
)
def test_the_error_is_half_a_step_and_a_second_time_changes_nothing(weights):
    artifact = quantize({"w": weights})
    restored = dequantize(artifact)["w"]
    assert (restored.shape, restored.dtype) == (weights.shape, np.float32)
    if is_quantized(weights.shape):
        step = row_scale(weights).astype(np.float64)
        step = step[:, None] if weights.ndim == 2 else step
        # Half a step, and what rounding the step down to float16 takes off the largest value.
        off = 0.5 * step + np.maximum(np.abs(weights) - 127 * step, 0)
        assert (np.abs(restored - weights.astype(np.float64)) <= off * (1 + 1e-6)).all()
        grid = round_to_grid(weights, row_scale(weights))
        assert np.array_equal(round_to_grid(restored, row_scale(restored)), grid)
    else:
        assert restored.tobytes() == weights.tobytes()
    assert quantize({"w": restored}) == artifact


# The container


def test_a_model_comes_back_by_name_and_shape():
    weights = model()
    restored = dequantize(quantize(weights))
    assert sorted(restored) == sorted(weights)
    for name, values in weights.items():
        assert restored[name].shape == values.shape
        assert np.abs(restored[name] - values).max() <= np.abs(values).max() / 127
    assert restored["blocks.0.resid_mix"].tolist() == weights["blocks.0.resid_mix"].tolist()
    assert dequantize(quantize({})) == {}


def test_the_bytes_depend_on_the_weights_alone():
    weights = model()
    shuffled = dict(reversed(list(weights.items())))
    shuffled["embed"] = np.asfortranarray(shuffled["embed"])
    assert quantize(shuffled) == quantize(weights)
    assert quantize(model(1)) != quantize(weights)


def test_int8_takes_a_quarter_of_float32():
    weights = {"w": np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)}
    assert len(quantize(weights)) < 0.26 * weights["w"].nbytes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["embed", "gain"])
def test_weights_that_are_not_finite_are_refused(name, value):
    weights = model()
    weights[name].ravel()[3] = value
    with pytest.raises(ArtifactError, match=f"'{name}' holds a value that is not finite"):
        quantize(weights)


def test_weights_beyond_the_scale_are_refused():
    with pytest.raises(ArtifactError, match="too large"):
        quantize({"w": np.full((16, 16), 1e9, dtype=np.float32)})


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 20, -1, -4, -5])
def test_a_truncated_artifact_is_refused(cut):
    artifact = quantize(model())
    with pytest.raises(ArtifactError):
        dequantize(artifact[:cut])


def test_bytes_after_the_artifact_are_refused():
    with pytest.raises(ArtifactError, match="3 bytes left over"):
        dequantize(quantize(model()) + b"abc")


def test_a_decompression_bomb_is_bounded():
    bomb = ARTIFACT_MAGIC + zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="more than 1,000,000 bytes"):
        dequantize(bomb, max_unpacked_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert len(bomb) < 60_000


F32 = np.ones(4, dtype="<f4").tobytes()
Q8 = np.ones((16, 16), dtype="<i1").tobytes()
SCALES = np.ones(16, dtype="<f2").tobytes()


def test_the_handmade_artifacts_below_would_be_read_if_they_were_right():
    good = pack([["w", "q8", [16, 16]], ["w", "scale", [16]], ["b", "f32", [4]]], Q8, SCALES, F32)
    assert dequantize(good)["w"].tolist() == [[1.0] * 16] * 16


@pytest.mark.parametrize(
    ("artifact", "says"),
    [
        (pack([["b", "f32", [5]]], F32), "past the end"),
        (pack([["b", "f32", [3]]], F32), "belong to no array"),
        (pack([["b", "f32", [2**39, 2**39]]], F32), "past the end"),
        (pack([["b", "f32", [-4]]], F32), "describes no array"),
        (pack([["b", "f32", [4.0]]], F32), "describes no array"),
        (pack([["b", "f32", [True] * 4]], F32), "describes no array"),
        (pack([["b", "f32", [1] * 9]], F32), "describes no array"),
        (pack([["b", "object", [4]]], F32), "describes no array"),
        (pack([[1, "f32", [4]]], F32), "describes no array"),
        (pack([7], F32), "describes no array"),
        (pack({}, F32), "not a list"),
        (pack(b"[[", F32), "not JSON"),
        (pack(b"\xff", F32), "not JSON"),
        (pack(b"[" * 100_000), "not JSON"),
        (pack([["b", "f32", [4]], ["b", "f32", [4]]], F32, F32), "twice"),
        (pack([["w", "q8", [16, 16]], ["w", "f32", [4]], ["w", "scale", [16]]], Q8, F32, SCALES),
         "twice"),
        (pack([["w", "q8", [16, 16]]], Q8), "no scale"),
        (pack([["w", "q8", [16, 16]], ["w", "scale", []]], Q8, b"\0\x3c"), "no scale of its"),
        (pack([["w", "scale", [16]]], SCALES), "belongs to no weight"),
        (pack([["w", "q8", [4]], ["w", "scale", []]], b"abcd", b"\0\x3c"), "should not be"),
        (pack([["w", "q8", [16, 16]], ["w", "scale", [16]]], b"\x80" * 256, SCALES), "off its"),
        (pack([["w", "q8", [16, 16]], ["w", "scale", [16]]], Q8, bytes(32)), "off its grid"),
        (pack([["w", "q8", [16, 16]], ["w", "scale", [16]]], Q8, b"\0\x7e" * 16), "off its"),
        (pack([["b", "f32", [1]]], b"\0\0\xc0\x7f"), "not finite"),
        (ARTIFACT_MAGIC + zlib.compress(b""), "header"),
        (ARTIFACT_MAGIC + zlib.compress(b"\xff\xff\xff\xff[]"), "header"),
        (b"", "not an int8 artifact"),
        (b"\x80\x04K\x01.", "not an int8 artifact"),
    ],
)  # fmt: skip
def test_a_hostile_artifact_is_refused_with_its_fault(artifact, says):
    with pytest.raises(ArtifactError, match=says):
        dequantize(artifact)


def mutated(artifact, draw):
    out = bytearray(artifact)
    kind = draw.choice(["flip", "byte", "cut", "insert", "swap", "repeat"])
    at = draw.randrange(len(out))
    if kind == "flip":
        out[at] ^= 1 << draw.randrange(8)
    elif kind == "byte":
        out[at] = draw.randrange(256)
    elif kind == "cut":
        del out[at : at + draw.randrange(1, 50)]
    elif kind == "insert":
        out[at:at] = draw.randbytes(draw.randrange(1, 50))
    elif kind == "swap":
        other = draw.randrange(len(out))
        out[at], out[other] = out[other], out[at]
    else:
        out += out[at:]
    return bytes(out)


def test_a_thousand_mutations_never_crash_nor_give_another_model():
    weights = model()
    artifact = quantize(weights)
    original = dequantize(artifact)
    draw = random.Random(0)
    refused = 0
    for _ in range(1000):
        try:
            restored = dequantize(mutated(artifact, draw))
        except ArtifactError:
            refused += 1
        else:  # the change touched nothing that carries content
            assert {name: w.tobytes() for name, w in restored.items()} == {
                name: w.tobytes() for name, w in original.items()
            }
    assert refused > 950


def test_mutations_below_the_checksum_never_crash():
    artifact = quantize(model())
    raw = zlib.decompress(artifact[len(ARTIFACT_MAGIC) :])
    draw = random.Random(1)
    header = int.from_bytes(raw[:4], "little")
    for _ in range(1000):
        # Half of the changes fall on the header, where a few bytes steer everything.
        front, back = raw[: header + 4], raw[header + 4 :]
        changed = mutated(front, draw) + back if draw.random() < 0.5 else mutated(raw, draw)
        try:
            restored = dequantize(ARTIFACT_MAGIC + zlib.compress(changed, level=1))
        except ArtifactError:
            continue
        assert all(np.isfinite(values).all() for values in restored.values())
