import io
import math
import struct

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.causal.files import InputError
from trainers import data
from trainers.data import (
    Batches,
    bits_per_byte,
    check_bytes,
    first_tokens,
    open_dataset,
    read_shard,
    token_bytes,
    validation_batches,
    write_shard,
)

TEXT = [
    f"The {i} quick brown foxes jump over the lazy dog.\nÜber naïve façades, 漢字 and {i * 7}."
    for i in range(200)
]
BOS = 1


def train_tokenizer(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=model,
        vocab_size=420,
        model_type="bpe",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        character_coverage=0.995,
        **{
            "normalization_rule_name": "identity",
            "byte_fallback": True,
            "unk_id": 3,
            "bos_id": BOS,
            "pad_id": 0,
            "eos_id": 2,
            **options,
        },
    )
    return model.getvalue()


VARIANTS = {
    "lossless": {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
    "dummy prefix": {"add_dummy_prefix": True, "remove_extra_whitespaces": False},
    "sentencepiece defaults": {"add_dummy_prefix": True, "remove_extra_whitespaces": True},
    "whitespace removed": {"add_dummy_prefix": False, "remove_extra_whitespaces": True},
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def tokenizer(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "small.model"
    path.write_bytes(train_tokenizer(**VARIANTS[request.param]))
    return path


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "small.model"
    path.write_bytes(train_tokenizer(**VARIANTS["lossless"]))
    return path


def encode(path, texts):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return np.array([token for text in texts for token in [BOS, *model.encode(text)]])


def decoded_bytes(path, texts):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return sum(len(model.decode(model.encode(text)).encode()) for text in texts)


# Shards


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


# Bytes


@settings(deadline=None)
@given(texts=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4))
def test_token_bytes_add_up_to_the_decoded_text(tokenizer, texts):
    texts = [text.replace("\u2581", "_") for text in texts]
    assert check_bytes(encode(tokenizer, texts), tokenizer) == decoded_bytes(tokenizer, texts)


@pytest.mark.parametrize(
    "text", ["", " ", "  two spaces", "🦊 emoji", "漢字", "a\nb\n\n c", "<s> literal", "\t", "é é"]
)
def test_token_bytes_add_up_for_awkward_texts(tokenizer, text):
    tokens = encode(tokenizer, [text, "plain", text])
    assert check_bytes(tokens, tokenizer) == decoded_bytes(tokenizer, [text, "plain", text])


def test_a_lossless_tokenizer_counts_the_bytes_of_the_text_itself(lossless):
    texts = ["  Leading, ünd 🦊", "漢字 trailing \n "]
    assert check_bytes(encode(lossless, texts), lossless) == sum(len(t.encode()) for t in texts)


def test_byte_fallback_is_one_byte_and_control_none(lossless):
    table = token_bytes(lossless)
    model = sentencepiece.SentencePieceProcessor(model_file=str(lossless))
    fox = model.encode("🦊")[-4:]
    assert [model.id_to_piece(token) for token in fox] == ["<0xF0>", "<0x9F>", "<0xA6>", "<0x8A>"]
    assert table.size[fox].tolist() == [1, 1, 1, 1]
    assert table.size[[0, 1, 2]].tolist() == [0, 0, 0]
    assert table.boundary.nonzero()[0].tolist() == [0, 1, 2, 3]


def test_the_leading_space_counts_once_and_not_after_a_boundary(tmp_path):
    path = tmp_path / "m.model"
    path.write_bytes(train_tokenizer(**VARIANTS["sentencepiece defaults"]))
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    brown = model.piece_to_id("▁brown")
    assert not model.is_unknown(brown)
    table = token_bytes(path)
    counts = table.count_bytes(np.array([[BOS, brown]]), np.array([[brown, brown]]))
    assert counts.tolist() == [[5, 6]]  # "brown", then " brown"


def test_counting_over_windows_equals_counting_the_stream(lossless):
    tokens = encode(lossless, TEXT[:20])
    table = token_bytes(lossless)
    rows = np.concatenate(list(validation_batches(tokens, 7, 4)))
    targets = (len(tokens) - 1) // 7 * 7
    whole = table.count_bytes(tokens[:targets], tokens[1 : targets + 1]).sum()
    assert table.count_bytes(rows[:, :-1], rows[:, 1:]).sum() == whole


def test_the_gate_refuses_tokens_outside_the_vocabulary(lossless):
    with pytest.raises(InputError, match="outside the vocabulary"):
        check_bytes(np.array([BOS, 5000]), lossless)


def test_the_gate_refuses_tokens_whose_bytes_are_no_text(lossless):
    model = sentencepiece.SentencePieceProcessor(model_file=str(lossless))
    half = model.encode("🦊")[-4:-2]  # half a character decodes to a replacement mark
    with pytest.raises(InputError, match="document 1 add up to 2, its text has"):
        check_bytes(np.array([BOS, *model.encode("fine"), BOS, *half]), lossless)


def test_the_gate_refuses_unknown_tokens(tmp_path):
    path = tmp_path / "m.model"
    path.write_bytes(train_tokenizer(byte_fallback=False))
    with pytest.raises(InputError, match="unknown tokens"):
        check_bytes(encode(path, ["a 🦊"]), path)


@pytest.mark.parametrize("raw", [b"", b"not a model", bytes(1000)])
def test_what_is_no_tokenizer_is_refused(tmp_path, raw):
    path = tmp_path / "m.model"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"m\.model: is not a SentencePiece model"):
        token_bytes(path)
    with pytest.raises(InputError, match="cannot be read"):
        token_bytes(tmp_path / "missing.model")


def test_a_tokenizer_with_a_piece_that_is_no_text_is_refused(tmp_path, lossless):
    path = tmp_path / "m.model"
    path.write_bytes(lossless.read_bytes().replace("漢".encode(), b"\xff\xff\xff"))
    with pytest.raises(InputError, match="not a SentencePiece model"):
        token_bytes(path)


def test_bits_per_byte():
    assert bits_per_byte(math.log(2) * 12, 8) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="byte_count=0"):
        bits_per_byte(1.0, 0)


