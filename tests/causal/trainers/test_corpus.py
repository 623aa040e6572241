import json
import shutil

import pytest
import sentencepiece

from scripts.causal import files
from scripts.causal.files import InputError
from trainers import corpus
from trainers.corpus import Package, build_corpus, clean, docstrings, is_validation, read_documents
from trainers.data import open_dataset
from trainers.token_bytes import check_bytes, token_bytes


@pytest.fixture(scope="module")
def numpy_package():
    return next(one for one in corpus.installed_packages() if one.name == "numpy")


@pytest.fixture(scope="module")
def built(numpy_package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return folder, build_corpus([numpy_package], folder)


def write_package(root, **modules):
    for name, source in modules.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return Package("toy", "1.0", root)


PROSE = (
    "Every word of this sentence is here so that the module is long enough to be kept. " * 3
    + "So."
)


def test_docstrings_come_in_source_order_at_every_depth():
    source = '''"""Module."""
if True:
    class A:
        """Class."""
        def f(self):
            """Method."""
            async def g():
                """Inner."""
def h():
    """Last."""
    x = """not a docstring"""
'''
    assert list(docstrings(source)) == ["Module.", "Class.", "Method.", "Inner.", "Last."]


@pytest.mark.parametrize("source", ["def f(:", "\0", '"""x"""\n' + "(" * 5000, '"""bad \\d"""'])
def test_sources_that_do_not_parse_or_warn_are_harmless(source):
    assert list(docstrings(source)) in ([], ["bad \\d"])


def test_nothing_is_executed(tmp_path):
    package = write_package(
        tmp_path / "p",
        evil=f'"""{PROSE}"""\nopen({str(tmp_path / "run")!r}, "w")\nraise SystemExit',
    )
    assert len(read_documents([package])) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("One  line\n   indented\twords", "One line\nindented words"),
        ("Title\n=====\n\ntext\n\n\n\nmore", "Title\n\ntext\n\nmore"),
        ("Examples\n--------\n>>> f(1)\n2\n\nAfter", "Examples\n\nAfter"),
        (">>> f(1)\n2", ""),
        ("a\u2581b \ufeffc\x00d\u202ee", "a b c d e"),
        ("e\u0301", "é"),
        ("\ud800 lone", "lone"),
        ("", ""),
    ],
)
def test_cleaning(raw, cleaned):
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


def test_documents_leave_out_tests_repeats_and_the_unreadable(tmp_path):
    root = tmp_path / "p"
    package = write_package(
        root,
        a=f'"""{PROSE} A."""',
        b=f'"""{PROSE} A.\n\n{PROSE} B."""',
        c='"""Too short."""',
        tests__d=f'"""{PROSE} D."""',
        test_e=f'"""{PROSE} E."""',
        sub__f=f'"""{PROSE} F."""',
    )
    (root / "latin.py").write_bytes(f'"""{PROSE} \xe9"""'.encode("latin-1"))
    documents = read_documents([package])
    assert [one.path for one in documents] == ["toy/a.py", "toy/b.py", "toy/sub/f.py"]
    assert documents[1].text == f"{PROSE} B."


def test_a_document_is_bounded(tmp_path):
    paragraphs = "\n\n".join(f"{number} {PROSE}" for number in range(400))
    (document,) = read_documents([write_package(tmp_path, big=f'"""{paragraphs}"""')])
    assert 0.9 * corpus.MAX_DOCUMENT_CHARS < len(document.text) <= corpus.MAX_DOCUMENT_CHARS


def test_the_split_depends_on_the_path_alone():
    share = sum(is_validation(f"package/module_{i}.py") for i in range(20_000)) / 20_000
    assert share == pytest.approx(corpus.VALIDATION_PER_MILLE / 1000, abs=0.005)


def test_the_corpus_opens_and_its_bytes_are_exact(built, numpy_package):
    folder, manifest = built
    data = open_dataset(folder)
    assert data.vocab_size == 1024
    assert data.fingerprint == manifest["fingerprint"]
    assert manifest == json.loads((folder / "manifest.json").read_text())
    assert manifest["packages"] == {"numpy": numpy_package.version}
    assert check_bytes(data.val_tokens(), data.tokenizer) == manifest["val"]["bytes"]
    (train,) = data.train_tokens()
    assert check_bytes(train, data.tokenizer) == manifest["train"]["bytes"]


