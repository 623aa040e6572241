"""The embedded corpus: English that every installation already has, so nothing is downloaded.

The docstrings of the scientific packages this project depends on are read from their sources
(parsed, never imported), cleaned and tokenized once with a 1024-piece BPE of their own. One source
module is one document. The folder has the competition's file names and format, so any script
written for FineWeb shards reads it too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from scripts.causal.files import InputError, digest, write_json
from trainers.api import Progress
from trainers.data import open_dataset
from trainers.seeds import stream
from trainers.shards import write_shard

# Import name → distribution. All come with this project's own dependencies. torch is left out:
# its 41 MB of source took 15 s to parse, as long as half of the others together.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "statsmodels": "statsmodels",
    "networkx": "networkx",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "sympy": "sympy",
    "sqlalchemy": "SQLAlchemy",
    "pydantic": "pydantic",
}
SKIPPED_FOLDERS = frozenset({"test", "tests", "testing", "_vendor", "externals"})
MAX_SOURCE_BYTES = 2 * 1024 * 1024
MAX_DOCUMENT_CHARS = 60_000  # so that no single module is a large part of validation
MIN_DOCUMENT_CHARS = 200
REPEATED_CHARS = 64  # a paragraph this long is kept once: shared parameter descriptions
VALIDATION_PER_MILLE = 25

VOCAB_SIZE = 1024
PAD, BOS, EOS, UNK = range(4)
TOKENIZER_SAMPLE_CHARS = 4_000_000
TOKENIZER_SEED = 0


@dataclass(frozen=True)
class Package:
    """An installed package: import name, version, folder of its sources."""

    name: str
    version: str
    root: Path


@dataclass(frozen=True)
class Document:
    """The cleaned docstrings of one module; `path` is its place, such as numpy/ma/core.py."""

    path: str
    text: str


def installed_packages() -> tuple[Package, ...]:
    """The packages of the corpus that are installed, found without importing any of them."""
    found = []
    for name, distribution in PACKAGES.items():
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            continue
        root = Path(next(iter(spec.submodule_search_locations)))
        found.append(Package(name, importlib.metadata.version(distribution), root))
    return tuple(found)


# --------------------------------------------------------------------------------------------
# From source files to documents


def docstrings(source: str) -> Iterator[str]:
    """Docstrings of a module, its classes and functions, in source order; none if it is no Python.

    The source is parsed and never executed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
        # Only statements can hold definitions; expressions are most of a tree.
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        pending.extend(reversed(children))


def clean(text: str) -> str:
    """Prose of a docstring: NFC, single spaces, no doctest blocks, no underlines, no controls.

    U+2581 goes too: SentencePiece writes a space with it, so it could not be decoded again.
    """
    text = unicodedata.normalize("NFC", text.expandtabs(1))
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        kept = []
        for line in paragraph.splitlines():
            if line.lstrip().startswith(">>>"):
                break  # a session and its output run to the end of the paragraph
            line = "".join(c if c.isprintable() or c == " " else " " for c in line)
            line = " ".join(line.replace("\u2581", " ").split())
            if re.search(r"[^\W_]", line):  # a line of rules or dots says nothing
                kept.append(line)
        if kept:
            paragraphs.append("\n".join(kept))
    return "\n\n".join(paragraphs)


def read_documents(
    packages: Sequence[Package], progress: Progress | None = None
) -> list[Document]:
    """Read one document per module, in order of package and path.

    Long paragraphs seen before are left out, so none is in both training and validation.
    """
    sources = []
    for package in packages:
        for path in sorted(package.root.rglob("*.py"), key=lambda found: found.as_posix()):
            inside = path.relative_to(package.root)
            skipped = SKIPPED_FOLDERS.intersection(inside.parts)
            if skipped or path.name.startswith("test_") or path.name == "conftest.py":
                continue
            sources.append((f"{package.name}/{inside.as_posix()}", path))
    documents = []
    seen: set[bytes] = set()
    for number, (name, path) in enumerate(sources):
        text = _document_text(path, seen)
        if len(text) >= MIN_DOCUMENT_CHARS:
            documents.append(Document(name, text))
        if progress and number % 50 == 0:
            progress(number / len(sources))
    return documents


def _document_text(path: Path, seen: set[bytes]) -> str:
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            return ""
        source = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    if '"""' not in source and "'''" not in source:
        return ""
    parts = []
    room = MAX_DOCUMENT_CHARS
    for text in docstrings(source):
        for paragraph in clean(text).split("\n\n"):
            if len(paragraph) >= REPEATED_CHARS:
                mark = hashlib.sha256(paragraph.encode("utf-8")).digest()
                if mark in seen:
                    continue
                seen.add(mark)
            if not paragraph or len(paragraph) > room:
                continue
            parts.append(paragraph)
            room -= len(paragraph) + 2
    return "\n\n".join(parts)


def is_validation(path: str) -> bool:
    """Whether a document belongs to validation: by a hash of its path, so additions move none."""
    return int(digest("validation", path)[:8], 16) % 1000 < VALIDATION_PER_MILLE


# --------------------------------------------------------------------------------------------
# From documents to shards


