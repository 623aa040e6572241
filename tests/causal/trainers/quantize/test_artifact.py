"""The packed artifact: exact under every coder, and nothing but itself is read as itself."""

import json
import zlib

import numpy as np
import pytest

from trainers.quantize import artifact, pack
from trainers.quantize.artifact import PACKED_MAGIC, checksum, read_artifact, restored
from trainers.quantize.coded import AGAIN, read_coded
from trainers.quantize.header import CODERS, WINDOW, Described, grouped, ungrouped
from trainers.quantize.int8 import ArtifactError, dequantize, quantize
from trainers.quantize.numbers import decoded_numbers, exponents_to_steps
from trainers.quantize.pack import Stored, encoded_numbers, parts_of
from trainers.quantize.recipe import Recipe, quantized

EVERY = [*CODERS, pack.BEST]


def weights(rows=48, columns=80):
    draw = np.random.default_rng(3).standard_normal
    return {
        "a.matrix": draw((rows, columns), np.float32),
        "a.thin": draw((2, columns), np.float32),
        "b.matrix": draw((16, 64), np.float32) * np.float32(0.01),
        "b.scalar": np.float32(0.5).reshape(()),
        "b.vector": draw(33, np.float32),
    }


def pack_or_skip(arrays, coder):
    try:
        return pack.pack(arrays, coder)
    except ArtifactError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("coder", EVERY)
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe("int6", packed=True),
        Recipe("int5", grouped=True, packed=True),
        Recipe("int4", "percentile", packed=True),
        Recipe("ternary", packed=True),
        Recipe("int8", "deviation", 20.0, correction_rank=2),
    ],
    ids=lambda recipe: f"{recipe.bits}-{recipe.clip}",
)
def test_what_is_read_is_what_was_rounded_to(recipe, coder):
    arrays = quantized(weights(), recipe)
    packed = pack_or_skip(arrays, coder)
    assert packed == pack.pack(arrays, coder)
    found, expected = read_artifact(packed), restored(parts_of(arrays))
    assert {name: v.shape for name, v in found.items()} == {
        name: v.shape for name, v in weights().items()
    }
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert all(value.dtype == np.float32 for value in found.values())


def test_six_bits_are_four_values_in_three_bytes():
    values = np.array([-32, 31, 0, 1, -1, 5, -6, 7]) + np.array([1, 0, 0, 0, 0, 0, 0, 0])
    assert len(encoded_numbers(values, "p6")) == 6
    assert len(encoded_numbers(np.clip(values, -15, 15), "p5")) == 5
    assert len(encoded_numbers(np.clip(values, -1, 1), "t1")) == 2
    for kind, top in (("p6", 31), ("p5", 15), ("p4", 7), ("t1", 1)):
        every = np.arange(-top, top + 1)
        assert np.array_equal(
            decoded_numbers(encoded_numbers(every, kind), kind, len(every)), every
        )
        with pytest.raises(ArtifactError, match="lies outside"):
            encoded_numbers(np.array([top + 1]), kind)


def test_steps_are_powers_of_the_fourth_root_of_two():
    steps = exponents_to_steps(np.array([-127, -4, 0, 2, 127], np.int8))
    expected = np.array([2.0 ** (-127 / 4), 0.5, 1, 2**0.5, 2 ** (127 / 4)])
    assert np.allclose(steps, expected, rtol=1e-6)
    assert pack.steps_to_exponents(steps).tolist() == [-127, -4, 0, 2, 127]


def test_weights_alike_in_all_layers_are_described_once():
    def layer(name, rows):
        return [Described(name, "code", "i1", (rows, 8), 0), Described(name, "step", "e1", (), 1)]

    arrays = [
        *layer("blocks.0.q", 16),
        *layer("blocks.1.q", 16),
        *layer("blocks.2.q", 32),
        *layer("blocks.10.q", 16),
        *layer("blocks.01.q", 16),
        *layer("blocks.*.q3", 16),
        *layer("embed", 16),
    ]
    groups = grouped(arrays)
    assert [group[:2] for group in groups[:2]] == [["blocks.*.q", [0, 1, 10]], ["blocks.*.q", [2]]]
    assert len(groups) == 5
    assert set(ungrouped(groups)) == set(arrays)


