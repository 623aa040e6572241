"""Fetch the competition's FineWeb shards: ``python -m trainers.fineweb data --shards 1``.

What is published where (openai/parameter-golf, data/README.md and data/cached_challenge_fineweb.py
at 1a2036d): dataset repository willdepueoai/parameter-golf on Hugging Face, everything below its
folder ``datasets``, a manifest.json that names the data sets and counts their shards, shards of
100 M tokens. Other vocabularies than sp1024 were published by competitors in the same layout, for
example sp8192 in kevclark/parameter-golf.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.causal.cli import progress_bar, run_command
from scripts.causal.files import InputError, read_json
from trainers.api import Progress
from trainers.data import open_dataset
from trainers.shards import read_shard

REPOSITORY = "willdepueoai/parameter-golf"
REMOTE_ROOT = "datasets"

Download = Callable[[str], Path]
"""Takes a path inside the repository, returns where the file then lies."""


def fetch_fineweb(
    output: Path,
    variant: str = "sp1024",
    shards: int = 1,
    *,
    repository: str = REPOSITORY,
    download: Download | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch the tokenizer, all validation shards and the first training shards of a variant.

    Files that are there already are not fetched again. Every shard is checked as it arrives and
    the whole is opened, byte gate included.

    Args:
        output: folder for the repository's tree.
        variant: "sp" and the vocabulary's size.
        shards: training shards of 100 M tokens (200 MB) each.
        repository: dataset repository on Hugging Face in the competition's layout.
        download: fetches one file; left out, huggingface_hub does.
        progress: called with the fraction of files fetched.

    Returns:
        The data set's folder, for `open_dataset`.

    Raises:
        InputError: huggingface_hub is not installed, the variant or that many shards are not
            published, or a file cannot be fetched or is damaged.
    """
    if not re.fullmatch(r"sp\d{3,5}", variant) or shards < 1:
        raise InputError(
            f"variant must be sp and a number and shards at least 1, but got {variant=}, {shards=}"
        )
    get = download or _hub_download(repository, output)
    name = f"fineweb10B_{variant}"
    manifest_path = get(f"{REMOTE_ROOT}/manifest.json")
    train, val, model = _read_manifest(read_json(manifest_path), name, manifest_path)
    if shards > train:
        raise InputError(f"{name} has {train} training shards, {shards} were asked for")
    folder = f"{REMOTE_ROOT}/datasets/{name}"
    wanted = [f"{REMOTE_ROOT}/{model}"]
    wanted += [f"{folder}/fineweb_val_{number:06d}.bin" for number in range(val)]
    wanted += [f"{folder}/fineweb_train_{number:06d}.bin" for number in range(shards)]
    places = []
    for number, path in enumerate(wanted):
        places.append(get(path))
        if path.endswith(".bin"):
            read_shard(places[-1])
        if progress:
            progress((number + 1) / len(wanted))
    return open_dataset(places[-1].parent, places[0]).folder


def _read_manifest(manifest: Any, name: str, where: Path) -> tuple[int, int, str]:
    """Training shards, validation shards and the tokenizer's path of a data set."""
    try:
        entry = next((one for one in manifest["datasets"] if one["name"] == name), None)
        if entry is None:
            known = ", ".join(str(one["name"]) for one in manifest["datasets"])
            raise InputError(f"no data set {name}", where=where, mend=f"published: {known}")
        tokenizers = {one["name"]: one for one in manifest["tokenizers"]}
        model = str(tokenizers[entry["tokenizer_name"]]["model_path"])
        train, val = int(entry["stats"]["files_train"]), int(entry["stats"]["files_val"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"is not a manifest of the competition's form: {error!r}", where=where
        ) from error
    if not re.fullmatch(r"tokenizers/[\w.-]+\.model", model) or not 1 <= val <= 1000:
        raise InputError(f"names a strange tokenizer or count: {model!r}, {val}", where=where)
    return train, val, model


def _hub_download(repository: str, output: Path) -> Download:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise InputError(
            "fetching FineWeb needs huggingface_hub", mend="pip install huggingface_hub"
        ) from error

    def download(path: str) -> Path:
        try:
            return Path(
                hf_hub_download(repository, path, repo_type="dataset", local_dir=str(output))
            )
        except Exception as error:  # the hub's and its HTTP library's errors share no base
            raise InputError(
                f"cannot be fetched: {error}", where=f"huggingface.co/datasets/{repository}/{path}"
            ) from error

    return download


def main(
    output: Annotated[Path, typer.Argument(help="Folder for the download.")],
    variant: Annotated[str, typer.Option(help="sp and the vocabulary's size.")] = "sp1024",
    shards: Annotated[int, typer.Option(help="Training shards, 200 MB each.")] = 1,
    repository: Annotated[str, typer.Option(help="Dataset repository.")] = REPOSITORY,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Fetch the competition's FineWeb shards and print the data set's folder."""
    with progress_bar("fetching", quiet=quiet) as progress:
        folder = fetch_fineweb(output, variant, shards, repository=repository, progress=progress)
    print(folder)


if __name__ == "__main__":
    run_command(main)
