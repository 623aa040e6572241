"""The program of `benchmarks/verdicts.py`, which says what it measures.

    python benchmarks/statistics.py [--part errors --part aa --part power] [--quick] [--json]

Programs of this folder search it before the standard library, so that whatever one of them
imports that asks for Python's own `statistics` finds this file, and is passed on.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from benchmarks.verdicts import main
    from scripts.causal.cli import run_command

    run_command(main)
else:
    python_own = Path(sysconfig.get_path("stdlib")) / "statistics.py"
    spec = importlib.util.spec_from_file_location(__name__, python_own)
    assert spec is not None and spec.loader is not None
    sys.modules[__name__] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