# Data sets


def make_folder(folder, lossless, model_at=None):
    folder.mkdir(parents=True)
    write_shard(folder / "fineweb_train_000000.bin", encode(lossless, TEXT[:50]))
    write_shard(folder / "fineweb_train_000001.bin", encode(lossless, TEXT[50:90]))
    write_shard(folder / "fineweb_val_000000.bin", encode(lossless, TEXT[90:100]))
    place = model_at or folder / "tokenizer.model"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(lossless.read_bytes())
    return folder


def test_a_folder_with_its_tokenizer_opens(tmp_path, lossless):
    dataset = open_dataset(make_folder(tmp_path / "d", lossless))
    assert [path.name[-5] for path in dataset.train] == ["0", "1"]
    assert dataset.vocab_size == sentencepiece.SentencePieceProcessor(str(lossless)).vocab_size()
    assert dataset.val_tokens().tolist() == encode(lossless, TEXT[90:100]).tolist()
    assert sum(map(len, dataset.train_tokens())) == len(encode(lossless, TEXT[:90]))


def test_the_competitions_layout_opens(tmp_path, lossless):
    tokenizers = tmp_path / "data" / "tokenizers"
    model = tokenizers / "fineweb_1024_bpe.model"
    folder = make_folder(tmp_path / "data" / "datasets" / "fineweb10B_sp1024", lossless, model)
    (tokenizers / "fineweb_8192_bpe.model").write_bytes(b"another")
    assert open_dataset(folder).tokenizer == model
    assert open_dataset(folder, lossless).tokenizer == lossless


def test_the_fingerprint_follows_content_not_place(tmp_path, lossless):
    one = open_dataset(make_folder(tmp_path / "a", lossless)).fingerprint
    folder = make_folder(tmp_path / "b", lossless)
    assert open_dataset(folder).fingerprint == one
    write_shard(folder / "fineweb_train_000001.bin", encode(lossless, TEXT[50:91]))
    assert open_dataset(folder).fingerprint != one


def test_what_is_missing_is_named(tmp_path, lossless):
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(tmp_path / "none")
    folder = make_folder(tmp_path / "d", lossless)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(InputError, match="no single tokenizer"):
        open_dataset(folder)
    (folder / "fineweb_val_000000.bin").unlink()
    with pytest.raises(InputError, match="holds no fineweb_val"):
        open_dataset(folder, lossless)


def test_opening_runs_the_byte_gate(tmp_path, lossless):
    folder = make_folder(tmp_path / "d", lossless)
    model = sentencepiece.SentencePieceProcessor(model_file=str(lossless))
    write_shard(folder / "fineweb_val_000000.bin", [BOS, *model.encode("🦊")[:-1]])
    with pytest.raises(InputError, match="add up to"):
        open_dataset(folder)


@pytest.mark.parametrize("limit", range(40, 60))
def test_a_long_validation_set_is_checked_up_to_a_whole_word(
    tmp_path, lossless, monkeypatch, limit
):
    monkeypatch.setattr(data, "CHECKED_TOKENS", limit)
    folder = make_folder(tmp_path / "d", lossless)
    write_shard(folder / "fineweb_val_000000.bin", encode(lossless, ["🦊🦊 fox 🦊 " * 10]))
    open_dataset(folder)  # a cut through a fox would not add up


# Batches


