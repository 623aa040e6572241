"""Several modules of this project as one self-contained Python file.

The modules that trained a model are the modules that ship: their text is joined, imports of one
another fall away, imports of libraries are gathered at the top. Nothing is rewritten, so what is
submitted is what was run.
"""

from __future__ import annotations

import ast
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PROJECT_PACKAGES = ("scripts", "trainers", "interventions")


class BundleError(Exception):
    """The modules cannot be joined: the message names the module, the line and the reason."""


@dataclass(frozen=True)
class _Part:
    """One module made ready to be joined."""

    module: str
    title: str
    imports: tuple[str, ...]
    names: frozenset[str]
    body: str


def bundle(
    modules: Sequence[str], *, title: str, constants: Mapping[str, object], entry: str
) -> str:
    """Return the text of one Python file that holds the modules and runs `entry`.

    Args:
        modules: importable names, dependencies first.
        title: the file's docstring.
        constants: name → literal value, defined before `entry` runs.
        entry: the statement under ``if __name__ == "__main__"``.

    Raises:
        BundleError: a module imports a project module that is not in the list or is not before
            it, imports one in a way that does not survive joining, or two modules define the
            same name.
    """
    parts = [_prepare(module, modules[:index]) for index, module in enumerate(modules)]
    _refuse_clashes(parts)
    sections = [f'"""{title}"""', "from __future__ import annotations"]
    sections.append("\n".join(sorted({line for part in parts for line in part.imports})))
    sections += [f"# {'-' * 8} {part.module}: {part.title}\n\n{part.body}" for part in parts]
    for name, value in constants.items():
        sections.append(f"{name} = {pprint.pformat(value, width=95, sort_dicts=False)}")
    sections.append(f'if __name__ == "__main__":\n    {entry}')
    text = "\n\n".join(section.strip("\n") for section in sections) + "\n"
    compile(text, "<bundle>", "exec", dont_inherit=True)
    return text


def _prepare(module: str, before: Sequence[str]) -> _Part:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise BundleError(f"{module}: no such module")
    source = Path(spec.origin).read_text(encoding="utf-8")
    tree = ast.parse(source)
    dropped: set[int] = set()
    imports: list[str] = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in tree.body:
            _check_import(module, node, before, top_level=False)
    for index, node in enumerate(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            if not _check_import(module, node, before, top_level=True):
                imports += _one_per_line(node)
            dropped.update(_lines_of(node))
        elif (index == 0 and _is_docstring(node)) or _is_main_guard(node):
            dropped.update(_lines_of(node))
        else:
            names |= _defined(node)
    title = (ast.get_docstring(tree) or "").split("\n")[0]
    kept = (line for number, line in enumerate(source.split("\n")) if number not in dropped)
    return _Part(module, title, tuple(imports), frozenset(names), "\n".join(kept).strip("\n"))


def _check_import(
    module: str, node: ast.Import | ast.ImportFrom, before: Sequence[str], *, top_level: bool
) -> bool:
    """True for an import of this project that falls away, False for a library's."""
    targets = (
        [alias.name for alias in node.names]
        if isinstance(node, ast.Import)
        else ["." * node.level + (node.module or "")]
    )
    ours = [name for name in targets if name.split(".")[0] in (*PROJECT_PACKAGES, "")]
    if not ours:
        return False
    place = f"{module}, line {node.lineno}: `{ast.unparse(node)}`"
    if not top_level:
        raise BundleError(f"{place}: project modules must be imported at the top of the module")
    if isinstance(node, ast.Import) or any(alias.asname for alias in node.names):
        raise BundleError(f"{place}: write `from {ours[0]} import name`, without `as`")
    if ours[0] not in before:
        raise BundleError(f"{place}: {ours[0]} is not bundled before {module}")
    return True


def _one_per_line(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return []
    single = (
        ast.Import([alias])
        if isinstance(node, ast.Import)
        else ast.ImportFrom(node.module, [alias], node.level)
        for alias in node.names
    )
    return [ast.unparse(statement) for statement in single]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {
        name.id
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }


def _lines_of(node: ast.stmt) -> range:
    return range(node.lineno - 1, node.end_lineno or node.lineno)


def _refuse_clashes(parts: Sequence[_Part]) -> None:
    owner: dict[str, str] = {}
    bound: dict[str, str] = {}
    for part in parts:
        for name in sorted(part.names):
            if owner.setdefault(name, part.module) != part.module:
                raise BundleError(f"{part.module} and {owner[name]} both define `{name}`")
        for line in part.imports:
            name = line.split()[-1].split(".")[0]
            if bound.setdefault(name, line) != line and not line.startswith("import "):
                raise BundleError(f"{part.module}: `{line}` clashes with `{bound[name]}`")
    for name in bound.keys() & owner.keys():
        raise BundleError(f"{owner[name]} defines `{name}`, which `{bound[name]}` imports")
