"""Does README.md keep its word: links that lead somewhere, commands that exist as written.

Checked are relative links and images (and anchors into the README itself), every
``python scripts/causal/X.py --option`` in a code block against the script's own ``--help``, and
the two marked commands that set up and run, and set up and test. Exit 1 with one line per fault.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Marker in the README → what its command must call.
SET_UP_COMMANDS = {"run command": "scripts/causal/run_pipeline.py", "test command": "pytest"}
SCRIPT = re.compile(r"(?:^|/)(scripts/causal/[\w/]+\.py)$")
PYTHON = re.compile(r"(?:^|/)python[\d.]*$")
HELP_SECONDS = 120


def problems(readme: Path) -> list[str]:
    """Every way in which a README breaks its word, ``README.md:LINE: what``; empty if none.

    Links and scripts are looked for in the README's own folder.
    """
    text = readme.read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    found = [*_bad_links(tokens, readme.parent), *_bad_commands(tokens, readme.parent)]
    return [f"{readme.name}:{line}: {what}" for line, what in sorted(found)] + [
        f"{readme.name}: {what}" for what in _missing_set_up(text)
    ]


def _bad_links(tokens: list[Token], root: Path) -> Iterator[tuple[int, str]]:
    anchors = set(_anchors(tokens))
    for block in tokens:
        line = block.map[0] + 1 if block.map else 0
        for token in block.children or ():
            target = str(token.attrGet("href") or token.attrGet("src") or "")
            if not target or re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE):
                continue
            path, _, anchor = unquote(target).partition("#")
            if path and not (root / path).exists():
                yield line, f"link to {path}, which does not exist"
            elif not path and anchor not in anchors:
                yield line, f"link to #{anchor}, but no heading has that anchor"


def _anchors(tokens: list[Token]) -> Iterator[str]:
    """The anchors GitHub gives headings: lower case, punctuation gone, spaces to hyphens."""
    seen: dict[str, int] = {}
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(t.content for t in content.children or () if t.type != "image")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
            number = seen.get(slug, 0)
            seen[slug] = number + 1
            yield f"{slug}-{number}" if number else slug


def _bad_commands(tokens: list[Token], root: Path) -> Iterator[tuple[int, str]]:
    known: dict[str, set[str] | str] = {}
    for token in tokens:
        if token.type not in ("fence", "code_block") or token.map is None:
            continue
        for script, options in _calls(token.content):
            line = token.map[0] + 1
            if not (root / script).is_file():
                yield line, f"command runs {script}, which does not exist"
                continue
            if script not in known:
                known[script] = _options_of(root, script)
            offered = known[script]
            if isinstance(offered, str):
                yield line, f"{script} --help fails: {offered}"
                continue
            for option in options:
                if option not in offered:
                    yield line, f"{script} has no option {option}"


def _calls(block: str) -> Iterator[tuple[str, list[str]]]:
    """The scripts a code block runs, each with the options it is given."""
    for line in block.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\|\||[;|]", line):
            try:
                words = shlex.split(command, comments=True)
            except ValueError:
                words = command.split()
            for position in range(1, len(words)):
                match = SCRIPT.search(words[position])
                if match and PYTHON.search(words[position - 1]):
                    given = (word.strip("[]").split("=")[0] for word in words[position + 1 :])
                    yield match[1], [word for word in given if re.match(r"--?[A-Za-z]", word)]


def _options_of(root: Path, script: str) -> set[str] | str:
    """The options that a script's help lists, or the last line of why there is none."""
    environment = {**os.environ, "COLUMNS": "240", "NO_COLOR": "1", "TERM": "dumb"}
    try:
        done = subprocess.run(
            [sys.executable, script, "--help"],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=HELP_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {HELP_SECONDS} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {option for line in done.stdout.splitlines() for option in _listed_options(line)}


def _listed_options(line: str) -> Iterator[str]:
    """Options stand at the left of a help line, among placeholders like INPUT and <path>.

    After the first ordinary word an option is only talked about.
    """
    for word in re.split(r"[\s,/│|*]+", line.strip(" │|*")):
        if re.fullmatch(r"--?[A-Za-z][\w-]*", word):
            yield word
        elif not re.fullmatch(r"<.*>|[^a-z]+", word):
            return


def _missing_set_up(text: str) -> Iterator[str]:
    for marker, call in SET_UP_COMMANDS.items():
        place = f"<!-- {marker} -->"
        match = re.search(
            rf"{re.escape(place)}\s*```\w*\n(.*?)\n```\s*<!-- end -->", text, re.DOTALL
        )
        if match is None:
            yield f"no code block between {place} and <!-- end -->"
        elif call not in match[1]:
            yield f"the {marker} does not call {call}"


def main() -> int:
    """Check the README beside this folder, or the one named; 1 if anything is wrong."""
    default = Path(__file__).resolve().parents[1] / "README.md"
    readme = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    if not readme.is_file():
        print(f"{readme}: no such file")
        return 1
    found = problems(readme)
    print("\n".join(found) if found else f"{readme.name}: links and commands hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
