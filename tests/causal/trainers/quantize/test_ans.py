"""The adaptive coder: exact there and back, near the entropy, and never fooled by its words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainers.quantize.ans import CodeError, Decoder
from trainers.quantize.ans_encode import Encoder
from trainers.quantize.magnitudes import EXPONENT_STEPS

WORDS = "0100068100920100830a1b50e7e2"
small = arrays.arrays(
    np.int8,
    st.tuples(st.integers(1, 7), st.integers(1, 40)),
    elements=st.integers(-127, 127),
)


def steps(matrix):
    return [np.zeros(side, np.int64) for side in matrix.shape]


def encoded(matrices, exponents=steps):
    whole = [matrix.astype(np.int64) for matrix in matrices]
    encoder = Encoder(sum(m.size for m in whole), max(int(np.abs(m).max()) for m in whole))
    for matrix in whole:
        encoder.matrix(matrix, *exponents(matrix))
    return encoder.packed()


def decoded(packed, matrices, exponents=steps):
    decoder = Decoder(packed)
    found = [decoder.matrix(*exponents(matrix)) for matrix in matrices]
    decoder.finish()
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(small, min_size=1, max_size=3))
def test_there_and_back(matrices):
    found = decoded(encoded(matrices), matrices)
    assert all(np.array_equal(a, b) for a, b in zip(matrices, found, strict=True))


def drawn(spread):
    """Normal, each column of its own size."""
    draw = np.random.default_rng(0).standard_normal
    size = np.exp(spread * draw(96)) * 3
    return np.clip(np.rint(draw((700, 96)) * size), -127, 127).astype(np.int8)


def entropy(codes):
    share = np.unique(codes, return_counts=True)[1] / codes.size
    return -(share * np.log2(share)).sum() * codes.size / 8


def test_it_ends_near_the_entropy_and_below_it_where_columns_differ():
    alike, unlike = drawn(0.0), drawn(0.5)
    assert len(encoded([alike])) < 1.02 * entropy(alike)
    assert len(encoded([unlike])) < 0.98 * entropy(unlike)


def test_steps_tell_how_large_codes_are():
    exponents = np.random.default_rng(1).integers(-9, 9, 700), np.zeros(96, np.int64)
    size = 2.0 ** (-exponents[0][:, None] / EXPONENT_STEPS)
    codes = np.rint(np.clip(drawn(0.0) * size, -127, 127)).astype(np.int8)
    told = encoded([codes], lambda matrix: exponents)
    assert len(told) < 0.97 * len(encoded([codes]))
    assert np.array_equal(decoded(told, [codes], lambda matrix: exponents)[0], codes)


def test_what_all_rows_have_in_common_costs_next_to_nothing():
    noise = drawn(0.0)
    common = np.rint(np.random.default_rng(2).normal(0, 6, 96)).astype(np.int8)
    codes = np.clip(noise + common, -127, 127).astype(np.int8)
    assert len(encoded([codes])) < 1.03 * len(encoded([noise]))
    assert np.array_equal(decoded(encoded([codes]), [codes])[0], codes)


def test_rows_of_no_matrix_come_back_whatever_their_size():
    rows = [drawn(0.0)[:2].reshape(-1) * size for size in (1, 9)]
    encoder = Encoder(2 * 192, 127)
    for row in rows:
        encoder.row(row.astype(np.int64))
    decoder = Decoder(encoder.packed())
    assert all(np.array_equal(decoder.row(192), row) for row in rows)
    decoder.finish()


def test_the_words_of_a_matrix_are_no_others():
    """Written down: a change of the model would make old artifacts unreadable."""
    matrix = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    assert encoded([matrix]).hex() == WORDS
    assert np.array_equal(decoded(bytes.fromhex(WORDS), [matrix])[0], matrix)


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: b"",
        lambda packed: packed[:-2],
        lambda packed: packed[:-1],
        lambda packed: packed + b"\0\0",
        lambda packed: b"\0\0" + packed[2:],
        lambda packed: b"\xff\xff" + packed[2:],
        lambda packed: packed[:2] + b"\xff" + packed[3:],
        lambda packed: packed[:9] + b"\x55\xaa" + packed[11:],
    ],
)
def test_other_words_are_refused(change):
    matrix = drawn(0.0)[:40]
    with pytest.raises(CodeError, match="coded numbers"):
        decoded(change(encoded([matrix])), [matrix])
