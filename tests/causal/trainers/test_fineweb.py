import io
import json
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece

from scripts.causal.files import InputError
from trainers.data import open_dataset
from trainers.fineweb import fetch_fineweb
from trainers.shards import write_shard

MANIFEST = {
    "datasets": [
        {
            "name": "fineweb10B_sp300",
            "tokenizer_name": "t",
            "stats": {"files_train": 3, "files_val": 1},
        }
    ],
    "tokenizers": [{"name": "t", "model_path": "tokenizers/fineweb_300_bpe.model"}],
}


@pytest.fixture
def hub(tmp_path):
    """A folder laid out as the published repository, and a download that reads from it."""
    root = tmp_path / "hub"
    data = root / "datasets" / "datasets" / "fineweb10B_sp300"
    tokenizers = root / "datasets" / "tokenizers"
    tokenizers.mkdir(parents=True)
    data.mkdir(parents=True)
    (root / "datasets" / "manifest.json").write_text(json.dumps(MANIFEST))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["hello there", "the world"]),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    (tokenizers / "fineweb_300_bpe.model").write_bytes(model.getvalue())
    tokens = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).encode("hello the")
    for name in ("val_000000", "train_000000", "train_000001", "train_000002"):
        write_shard(data / f"fineweb_{name}.bin", np.array([1, *tokens]))
    asked = []

    def download(path):
        asked.append(path)
        return root / path

    return root, asked, download


def test_the_asked_for_files_are_fetched_and_open(hub, tmp_path):
    root, asked, download = hub
    fractions = []
    folder = fetch_fineweb(
        tmp_path, variant="sp300", shards=2, download=download, progress=fractions.append
    )
    assert asked == [
        "datasets/manifest.json",
        "datasets/tokenizers/fineweb_300_bpe.model",
        "datasets/datasets/fineweb10B_sp300/fineweb_val_000000.bin",
        "datasets/datasets/fineweb10B_sp300/fineweb_train_000000.bin",
        "datasets/datasets/fineweb10B_sp300/fineweb_train_000001.bin",
    ]
    assert fractions[-1] == 1
    assert open_dataset(folder).tokenizer == root / asked[1]  # found without being named


def test_what_is_not_published_is_named(hub, tmp_path):
    _, _, download = hub
    with pytest.raises(InputError, match="published: fineweb10B_sp300"):
        fetch_fineweb(tmp_path, variant="sp1024", download=download)
    with pytest.raises(InputError, match="3 training shards, 4"):
        fetch_fineweb(tmp_path, variant="sp300", shards=4, download=download)
    with pytest.raises(InputError, match="variant="):
        fetch_fineweb(tmp_path, variant="../etc", download=download)


def test_a_damaged_shard_is_noticed(hub, tmp_path):
    root, _, download = hub
    shard = root / "datasets/datasets/fineweb10B_sp300/fineweb_val_000000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(InputError, match="truncated"):
        fetch_fineweb(tmp_path, variant="sp300", download=download)


@pytest.mark.parametrize(
    "model_path", ["../../secret.model", "/etc/x.model", "tokenizers/../x.model"]
)
def test_a_manifest_cannot_point_elsewhere(hub, tmp_path, model_path):
    root, _, download = hub
    strange = {**MANIFEST, "tokenizers": [{"name": "t", "model_path": model_path}]}
    (root / "datasets" / "manifest.json").write_text(json.dumps(strange))
    with pytest.raises(InputError, match="strange tokenizer"):
        fetch_fineweb(tmp_path, variant="sp300", download=download)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"datasets": [1]}', "{", "null"])
def test_a_manifest_of_another_form_is_refused(hub, tmp_path, manifest):
    root, _, download = hub
    (root / "datasets" / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=r"manifest\.json"):
        fetch_fineweb(tmp_path, variant="sp300", download=download)


def test_without_the_hub_library_the_command_says_what_to_install(tmp_path):
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError")
    result = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: fetching FineWeb needs huggingface_hub (pip install")


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from trainers.fineweb import main
from scripts.causal.cli import run_command
run_command(main)
"""
