"""Keys of stages: equal keys mean equal outputs, so nothing is ever computed twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from scripts.causal.files import canonical_json, digest

KEY_LENGTH = 32  # hex digits: 128 bits


@cache
def code_version(modules: tuple[str, ...], packages: tuple[str, ...] = ()) -> str:
    """Hash of the modules' source text and of the versions of the packages that do the sums.

    Args:
        modules: names of this project's modules; they are read, not imported.
        packages: names of installed distributions, for example ("torch",).

    Raises:
        ModuleNotFoundError: a module has no source file.
    """
    parts = []
    for name in sorted(modules):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no source file for module {name}")
        parts += [name, Path(spec.origin).read_text(encoding="utf-8")]
    for name in sorted(packages):
        parts += [name, _version(name)]
    return digest(*parts)


def stage_key(
    *,
    stage: str,
    trainer: str,
    backend: str,
    fields: Mapping[str, bool | int | float | str],
    seed: int,
    data: str,
    code: str,
    parent: str | None,
) -> str:
    """Key of one stage of one run, 32 hex digits.

    The scale's name is no part of it: two scales that resolve to one configuration are one run.

    Args:
        stage: kind of the stage.
        trainer: registered name.
        backend: where and in what precision it computes.
        fields: the configuration fields that this stage reads.
        seed: root of the run's random streams.
        data: fingerprint of the data set.
        code: version of the code that this stage runs.
        parent: key of the stage before.
    """
    parts = {
        "stage": stage,
        "trainer": trainer,
        "backend": backend,
        "fields": dict(fields),
        "seed": seed,
        "data": data,
        "code": code,
        "parent": parent,
    }
    return digest(canonical_json(parts))[:KEY_LENGTH]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