def test_decoding_gives_back_every_document(built, numpy_package):
    folder, manifest = built
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert (tokenizer.pad_id(), tokenizer.bos_id(), tokenizer.unk_id()) == (0, 1, 3)
    texts = [one.text for one in read_documents([numpy_package])]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts
    assert len(texts) == manifest["train"]["documents"] + manifest["val"]["documents"]


@pytest.mark.parametrize("text", [" leading", "two  spaces", "trailing ", "\n\t", "🦊 漢\x01", ""])
def test_the_tokenizer_loses_nothing_of_any_text(built, text):
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(built[0] / "tokenizer.model"))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert not token_bytes(built[0] / "tokenizer.model").drops_first_space


def test_the_tokenizers_sample_is_drawn_by_seed(numpy_package, monkeypatch):
    texts = [one.text for one in read_documents([numpy_package])]
    monkeypatch.setattr(corpus, "TOKENIZER_SAMPLE_CHARS", 200_000)
    model = corpus.train_tokenizer(texts)
    assert corpus.train_tokenizer(texts) == model
    monkeypatch.setattr(corpus, "TOKENIZER_SEED", 1)
    assert corpus.train_tokenizer(texts) != model


def test_too_little_text_for_the_tokenizer_is_an_error():
    with pytest.raises(InputError, match="cannot be trained"):
        corpus.train_tokenizer(["a b c"])


def test_no_long_paragraph_is_in_training_and_validation(numpy_package):
    parts = {True: set(), False: set()}
    for one in read_documents([numpy_package]):
        parts[is_validation(one.path)].update(one.text.split("\n\n"))
    shared = parts[True] & parts[False]
    assert parts[True]
    assert [text for text in shared if len(text) >= corpus.REPEATED_CHARS] == []


def test_two_builds_are_the_same_bytes(built, numpy_package, tmp_path):
    folder, _ = built
    fractions = []
    build_corpus([numpy_package], tmp_path, fractions.append)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


# The cache


@pytest.fixture
def cache(tmp_path, monkeypatch, numpy_package, built):
    """A cache of its own, and a build that costs nothing."""
    monkeypatch.setenv("CAUSAL_GOLF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "installed_packages", lambda: (numpy_package,))

    def copy(packages, folder, progress=None):
        shutil.copytree(built[0], folder, dirs_exist_ok=True)

    monkeypatch.setattr(corpus, "build_corpus", copy)
    return tmp_path / "cache"


def test_the_data_set_is_built_once(cache, monkeypatch):
    folder = corpus.default_dataset()
    assert folder.parent == cache / "data"
    monkeypatch.setattr(corpus, "build_corpus", lambda *arguments: pytest.fail("built again"))
    assert corpus.default_dataset() == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_build_that_breaks_off_leaves_nothing(cache, monkeypatch):
    def broken(packages, folder, progress=None):
        (folder / "tokenizer.model").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "build_corpus", broken)
    with pytest.raises(KeyboardInterrupt):
        corpus.default_dataset()
    assert list((cache / "data").iterdir()) == []


def test_another_builder_may_finish_first(cache, monkeypatch):
    copy = corpus.build_corpus
    others = []

    def slow(packages, folder, progress=None):
        monkeypatch.setattr(corpus, "build_corpus", copy)
        others.append(corpus.default_dataset())
        copy(packages, folder)

    monkeypatch.setattr(corpus, "build_corpus", slow)
    assert [corpus.default_dataset()] == others
    assert list((cache / "data").iterdir()) == others


def test_other_versions_make_another_data_set(numpy_package):
    newer = Package("numpy", "99.0", numpy_package.root)
    assert corpus.sources_key([newer]) != corpus.sources_key([numpy_package])


def test_a_cache_that_cannot_be_written_is_named(cache):
    cache.write_text("a file in the way")
    with pytest.raises(InputError, match="CAUSAL_GOLF_CACHE") as error:
        corpus.default_dataset()
    assert str(cache) in str(error.value)


def test_no_package_is_an_error(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(corpus, "installed_packages", lambda: ())
    with pytest.raises(InputError, match="none of numpy"):
        corpus.default_dataset()
    with pytest.raises(files.InputError, match="give no corpus"):
        monkeypatch.undo()
        build_corpus([write_package(tmp_path / "p", a="x = 1")], tmp_path)
