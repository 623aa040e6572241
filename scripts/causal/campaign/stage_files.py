"""The files of finished stages: one folder each, complete from the moment it has its name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from scripts.causal.files import canonical_json
from trainers.api import StageResult

RESULT_FILE = "stage_result.json"


class StageFiles:
    """Folders ``<root>/<kk>/<key>/``, kk being the key's first two characters.

    Work goes on in ``<root>/tmp``, on the same file system, and is renamed when it is complete.
    """

    def __init__(self, root: Path):
        self.root = root

    def folder(self, key: str) -> Path:
        """Where the files of a finished stage lie."""
        return self.root / key[:2] / key

    def begin(self, key: str, attempt: int) -> Path:
        """An empty folder to work in; what earlier attempts left is removed."""
        for left in (self.root / "tmp").glob(f"{key}.*"):
            shutil.rmtree(left, ignore_errors=True)
        work = self.root / "tmp" / f"{key}.{attempt}"
        work.mkdir(parents=True)
        return work

    def seal(self, work: Path, key: str, result: StageResult) -> None:
        """Write into the folder what was measured, and everything in it to the disk itself."""
        text = canonical_json({"key": key, **result_values(result)})
        (work / RESULT_FILE).write_text(text, encoding="utf-8")
        # A power cut must not leave the final name standing for empty files.
        for path in work.rglob("*"):
            if path.is_file():
                _flush(path)
        _flush(work)

    def publish(self, work: Path, key: str) -> Path:
        """Give a sealed folder its final name; one that has it already keeps it."""
        final = self.folder(key)
        if not work.exists() and self.stored(key) is not None:
            return final  # a repeated transaction: the first one's commit was lost
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():  # deleted in part, or left by a claim that was thought lost
            shutil.rmtree(final)
        work.rename(final)
        _flush(final.parent)
        return final

    def stored(self, key: str) -> StageResult | None:
        """What a finished stage's folder says was measured; None where there is no such folder."""
        try:
            stored = json.loads((self.folder(key) / RESULT_FILE).read_text(encoding="utf-8"))
            if stored["key"] == key:
                return StageResult(metrics=stored["metrics"], curves=stored["curves"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None


def result_values(result: StageResult) -> dict[str, dict[str, float] | dict[str, list[float]]]:
    """A result as JSON values."""
    return {"metrics": dict(result.metrics), "curves": dict(result.curves)}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
