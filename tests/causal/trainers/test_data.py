import io
import math

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.causal.files import InputError
from trainers import data
from trainers.batches import validation_batches
from trainers.data import open_dataset
from trainers.shards import write_shard
from trainers.token_bytes import bits_per_byte, check_bytes, token_bytes

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
