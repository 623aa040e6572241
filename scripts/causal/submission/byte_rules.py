"""Rules on the bytes of a folder: what counts, how much there is, and what is stated of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from scripts.causal.submission.claims import Claims
from scripts.causal.submission.facts import CAP_BYTES, ListedFile
from scripts.causal.submission.folder import Folder
from scripts.causal.submission.verdicts import Verdict, decided, failed, open_question, passed

_OVER = f"over {CAP_BYTES:,}"


def plain_files(folder: Folder) -> Verdict:
    """Nothing but plain files: a link leads to bytes that nobody counted."""
    faults = [f"{name}: {why}" for name, why in folder.refused.items()]
    return decided("plain files", faults, [f"{len(folder.sizes)} files"], "")


def under_cap(folder: Folder, stated: Sequence[Claims]) -> Verdict:
    """Every file that counts, together, is 16,000,000 bytes or less.

    Where the model, or all, is not in the folder, the bytes that are stated stand for it.

    Args:
        stated: the documents, the one to be believed most first.
    """
    rule, counted = "bytes under the cap", folder.counted
    code = sum(size for name, size in counted.items() if name.endswith(".py"))
    model = sum(counted.values()) - code
    if model:
        total = code + model
        words = f"{total:,} bytes on disk ({code:,} of code + {model:,} of model)"
        return passed(rule, words) if total <= CAP_BYTES else failed(rule, f"{words}, {_OVER}")
    if code and (sizes := _model_sizes(stated)):
        total = code + max(sizes)
        words = f"{code:,} bytes of code on disk + {max(sizes):,} of model stated = {total:,}"
    elif totals := [one.total for one in stated if one.total is not None]:
        total = totals[0]
        words = f"{total:,} bytes are stated"
    else:
        return open_question(rule, "no model in the folder, and no bytes stated")
    if total > CAP_BYTES:
        return failed(rule, f"{words}, {_OVER}")
    return open_question(rule, f"{words}; the model is not in the folder")


def files_as_listed(
    found: Mapping[str, ListedFile], listed: Mapping[str, ListedFile] | None
) -> Verdict:
    """Every file but README and submission.json is listed with its bytes, and none besides.

    Args:
        found: what lies on disk.
        listed: what submission.json lists; None where it lists nothing.
    """
    rule = "files as listed"
    if listed is None:
        return open_question(rule, "submission.json lists no files")
    faults = []
    for name in sorted({*found, *listed}):
        here, there = found.get(name), listed.get(name)
        if here is None or there is None:
            faults.append(f"{name}: {'not on disk' if here is None else 'not listed'}")
        elif here != there:
            what = "other contents" if here.size == there.size else f"{here.size:,} bytes"
            faults.append(f"{name}: {there.size:,} bytes listed, {what} on disk")
    return decided(rule, faults, [f"{len(found)} files, each with its SHA-256"], "")


def bytes_as_stated(folder: Folder, stated: Sequence[Claims], readme: str | None) -> Verdict:
    """What is stated adds up, is the same everywhere, and is what lies on disk."""
    counted = folder.counted
    code = sum(size for name, size in counted.items() if name.endswith(".py"))
    model = sum(counted.values()) - code
    faults: list[str] = []
    kept: list[str] = []
    for one in stated:
        if one.code is not None and one.model is not None and one.total is not None:
            adds = one.code + one.model == one.total
            words = f"{one.file}: {one.code:,} + {one.model:,} and {one.total:,} in all"
            (kept if adds else faults).append(words)
        for part, said, found in (
            ("code", one.code, code),
            ("model", one.model, model),
            ("the first seed's model, which ships", _first_model(one), model),
            ("all", one.total, code + model if code and model else 0),
        ):
            if said is not None and found:
                words = f"{one.file}: {said:,} bytes of {part}, {found:,} on disk"
                (kept if said == found else faults).append(words)
    totals = [(one.file, one.total) for one in stated if one.total is not None]
    for (first, total), (second, other) in pairwise(totals):
        words = f"bytes in all: {first} {total:,}, {second} {other:,}"
        if not 0.8 < total / other < 1.25:
            continue  # parameters, say, or the weights before they are packed
        written = readme is not None and (f"{total:,}" in readme or str(total) in readme)
        (kept if total == other or written else faults).append(words)
    unknown = "no bytes are stated that could be compared"
    return decided(
        "bytes as stated", faults, [f"{len(kept)} counts agree"] if kept else [], unknown
    )


def _model_sizes(stated: Iterable[Claims]) -> list[int]:
    sizes = []
    for one in stated:
        sizes += [seed.model for seed in one.seeds.values() if seed.model]
        if one.model:
            sizes.append(one.model)
    return sizes


def _first_model(one: Claims) -> int | None:
    seeds = list(one.seeds.values())
    return seeds[0].model if seeds else None