def test_the_artifact_of_before_is_read_as_before():
    old = quantize(weights())
    found = read_artifact(old)
    assert all(np.array_equal(value, found[name]) for name, value in dequantize(old).items())


def steps(values):
    return exponents_to_steps(np.asarray(values, np.int8))


def matrix(name, rows, columns):
    codes = np.random.default_rng(len(rows)).integers(-9, 9, (len(rows), len(columns)))
    return [
        Stored(name, "code", "i1", codes.astype(np.int8), "code"),
        Stored(name, "step", "e1", steps(rows), "step"),
        Stored(name, "column", "e1", steps(columns), "step"),
    ]


def test_the_same_steps_are_told_once():
    draw = np.random.default_rng(6)
    rows, columns, others = (draw.integers(-30, 30, size) for size in (20, 400, 400))
    same, apart = (
        pack.coded_bytes([*matrix("a", rows, columns), *matrix("b", rows[:16], found)])
        for found in (columns, others)
    )
    assert len(same) < len(apart) - 200


@pytest.mark.parametrize("rising", [np.full(100, 1), np.arange(100) % 7 - 3], ids=["up", "down"])
def test_steps_that_hardly_change_cost_little(rising):
    found = np.clip(-60 + np.cumsum(rising), -127, 127)
    kept = [Stored("a", "step", "e1", steps(found), "step")]
    (read,) = read_coded(pack.coded_bytes(kept), [Described("a", "step", "e1", (100,), 0)])
    assert np.array_equal(read, steps(found))
    assert len(pack.coded_bytes(kept)) < 50


def test_a_row_as_one_that_was_not_there_is_refused():
    kept = [Stored("a", "step", "e1", steps([3, 3, 5]), "step")]
    packed = bytes([AGAIN, 1]) + pack.coded_bytes(kept)[1:]
    for change in (packed, packed[:1], b""):
        with pytest.raises(ArtifactError, match="coded numbers"):
            read_coded(change, [Described("a", "step", "e1", (3,), 0)])


def test_finer_codes_add_parts_of_a_step_and_must_fit():
    parts = {"code": np.array([3, -2], np.int8), "step": np.float32(0.5)}
    fine = np.array([-4, 2], np.int8)
    assert restored({"v": parts | {"fine": fine}})["v"].tolist() == [1.25, -0.875]
    with pytest.raises(ArtifactError, match="finer codes"):
        restored({"v": parts | {"fine": fine[:1]}})


def mutated(packed, number, generator):
    at = int(generator.integers(0, len(packed)))
    if number % 3 == 0:
        return packed[:at]
    if number % 3 == 1:
        return packed + generator.bytes(1 + at % 64)
    bit = 1 << int(generator.integers(0, 8))
    return packed[:at] + bytes([packed[at] ^ bit]) + packed[at + 1 :]


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_mutation_is_an_error(count):
    packed, generator = pack.pack(quantized(weights(), Recipe("int6")), "ans"), None
    generator = np.random.default_rng(4)
    for number in range(count):
        with pytest.raises(ArtifactError):
            read_artifact(mutated(packed, number, generator))


def resealed(packed, number, generator):
    """A mutation whose checksum is right: by a stranger who knows the format."""
    start = len(PACKED_MAGIC) + artifact.CHECKSUM_BYTES
    rest = mutated(packed[start:], number, generator)
    return PACKED_MAGIC + checksum(rest) + rest


@pytest.mark.parametrize("coder", ["raw", "zlib", "lzma", "ans"])
def test_a_stranger_gets_an_error_or_weights_of_the_right_shape(coder):
    packed, generator = pack.pack(quantized(weights(), Recipe()), coder), np.random.default_rng(5)
    shapes = {name: value.shape for name, value in weights().items()}
    for number in range(12 if coder == "ans" else 60):
        try:
            found = read_artifact(resealed(packed, number, generator))
        except ArtifactError:
            continue
        assert {name: value.shape for name, value in found.items()} == shapes