def train_tokenizer(texts: Sequence[str]) -> bytes:
    """Train the 1024-piece BPE on a seeded sample of training texts; returns the model's bytes.

    Decoding gives back every text exactly: no normalisation, no dummy prefix, all whitespace
    kept, bytes for rare characters. Digits stay single and the ids of pad, BOS, EOS and UNK are
    0 to 3, as in the competition's tokenizers.

    Raises:
        InputError: too little text for so many pieces.
    """
    order = stream(TOKENIZER_SEED, "tokenizer").permutation(len(texts))
    sample: list[str] = []
    room = TOKENIZER_SAMPLE_CHARS
    for index in order.tolist():
        # The trainer passes over sentences above its length limit, so it gets paragraphs.
        pieces = [part + "\n\n" for part in texts[index].split("\n\n")]
        sample.extend(pieces)
        room -= sum(map(len, pieces))
        if room <= 0:
            break
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type="bpe",
            vocab_size=VOCAB_SIZE,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            byte_fallback=True,
            split_digits=True,
            character_coverage=0.9995,
            max_sentence_length=2**16,
            shuffle_input_sentence=False,
            num_threads=1,
            minloglevel=2,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            unk_id=UNK,
        )
    except RuntimeError as error:
        raise InputError(f"the tokenizer cannot be trained on the corpus: {error}") from error
    return model.getvalue()


def build_corpus(
    packages: Sequence[Package], folder: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Write shards, tokenizer.model and manifest.json into an existing, empty folder.

    Returns:
        The manifest: packages with versions, documents, tokens, bytes, fingerprint.

    Raises:
        InputError: no documents, a validation split that is empty, or text that does not decode
            to itself.
    """
    report = progress or (lambda fraction: None)
    documents = read_documents(packages, lambda fraction: report(0.8 * fraction))
    splits = {
        "train": [one.text for one in documents if not is_validation(one.path)],
        "val": [one.text for one in documents if is_validation(one.path)],
    }
    if not splits["train"] or not splits["val"]:
        names = ", ".join(package.name for package in packages) or "no package"
        raise InputError(f"the docstrings of {names} give no corpus")
    report(0.8)
    model = train_tokenizer(splits["train"])
    (folder / "tokenizer.model").write_bytes(model)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model)
    report(0.85)

    counts: dict[str, dict[str, int]] = {}
    for name, texts in splits.items():
        encoded = []
        for start in range(0, len(texts), 100):
            encoded += tokenizer.encode(texts[start : start + 100], num_threads=1)
            if name == "train":
                report(0.85 + 0.15 * start / len(texts))
        if name == "val" and tokenizer.decode(encoded) != texts:
            raise InputError("the tokenizer does not give back the validation text")
        tokens = np.concatenate([np.array([BOS, *one], dtype=np.uint16) for one in encoded])
        write_shard(folder / f"fineweb_{name}_000000.bin", tokens)
        size = sum(len(text.encode("utf-8")) for text in texts)
        counts[name] = {"documents": len(texts), "bytes": size, "tokens": len(tokens)}

    dataset = open_dataset(folder)
    manifest = {
        "name": "docstrings",
        "about": "Docstrings of installed packages, in the competition's shard format.",
        "packages": {package.name: package.version for package in packages},
        "vocab_size": dataset.vocab_size,
        **counts,
        "bytes_per_token": round(counts["val"]["bytes"] / counts["val"]["tokens"], 4),
        "fingerprint": dataset.fingerprint,
    }
    write_json(folder / "manifest.json", manifest)
    report(1.0)
    return manifest


# --------------------------------------------------------------------------------------------
# The cache


def cache_folder() -> Path:
    """Where prepared data lies: CAUSAL_GOLF_CACHE, else results/cache of this checkout."""
    given = os.environ.get("CAUSAL_GOLF_CACHE")
    if given:
        return Path(given)
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / "pyproject.toml").is_file():
        checkout = Path.cwd()
    return checkout / "results" / "cache"


def sources_key(packages: Sequence[Package]) -> str:
    """Identify what the corpus is made of: packages, versions, tokenizer library, this code."""
    parts = [f"{package.name}=={package.version}" for package in packages]
    parts.append(f"sentencepiece=={importlib.metadata.version('sentencepiece')}")
    parts.append(f"python=={sys.version_info.major}.{sys.version_info.minor}")
    return digest(Path(__file__).read_bytes(), *parts)[:16]


def default_dataset(progress: Progress | None = None) -> Path:
    """Folder of the embedded corpus, built on first use (about 30 s on one core).

    Built beside its place and renamed, so processes that build at the same time do no harm: the
    first to finish wins.

    Raises:
        InputError: none of the packages is installed, or the cache folder cannot be written.
    """
    packages = installed_packages()
    if not packages:
        raise InputError(f"none of {', '.join(PACKAGES)} is installed", mend="install the project")
    folder = cache_folder() / "data" / sources_key(packages)
    if (folder / "manifest.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            where=folder.parent,
            mend="set CAUSAL_GOLF_CACHE to a writable folder",
        ) from error
    try:
        build_corpus(packages, building, progress)
        building.chmod(0o755)
        try:
            building.rename(folder)
        except OSError:
            if not (folder / "manifest.json").is_file():
                raise
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=folder) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _remove_abandoned(parent: Path) -> None:
    """Remove what builders that were killed left behind: a build takes minutes at most."""
    for path in parent.glob(".building-*"):
        if time.time() - path.stat().st_mtime > 3600:
            shutil.rmtree(path, ignore_errors=True)
