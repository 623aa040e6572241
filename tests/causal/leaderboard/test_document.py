from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from scripts.causal.leaderboard import document
from scripts.causal.leaderboard.document import parse_document, plain

README = """# A **title**

Two lines of
prose with `code`.

## Results

- first
- [linked](https://example.org/a_(b)) ×3

| Seed | val_bpb |
|-----:|--------:|
| 42   | **1.1** |
| 7    | 1.2     |

```bash
NUM_LAYERS=11 \\
SEED=7 python train.py
```
"""


def test_blocks_carry_their_line_and_the_headings_above():
    blocks = parse_document(README).blocks
    assert [(b.kind, b.line) for b in blocks] == [
        ("heading", 1), ("paragraph", 3), ("heading", 6), ("item", 8), ("item", 9),
        ("row", 11), ("row", 13), ("row", 14), ("code", 17),
    ]  # fmt: skip
    assert blocks[1].text == "Two lines of\nprose with code."
    assert blocks[4].text == "linked x3"
    assert blocks[4].section == ("A title", "Results")


def test_tables_have_header_rows_and_lines():
    (table,) = parse_document(README).tables
    assert table.header == ("Seed", "val_bpb")
    assert [(row.cells, row.line) for row in table.rows] == [
        (("42", "1.1"), 13),
        (("7", "1.2"), 14),
    ]
    assert table.line == 11


def test_an_offset_of_the_whole_text_finds_its_line():
    document = parse_document(README)
    for word, line in (("prose", 4), ("SEED=7", 18), ("1.2", 14)):
        assert document.block_at(document.text.index(word))[1] == line


def test_markup_and_look_alikes_are_made_one():
    assert plain("**LeakyReLU(0.5)²** −0.0026 – `x`") == "LeakyReLU(0.5)^2 -0.0026 - x"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_any_text_parses_and_lines_stay_inside_the_file(text):
    document = parse_document(text)
    for block in document.blocks:
        assert 1 <= block.line <= len(document.lines)
    assert len(document.text) >= 0
    for offset in range(0, len(document.text), 17):
        assert 1 <= document.block_at(offset)[1] <= len(document.lines) + 1


def test_hostile_nesting_and_long_lines_are_bounded():
    nested = ">" * 5_000 + " deep\n" + "- " * 3_000 + "x\n" + "[" * 20_000 + "\n" + "|" * 64_000
    document = parse_document(nested)
    assert max(map(len, document.lines)) <= 8_000


LINES = [
    "", "text", "    code", "# title", "===", "---", "***", "- item", "  - item", "* * *",
    "1. one", "> quote", ">", "```", "~~~", "<div>", "<!-- x -->", "[a]: /b",
    "|a|b|", "|-|-|", "a|b", "-|-",
    "\ttext", "   1) x", "+", "_ _ _", "٣. x", "\u00a0- x",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12).map("\n".join))
def test_asking_rules_by_a_lines_first_mark_changes_no_block(text):
    usual = MarkdownIt("commonmark", {"maxNesting": 30}).enable("table").parse(text)
    quick = document._PARSER.parse(text)
    assert [_told(token) for token in quick] == [_told(token) for token in usual]


def _told(token):
    return (
        token.type,
        token.map,
        token.level,
        token.content,
        token.markup,
        token.info,
        token.hidden,
    )