def with_header(change):
    """An artifact whose header has been changed and sealed again."""
    packed = pack.pack(quantized(weights(), Recipe()), "raw")
    rest = packed[len(PACKED_MAGIC) + artifact.CHECKSUM_BYTES :]
    size = int.from_bytes(rest[:4], "little")
    groups, streams = json.loads(zlib.decompress(rest[4 : 4 + size], wbits=WINDOW))
    layout = groups[0][2]
    told = json.dumps(change(groups, layout, streams) or [groups, streams]).encode()
    deflate = zlib.compressobj(wbits=WINDOW)
    told = deflate.compress(told) + deflate.flush()
    rest = len(told).to_bytes(4, "little") + told + rest[4 + size :]
    return PACKED_MAGIC + checksum(rest) + rest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g, a, s: a[0].__setitem__(2, [2**31, 2**31]), "describes no array"),
        (lambda g, a, s: a[0].__setitem__(2, [2**20, 2**15]), "unpacks to more than"),
        (lambda g, a, s: a[0].__setitem__(2, [-1]), "describes no array"),
        (lambda g, a, s: a[0].__setitem__(0, "code of honour"), "describes no array"),
        (lambda g, a, s: a[0].__setitem__(1, ["i1"]), "describes no array"),
        (lambda g, a, s: a[0].__setitem__(3, 99), "stream that does not exist"),
        (lambda g, a, s: g.append(g[0]), "occurs twice"),
        (lambda g, a, s: a.__delitem__(-1), "other than|is made of"),
        (lambda g, a, s: g.append(["*", list(range(70_000)), [["whole", "f4", [0], 0]]]), "many"),
        (lambda g, a, s: g[0].__setitem__(0, 7), "describes no array"),
        (lambda g, a, s: g[0].__setitem__(1, [10**50]), "names nothing"),
        (lambda g, a, s: g[0].__setitem__(1, ["x"]), "names nothing"),
        (lambda g, a, s: s[0].__setitem__(0, "pickle"), "coder that does not exist"),
        (lambda g, a, s: s[0].__setitem__(1, -5), "coder that does not exist"),
        (lambda g, a, s: s[0].__setitem__(1, 10**9), "truncated"),
        (lambda g, a, s: s[0].__setitem__(1, float("inf")), "cannot be read"),
        (lambda g, a, s: [g, s, 1], "cannot be read"),
        (lambda g, a, s: [7, s], "cannot be read"),
    ],
)
def test_a_header_that_lies_is_refused(change, message):
    with pytest.raises(ArtifactError, match=message):
        read_artifact(with_header(change))


def test_a_bomb_is_not_unpacked():
    zeros = [Stored("z", "whole", "f4", np.zeros(2**20, np.float32), "z")]
    packed = pack.pack(zeros, "zlib")
    assert len(packed) < 10_000
    with pytest.raises(ArtifactError, match="unpacks to more than 1,000,000 bytes"):
        read_artifact(packed, max_unpacked_bytes=1_000_000)


def test_a_coder_that_is_not_installed_is_named(monkeypatch):
    brotli = pytest.importorskip("brotli")
    packed = pack.pack(quantized(weights(), Recipe()), "brotli")
    assert brotli is not None
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    with pytest.raises(ArtifactError, match="needs the package"):
        read_artifact(packed)


def test_weights_that_cannot_be_stored_are_refused():
    with pytest.raises(ArtifactError, match="not finite"):
        quantized({"w": np.full((16, 16), np.nan, np.float32)}, Recipe("int6"))
    with pytest.raises(ArtifactError, match="too large"):
        quantized({"w": np.full((16, 16), 1e30, np.float32)}, Recipe("int6"))
    with pytest.raises(ArtifactError, match="not finite as f2"):
        pack.pack(quantized({"v": np.full(3, 1e9, np.float32)}, Recipe("int6")), "raw")
