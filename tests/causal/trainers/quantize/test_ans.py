"""The adaptive coder: exact there and back, near the entropy, and never fooled by its words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainers.quantize.ans import CodeError, ans_decode
from trainers.quantize.ans_encode import ans_encode

WORDS = "010006040027c0ef80dd15886b"
small = arrays.arrays(
    np.int8,
    st.tuples(st.integers(1, 7), st.integers(1, 40)),
    elements=st.integers(-127, 127),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(small, min_size=1, max_size=3))
def test_there_and_back(matrices):
    found = ans_decode(ans_encode(matrices), [matrix.shape for matrix in matrices])
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
    assert len(ans_encode([alike])) < 1.02 * entropy(alike)
    assert len(ans_encode([unlike])) < 0.98 * entropy(unlike)


def test_the_words_of_a_matrix_are_no_others():
    """Written down: a change of the model would make old artifacts unreadable."""
    matrix = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    assert ans_encode([matrix]).hex() == WORDS
    assert np.array_equal(ans_decode(bytes.fromhex(WORDS), [(3, 4)])[0], matrix)


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
        ans_decode(change(ans_encode([matrix])), [matrix.shape])
