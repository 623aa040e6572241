import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.aliases import aliases_in, load_aliases, words_of
from interventions.keywords import Guarded, Index, Text, compile_wording, fold, guarded
from scripts.causal import leaderboard
from scripts.causal.leaderboard import denials, sections, technique_evidence

PIECES = [
    "11L", " 512d ", "3x MLP", "MLP 3x", "muon ", "momentum=0.99", "weight decay ", "0.04 ", "WD=",
    "XSA on all ", "last 4 layers", " layers", "7 ", "BigramHash(2048)", "EMA(0.997)", "\n", " | ",
    "int5 MLP, int6", "GPTQ-lite", "SP8192", "TTT ", "score-first ", "LoRA", "ſoftcap 30", "İ",
    "ß", "\u212aV4", ": ", "= ", "(", ")", "warmdown 3500", "batch 786K tokens/step", "seq 2048",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("pattern", "words", "low", "high"),
    [
        (r"\bmuon\b", {"muon"}, 0, 0),
        (r"\bqk[ _-]?gain", {"gain"}, 2, 3),
        (r"(\d{1,2})[ -]?(?:KV|head)\b", {"kv", "head"}, 1, 3),
        (r"(?:soft)?cap", {"cap"}, 0, 4),
    ],
)
def test_what_a_pattern_needs_and_where(pattern, words, low, high):
    needed = compile_wording(pattern).needed
    assert needed is not None
    assert (needed.words, needed.low, needed.high) == (words, low, high)


@pytest.mark.parametrize(
    "pattern", [r"(\d)L\b", r"(?<![\w.])(\d)L\b", r"x*", r"(?:muon|\d)", r"\w{3}"]
)
def test_a_pattern_without_a_word_is_tried_everywhere(pattern):
    wording = compile_wording(pattern)
    assert wording.needed is None
    found = [m.span() for m in wording.find_all(Text("3L muon xx", Index([wording])), 99)]
    assert found == [m.span() for m in wording.pattern.finditer("3L muon xx")]


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_alias_finds_what_a_plain_scan_finds(text):
    words = words_of(text)
    able = {alias.variable for alias in aliases_in(words)}
    for alias in load_aliases().values():
        for wording in alias.wordings:
            plain = [match.span() for match in wording.pattern.finditer(text)]
            for most in (1, 200):
                found = [match.span() for match in wording.find_all(words, most)]
                assert found == plain[:most]
            assert not plain or alias.variable in able


@given(TEXTS | st.text(max_size=60))
def test_words_and_numbers_are_where_a_plain_search_finds_them(text):
    words = words_of(text)
    needed = {
        w for a in load_aliases().values() for g in a.wordings if g.needed for w in g.needed.words
    }
    plain = {
        word: [at for at in range(len(text)) if words.folded.startswith(word, at)]
        for word in needed
    }
    assert words.places == {word: places for word, places in plain.items() if places}
    assert words.numbers == [match.start() for match in re.finditer(r"(?<!\w)\d", text)]


@given(
    TEXTS | st.lists(st.sampled_from(["USE_EMA", "num_layers", "=1 ", "xuse_", " "])).map("".join)
)
def test_names_of_settings_are_where_whole_words_of_them_stand(text):
    names = {name for a in load_aliases().values() for name in (*a.env, *a.switches)}
    whole = [
        match.start()
        for match in re.finditer(r"\w+", fold(text))
        if match.group() in names or match.group().startswith("use_")
    ]
    assert words_of(text).names == whole


def test_a_lone_surrogate_moves_no_word():
    words = words_of("\ud800 muon \udfff NUM_LAYERS=1")
    assert words.places["muon"] == [2]
    assert words.names == [9]


@given(st.text(max_size=60))
def test_folding_keeps_every_offset(text):
    assert len(fold(text)) == len(text)
    assert fold("\u212aſİı") == "ksii"


def test_a_guarded_pattern_is_tried_only_beside_its_words():
    pattern = guarded(r"\b(?:no|not?|without) \w+$|never", re.IGNORECASE)
    assert pattern.words == ("never", "no", "without")
    assert pattern.search("NOT used").group() == "NOT used"
    assert pattern.search("notable") is None  # the word is there, the pattern does not match
    assert pattern.search("used") is None
    with pytest.raises(ValueError, match="no word is in every match"):
        guarded(r"\d+|none")


GUARDED = {
    name: value
    for module in (denials, sections, technique_evidence)
    for name, value in vars(module).items()
    if isinstance(value, Guarded)
}


@pytest.mark.parametrize("name", GUARDED)
@given(st.data())
def test_a_guarded_pattern_finds_what_it_finds_unguarded(name, data):
    one = GUARDED[name]
    like = st.from_regex(one.pattern) | st.sampled_from(
        [*one.words, "ſ", "\u212a", "İ", " ", "\n"]
    )
    text = data.draw(st.lists(like, max_size=5).map("".join))
    assert (one.search(text) is None) == (one.pattern.search(text) is None)


def test_guarded_patterns_of_all_readers_find_in_readmes_what_they_find_unguarded():
    records = Path(leaderboard.__path__[0]).parents[2] / "records"
    lines = {
        line
        for path in sorted(records.glob("*/*/README.md"))[::6]
        for text in (path.read_text(), path.read_text().upper())
        for line in text.split("\n")
    }
    modules = [
        importlib.import_module(f"{leaderboard.__name__}.{found.name}")
        for found in pkgutil.iter_modules(leaderboard.__path__)
    ]
    guards = {value for m in modules for value in vars(m).values() if isinstance(value, Guarded)}
    assert len(guards) > 30
    for guard in guards:
        assert guard.pattern.search("") is None
        for line in lines:
            plain = [match.span() for match in guard.pattern.finditer(line)]
            assert [match.span() for match in guard.finditer(line)] == plain
            assert (guard.search(line) is None) == (not plain)
            assert guard.sub(lambda match: "#", line) == guard.pattern.sub("#", line)
