"""The runner killed, run twice at once, its server restarted: the same end every time."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

import scripts.causal.experiment_runner as runner
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import RawRuns
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.statistical_analysis import analyse

SEEDS = (1, 2, 3, 4, 5, 6)
KEYS = len(SEEDS) * 2 * 3  # two arms of three stages
ON_FINISH = """
    AFTER UPDATE ON stages {each}
    WHEN {open} NEW.status IN ('done', 'failed') AND OLD.status NOT IN ('done', 'failed') {close}
"""
INSERT = "INSERT INTO finishes VALUES (NEW.key);"
SQLITE = (f"CREATE TRIGGER f {ON_FINISH.format(each='', open='', close='')} BEGIN {INSERT} END",)
POSTGRES = (
    f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN {INSERT} RETURN NEW; END $$",
    f"CREATE TRIGGER f {ON_FINISH.format(each='FOR EACH ROW', open='(', close=')')} "
    "EXECUTE FUNCTION note()",
)


class Store:
    """A ledger's database that writes down every time a stage is finished."""

    def __init__(self, url, folder):
        self.url, self.folder = url, folder
        open_ledger(url, folder / "artifacts").close()
        address = sa.make_url(url)
        is_sqlite = address.get_backend_name() == "sqlite"
        driver = address if is_sqlite else address.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(driver, poolclass=sa.NullPool)
        with self._engine.begin() as connection:
            for order in (
                "CREATE TABLE finishes (key TEXT)",
                *(SQLITE if is_sqlite else POSTGRES),
            ):
                connection.exec_driver_sql(order)

    def ask(self, query):
        with self._engine.connect() as connection:
            return connection.exec_driver_sql(query).scalar_one()

    def finishes(self):
        return self.ask("SELECT count(*) FROM finishes")

    def attempts(self):
        return self.ask("SELECT sum(attempts) FROM stages")

    def assert_each_key_finished_once(self):
        assert self.finishes() == KEYS
        assert self.ask("SELECT count(DISTINCT key) FROM finishes") == KEYS
        assert self.ask("SELECT count(*) FROM stages WHERE status = 'done'") == KEYS


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, toy_installed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path / 'ledger.sqlite'}", tmp_path)
    return Store(request.getfixturevalue("postgres").new_database(), tmp_path)


def command(url, output):
    return [
        *(sys.executable, runner.__file__, "--trainer", "toy", "--scale", "slow", "--quiet"),
        *("--treatment", "activation=tanh", "--seeds", ",".join(map(str, SEEDS))),
        *("--workers", "2", "--ledger", url, "--output", str(output)),
    ]


def tables(path):
    """Raw runs without what the clock measured, and the verdicts on them."""
    raw = parse_file(RawRuns, path)
    for result in raw.runs:
        for pair in result.pairs:
            for arm in (pair.control, pair.treatment):
                arm.metrics.pop("seconds")
    return raw, analyse(raw, alpha=0.05, mde=0.005, cycles=1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, toy_path):
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(
        command(f"sqlite:///{folder / 'ledger.sqlite'}", folder / "raw.json"),
        check=True,
        env=os.environ | {"PYTHONPATH": toy_path},
    )
    return tables(folder / "raw.json")


def wait_for(store, process, goal):
    while process.poll() is None and store.finishes() < goal:
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("store", "kills"),
    [
        ("sqlite", 2),
        pytest.param("sqlite", 20, marks=pytest.mark.slow),
        pytest.param("postgres", 20, marks=pytest.mark.slow),
    ],
    indirect=["store"],
)
def test_killed_at_any_moment_it_comes_to_the_same_end(store, undisturbed, kills):
    moments, killed, output = random.Random(kills), 0, store.folder / "raw.json"
    for number in range(kills):
        with subprocess.Popen(command(store.url, output), start_new_session=True) as process:
            goal = store.finishes() + moments.randrange(KEYS // (kills + 1) + 1)
            wait_for(store, process, goal)
            time.sleep(moments.uniform(0, 0.1))
            killed += process.poll() is None
            if number % 2:  # it and its workers at the same moment, as by a cut of power
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
    assert killed >= kills * 2 // 3
    subprocess.run(command(store.url, output), check=True)
    assert tables(output) == undisturbed
    store.assert_each_key_finished_once()
    written = output.read_bytes()
    subprocess.run(command(store.url, output), check=True)
    assert output.read_bytes() == written
    store.assert_each_key_finished_once()


def test_two_runners_share_one_ledger(store, undisturbed):
    outputs = [store.folder / name for name in ("a.json", "b.json")]
    both = [subprocess.Popen(command(store.url, output)) for output in outputs]
    assert [process.wait(60) for process in both] == [0, 0]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert tables(outputs[0]) == undisturbed
    store.assert_each_key_finished_once()
    assert store.attempts() == KEYS


def test_a_server_restarted_in_the_middle_is_waited_for(postgres, tmp_path, toy_installed):
    store, outputs = (
        Store(postgres.new_database(), tmp_path),
        [tmp_path / "a.json", tmp_path / "b"],
    )
    both = [
        subprocess.Popen(command(store.url, output), cwd=tmp_path, stderr=subprocess.PIPE)
        for output in outputs
    ]
    for goal in (4, 14):
        wait_for(store, both[0], goal)
        postgres.stop()
        time.sleep(0.5)  # every worker meets a server that is not there
        postgres.start()
    assert [process.communicate(timeout=60)[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    store.assert_each_key_finished_once()
    # A claim whose commit was never answered is made again; no more than one a worker and stop.
    assert KEYS <= store.attempts() <= KEYS + 2 * 4


def test_a_server_that_stays_away_is_named_and_the_run_goes_on_later(postgres, tmp_path):
    ledger = open_ledger(postgres.new_database(), tmp_path)
    ledger._database._patience = 0.5
    ledger.remember("a", 1)
    postgres.stop()
    try:
        began = time.monotonic()
        with pytest.raises(InputError, match="the ledger cannot be used"):
            ledger.recall("a")
        assert time.monotonic() - began < 5
        with pytest.raises(InputError, match="the ledger cannot be used"):
            open_ledger(ledger.url, tmp_path)
    finally:
        postgres.start()
    assert ledger.recall("a") == 1
    ledger.close()


def test_no_password_is_printed(postgres, tmp_path):
    place = str(Path(postgres.folder) / "nowhere")
    with pytest.raises(InputError, match="the ledger cannot be used") as error:
        open_ledger(f"postgresql://golf:secret@/none?host={place}", tmp_path)
    assert "secret" not in str(error.value)
