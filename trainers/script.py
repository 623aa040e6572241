"""Any competition script as a trainer: ``script:PATH/train_gpt.py`` (or ``train_gpt_mlx.py``).

A configuration is what the script reads from the environment (`trainers.script_env`); a run is
one process, or N under torchrun, whose log is read as it streams (`trainers.script_log`) while it
is watched (`trainers.script_process`). The script trains, quantizes and evaluates by itself, so a
run is one stage, keyed by the script's content, what the environment says, seed and data.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from scripts.causal.files import InputError, digest, write_text
from trainers.api import (
    Config,
    ConfigValue,
    Progress,
    RunSpec,
    StageKind,
    StagePlan,
    StageResult,
)
from trainers.data import DataSet, open_dataset
from trainers.keys import code_version, stage_key
from trainers.script_env import (
    RESERVED,
    Setting,
    environment,
    read_settings,
    unread,
)
from trainers.script_log import LOG_FORMAT, RunLog
from trainers.script_process import Limits, command_line, keep_small_files, watch
from trainers.script_source import content_hash, imported, read_source

CAP = "MAX_WALLCLOCK_SECONDS"
CAP_SECONDS = 600.0  # the competition's, for training; evaluation may take as long again
GRACE_SECONDS = 1800.0  # start-up and compiling, quantization, evaluation
SILENCE_SECONDS = 900.0  # the slowest records evaluate for ten minutes without a word
LOG_FILE, SOURCE_FILE = "console.log", "train_gpt.py"
RUN_ID = "run"  # scripts name their log files by it
MAX_LOG_BYTES = 16 * 1024 * 1024
DEFAULT_DATA = "data/datasets"  # the competition's layout, below the script's folder or this one
SCALES: dict[str, dict[str, ConfigValue]] = {
    "record": {CAP: CAP_SECONDS},
    "minute": {CAP: 60.0},  # to see that all is in place; its scores mean nothing
}


class ScriptTrainer:
    """Implements `trainers.api.Trainer` for one script.

    Args:
        script: the script; by default the ``train_gpt.py`` of the current folder.
        grace: seconds beyond the cap on training that a run may take as a whole.
        silence: seconds without a line after which it counts as hanging.
    """

    def __init__(
        self,
        script: str = "train_gpt.py",
        *,
        grace: float = GRACE_SECONDS,
        silence: float = SILENCE_SECONDS,
    ):
        self.script = Path(script).absolute()
        self.name = f"script:{self.script}"
        self._grace, self._silence = grace, silence

    def settings(self) -> dict[str, Setting]:
        """Field → the environment variable that the script reads it from.

        Raises:
            InputError: the script is missing or no Python.
        """
        return _settings(self.script, content_hash(self.script))

    def resolve(self, scale: str, overrides: Config) -> dict[str, ConfigValue]:
        """The script's own defaults with the scale's cap and the overrides on top.

        Raises:
            InputError: no such scale, a field that the script does not read, or a value that it
                cannot take.
        """
        if scale not in SCALES:
            raise InputError(f"the script trainer has no scale {scale!r}", mend=", ".join(SCALES))
        settings = self.settings()
        own = {name: known.default for name, known in settings.items()}
        config = {name: value for name, value in own.items() if value is not None}
        config |= {name: value for name, value in SCALES[scale].items() if name in settings}
        for name, value in overrides.items():
            if name not in settings:
                raise unread(name)
            settings[name].text(value)  # the check
            whole = settings[name].kind == "int" and isinstance(value, float)
            config[name] = int(value) if whole else value
        return config

    def backends(self) -> list[str]:
        """``library-device-processes``, best first; more processes than one run by torchrun."""
        if "mlx" in imported(read_source(self.script)):
            metal = sys.platform == "darwin" and os.uname().machine == "arm64"
            return ["mlx-gpu-1"] if metal else ["mlx-cpu-1"]
        return [*(f"torch-cuda-{n}" for n in (8, 4, 2, 1) if n <= _gpus()), "torch-cpu-1"]

    def default_data(self, progress: Progress | None = None) -> str:
        """Folder of shards: DATA_PATH, or the one in data/datasets beside script or in here.

        Raises:
            InputError: there is none, or more than one.
        """
        if named := os.environ.get("DATA_PATH"):
            return str(Path(named).absolute())
        places = dict.fromkeys([Path.cwd() / DEFAULT_DATA, self.script.parent / DEFAULT_DATA])
        found = [path for place in places for path in sorted(place.glob("*_sp*")) if path.is_dir()]
        if len(found) != 1:
            raise InputError(
                f"{len(found) or 'no'} data sets in {DEFAULT_DATA}",
                mend="name one with --data, or fetch it: python -m trainers.fineweb --help",
            )
        return str(found[0])

    def stages(self, spec: RunSpec) -> tuple[StagePlan, ...]:
        """The one stage of a run.

        Raises:
            InputError: a configuration or backend that the script cannot take, or data that does
                not fit it.
        """
        data, content = _dataset(spec.data), content_hash(self.script)
        vocabulary = spec.config.get("vocab_size", data.vocab_size)
        if vocabulary != data.vocab_size:
            raise InputError(
                f"`vocab_size` must be the data set's {data.vocab_size}, but got {vocabulary}",
                where=spec.data,
            )
        library, _, _ = _parts(spec.backend)
        env = environment(self.settings(), spec.config)
        key = stage_key(
            stage=StageKind.TRAIN.value,
            trainer="script",
            backend=spec.backend,
            fields=env,
            seed=spec.seed,
            data=data.fingerprint,
            code=digest(content, code_version((), (library,)), str(LOG_FORMAT)),
            parent=None,
        )
        return (StagePlan(kind=StageKind.TRAIN, key=key, parent=None, spec=spec),)

    def command(self, backend: str) -> list[str]:
        """The command of a run: plain Python for one process, torchrun for more.

        Raises:
            InputError: no backend of this form.
        """
        _, _, processes = _parts(backend)
        if processes == 1:
            return [sys.executable, str(self.script)]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, f"--nproc_per_node={processes}", str(self.script)]

    def environment(self, config: Config, seed: int) -> dict[str, str]:
        """What the environment says of a run, without the paths of its data."""
        return {**environment(self.settings(), config), "SEED": str(seed), "RUN_ID": RUN_ID}

    def paths(self, data: str) -> dict[str, str]:
        """What the environment says of a data set.

        Raises:
            InputError: it cannot be opened.
        """
        opened = _dataset(data)
        return {
            "DATA_PATH": str(opened.folder.absolute()),
            "TOKENIZER_PATH": str(opened.tokenizer.absolute()),
        }

    def execute(
        self,
        plan: StagePlan,
        parent: Path | None,
        output: Path,
        progress: Progress | None = None,
    ) -> StageResult:
        """Run the script; its log and its small files are kept in `output`.

        Raises:
            RunFailed: it diverged, crashed, hung, took too long or ended without its final line.
            InputError: the script is not the one that the run was planned with.
        """
        spec = plan.spec
        if self.stages(spec)[-1].key != plan.key:
            raise InputError("has changed since the campaign started", where=self.script)
        cap = _cap(spec.config) or CAP_SECONDS
        log, started = RunLog(), time.monotonic()
        write_text(output / SOURCE_FILE, read_source(self.script))
        with (output / LOG_FILE).open("w", encoding="utf-8") as file:
            said = {
                **self.paths(spec.data),
                "RUN_ID": RUN_ID,
                **self.environment(spec.config, spec.seed),
            }
            command = self.command(spec.backend)
            print(command_line(said, command), file=file)
            written = 0

            def hear(line: str) -> None:
                nonlocal written
                written += len(line)
                if written < MAX_LOG_BYTES:
                    print(line, file=file)
                log.hear(line)
                if progress is not None:
                    progress(_done(log, cap))

            watch(
                command,
                env={**self._inherited(), **said},
                cwd=output,
                limits=Limits(wall=cap + self._grace, silence=self._silence),
                hear=hear,
            )
        result = log.result(time.monotonic() - started, _cap(spec.config))
        keep_small_files(output)
        return result

    def flops_per_step(self, config: Config) -> float:
        """0: what a stranger's step costs is not known here; arms are matched by wall time."""
        return 0.0

    def parameters(self, config: Config) -> int:
        """0: not known before the script says it (metric ``parameters``)."""
        return 0

    def artifact_file(self, config: Config) -> str:
        """None: a script packs its model itself, under a name of its own."""
        return ""

    def workbench(self, spec: RunSpec) -> NoReturn:
        """Refused: a script is run as it stands.

        Raises:
            InputError: always.
        """
        raise InputError("the runs of a script cannot be looked into", where=self.script)

    def source_modules(self, backend: str) -> tuple[str, ...]:
        """None of this project's: the script is complete in itself."""
        return ()

    def _inherited(self) -> dict[str, str]:
        """This process's environment without what would tell the script something unrecorded."""
        ours = {known.env for known in self.settings().values()} | (
            RESERVED - {"PATH", "HOME", "TMPDIR", "USER"}
        )
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "PYTHONUNBUFFERED": "1"}


def _parts(backend: str) -> tuple[str, str, int]:
    """Library, device and number of processes of a backend."""
    library, _, rest = backend.partition("-")
    device, _, count = rest.partition("-")
    if library not in ("torch", "mlx") or not device or not count.isdecimal() or int(count) < 1:
        raise InputError(
            f"the script trainer has no backend {backend!r}",
            mend="library-device-processes, for example torch-cuda-8",
        )
    return library, device, int(count)


def _cap(config: Config) -> float | None:
    """Seconds of training that a run may take: a record's unless it says otherwise; 0 for none."""
    value = config.get(CAP, CAP_SECONDS)
    seconds = float(value) if isinstance(value, int | float) else CAP_SECONDS
    return seconds if seconds > 0 else None


def _done(log: RunLog, cap: float) -> float:
    by_steps = log.step / log.steps if log.steps else 0.0
    return min(1.0, max(by_steps, (log.train_seconds or 0.0) / cap))


@cache
def _settings(script: Path, content: str) -> dict[str, Setting]:
    return read_settings(script)


@cache
def _gpus() -> int:
    if find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


@cache
def _dataset(folder: str) -> DataSet:
    return open_dataset(Path(folder))
