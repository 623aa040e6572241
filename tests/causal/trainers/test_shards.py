import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.files import InputError
from trainers.shards import read_shard, write_shard


def test_a_shard_has_the_competitions_layout(tmp_path):
    path = tmp_path / "fineweb_val_000000.bin"
    write_shard(path, [5, 1023, 65535])
    raw = path.read_bytes()
    assert struct.unpack("<3i", raw[:12]) == (20240520, 1, 3)
    assert raw[12:1024] == bytes(1012)
    assert struct.unpack("<3H", raw[1024:]) == (5, 1023, 65535)
    assert read_shard(path).tolist() == [5, 1023, 65535]


def test_reading_maps_the_file_and_cannot_write_it(tmp_path):
    path = tmp_path / "a.bin"
    write_shard(path, np.arange(10))
    tokens = read_shard(path)
    assert isinstance(tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


@pytest.mark.parametrize("tokens", [[-1], [65536], [[1, 2]], [0.5]])
def test_what_is_not_a_row_of_16_bit_tokens_is_not_written(tmp_path, tokens):
    with pytest.raises(InputError):
        write_shard(tmp_path / "a.bin", tokens)
    assert list(tmp_path.iterdir()) == []


def damage(raw, kind):
    header = lambda *values: struct.pack("<3i", *values) + raw[12:]  # noqa: E731
    return {
        "empty": b"",
        "half a header": raw[:500],
        "truncated": raw[:-2],
        "odd byte": raw[:-1],
        "bytes left over": raw + b"\0\0",
        "wrong magic": header(20240521, 1, 4),
        "wrong version": header(20240520, 2, 4),
        "count too large": header(20240520, 1, 2**31 - 1),
        "negative count": header(20240520, 1, -4),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "only 0 bytes"),
        ("half a header", "only 500 bytes"),
        ("truncated", "truncated: 4 tokens need 1,032 bytes, the file has 1,030"),
        ("odd byte", "truncated"),
        ("bytes left over", "of another length"),
        ("wrong magic", "magic 20240521"),
        ("wrong version", "version 2"),
        ("count too large", "truncated"),
        ("negative count", "of another length"),
    ],
)
def test_a_damaged_shard_is_named_with_its_fault(tmp_path, kind, says):
    path = tmp_path / "fineweb_train_000000.bin"
    write_shard(path, [1, 2, 3, 4])
    path.write_bytes(damage(path.read_bytes(), kind))
    with pytest.raises(InputError, match=says) as error:
        read_shard(path)
    assert str(path) in str(error.value)


def test_a_missing_shard_and_a_foreign_token_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_shard(tmp_path / "none.bin")
    path = tmp_path / "a.bin"
    write_shard(path, [0, 1023, 1024])
    assert read_shard(path, 1025).tolist() == [0, 1023, 1024]
    with pytest.raises(InputError, match="token 1024 at position 2"):
        read_shard(path, 1024)


@given(raw=st.binary(max_size=2100))
def test_no_bytes_crash_the_reader(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        read_shard(path)