def test_every_window_comes_once_an_epoch_in_an_order_of_the_seed():
    tokens = np.arange(101, dtype=np.uint16)
    batches = Batches(tokens, 10, 20, seed=1)
    first = np.concatenate([batches.batch(step) for step in range(5)])
    second = np.concatenate([batches.batch(step) for step in range(5, 10)])
    assert sorted(first[:, 0].tolist()) == list(range(0, 100, 10))
    assert sorted(second[:, 0].tolist()) == list(range(0, 100, 10))
    assert first[:, 0].tolist() != second[:, 0].tolist()
    assert (np.diff(first, axis=1) == 1).all()  # windows are contiguous, 11 tokens each
    other = Batches(tokens, 10, 20, seed=2)
    assert other.batch(0).tolist() != batches.batch(0).tolist()


def test_a_step_can_be_read_without_the_ones_before():
    tokens = np.arange(1000, dtype=np.uint16)
    expected = [Batches(tokens, 9, 36, seed=3).batch(step).tolist() for step in range(60)]
    batches = Batches(tokens, 9, 36, seed=3)
    for step in (59, 0, 28, 27, 27, 58):
        assert batches.batch(step).tolist() == expected[step]
        assert len(batches._orders) <= 2  # memory does not grow with epochs


def test_a_batch_larger_than_the_data_repeats_epochs():
    batches = Batches(np.arange(31, dtype=np.uint16), 10, 100, seed=0)
    starts = batches.batch(0)[:, 0].tolist()
    assert [sorted(starts[i : i + 3]) for i in (0, 3, 6)] == [[0, 10, 20]] * 3


def test_windows_stay_within_their_shard():
    shards = [np.arange(25, dtype=np.uint16), np.arange(100, 131, dtype=np.uint16)]
    batches = Batches([*shards, np.zeros(3, dtype=np.uint16)], 10, 10, seed=0)
    assert batches.windows == 5
    starts = sorted(int(batches.batch(step)[0, 0]) for step in range(5))
    assert starts == [0, 10, 100, 110, 120]


@given(
    length=st.integers(8, 200),
    seq_len=st.integers(1, 7),
    share=st.integers(1, 4),
    world_size=st.integers(1, 4),
    step=st.integers(0, 1000),
)
def test_ranks_share_one_global_batch(length, seq_len, share, world_size, step):
    tokens = np.arange(length, dtype=np.uint16)
    size = seq_len * share * world_size
    whole = Batches(tokens, seq_len, size, seed=5).batch(step)
    parts = [
        Batches(tokens, seq_len, size, seed=5, rank=rank, world_size=world_size).batch(step)
        for rank in range(world_size)
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert whole.dtype == np.int64


def test_batches_check_what_they_are_given():
    tokens = np.arange(100, dtype=np.uint16)
    with pytest.raises(InputError, match="multiple"):
        Batches(tokens, 10, 25, seed=0)
    with pytest.raises(InputError, match="multiple"):
        Batches(tokens, 10, 20, seed=0, rank=1, world_size=4)
    with pytest.raises(InputError, match="fill no window"):
        Batches(tokens[:10], 10, 20, seed=0)
    with pytest.raises(InputError, match="outside the vocabulary of 50"):
        Batches(tokens, 99, 99, seed=0, vocab_size=50).batch(0)


def test_validation_covers_every_target_once_and_drops_the_tail():
    tokens = np.arange(38, dtype=np.uint16)
    rows = np.concatenate(list(validation_batches(tokens, 5, 3)))
    assert rows[:, 1:].ravel().tolist() == list(range(1, 36))
    assert rows[:, :-1].ravel().tolist() == list(range(35))
    quick = np.concatenate(list(validation_batches(tokens, 5, 3, max_sequences=2)))
    assert quick.tolist() == rows[:2].tolist()


def test_validation_is_shared_between_ranks():
    tokens = np.arange(38, dtype=np.uint16)
    whole = np.concatenate(list(validation_batches(tokens, 5, 7)))
    parts = [list(validation_batches(tokens, 5, 2, rank=rank, world_size=3)) for rank in range(3)]
    assert np.concatenate([row for part in parts for row in part]).tolist() == whole.tolist()


def test_too_little_validation_is_an_error_at_once():
    with pytest.raises(InputError, match="fill no sequence"):
        validation_batches(np.arange(5, dtype=np.uint16), 5, 1)


def test_the_first_tokens_of_shards_end_where_the_count_does():
    shards = [np.arange(5, dtype=np.uint16), np.arange(5, 9, dtype=np.uint16)]
    taken = [part.tolist() for part in first_tokens(shards, 7)]
    assert taken == [[0, 1, 2, 3, 4], [5, 6]]
    assert [part.tolist() for part in first_tokens(shards, 5)] == [[0, 1, 2, 3, 4]]
    assert sum(map(len, first_tokens(shards, 100))) == 9
