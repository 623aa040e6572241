from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from scripts.causal.leaderboard.document import parse_document, plain
from scripts.causal.leaderboard.markdown_blocks import TABLE, block_tokens

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
        index, inside = document.place_of(document.text.index(word))
        assert document.blocks[index].line + inside == line


def test_markup_and_look_alikes_are_made_one():
    assert plain("**LeakyReLU(0.5)²** −0.0026 – `x`") == "LeakyReLU(0.5)^2 -0.0026 - x"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
@example("```")
def test_any_text_parses_and_lines_stay_inside_the_file(text):
    document = parse_document(text)
    for block in document.blocks:
        assert 1 <= block.line <= len(document.lines)
    assert len(document.text) >= 0
    for offset in range(0, len(document.text), 17):
        index, inside = document.place_of(offset)
        assert 1 <= document.blocks[index].line + inside <= len(document.lines) + 1


def test_hostile_nesting_and_long_lines_are_bounded():
    nested = ">" * 5_000 + " deep\n" + "- " * 3_000 + "x\n" + "[" * 20_000 + "\n" + "|" * 64_000
    document = parse_document(nested)
    assert max(map(len, document.lines)) <= 8_000


LINES = [
    "", "text", "    code", "# title", "===", "---", "***", "- item", "  - item", "* * *",
    "1. one", "> quote", ">", "```", "~~~", "<div>", "<!-- x -->", "[a]: /b",
    "|a|b|", "|-|-|", "a|b", "-|-", r"|a\|b|", "a", "  |a|b|c|", "|",
    "\ttext", "   1) x", "+", "_ _ _", "٣. x", "\u00a0- x",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12).map("\n".join))
def test_what_is_asked_of_fewer_rules_and_made_of_fewer_tokens_is_the_same(text):
    usual = MarkdownIt("commonmark", {"maxNesting": 30}).enable("table").parse(text)
    assert [_told(token) for token in block_tokens(text)] == list(_tables_in_one(usual))


def _tables_in_one(tokens):
    inside, rows = False, []
    for token in tokens:
        if token.type == "table_open":
            inside, rows, whole = True, [], token
        elif token.type == "tr_open":
            rows.append((token.map[0], []))
        elif token.type == "table_close":
            inside = False
            yield (TABLE, whole.map, whole.level, "", "table", 0, rows)
        elif inside and token.type == "inline":
            rows[-1][1].append(token.content)
        elif not inside:
            yield _told(token)


def _told(token):
    return (
        token.type,
        token.map,
        token.level,
        token.content,
        token.tag,
        token.nesting,
        [(at, [cell.strip() for cell in cells]) for at, cells in token.meta["rows"]]
        if token.type == TABLE
        else [],
    )
