"""The contract of the ledger, run over every back end."""

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.owner import is_gone, this_owner
from scripts.causal.campaign.stage_files import RESULT_FILE
from scripts.causal.campaign.states import Busy, Claimed, ClaimLost, Done, Failed
from scripts.causal.files import InputError
from trainers.api import RunSpec, StageKind, StagePlan, StageResult

SPEC = RunSpec("toy", "numpy-cpu-float64", "tiny", {"model_dim": 8, "rate": 0.5}, 7, "toy-data")
RESULT = StageResult(metrics={"val_bpb": 1.25}, curves={"step": [1.0, 2.0]})
AWAY = "another-host|17|0|abcd"  # its processes cannot be looked up from here


def plan(key="aa11", parent=None):
    return StagePlan(kind=StageKind.TRAIN, key=key, parent=parent, spec=SPEC)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def ledger(url, tmp_path, clock):
    ledger = Ledger(url, tmp_path / "artifacts", lease=60, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def dead():
    """The owner that a process was, which has ended."""
    code = "from scripts.causal.campaign.owner import this_owner; print(this_owner())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


class TestLedger:
    def test_a_stage_is_claimed_computed_and_read(self, ledger):
        claim = ledger.claim(plan(parent="0f"), "me")
        assert isinstance(claim, Claimed)
        assert list(claim.folder.iterdir()) == []
        (claim.folder / "weights").write_bytes(b"123")
        done = ledger.finish(claim, RESULT)
        assert (done.folder / "weights").read_bytes() == b"123"
        assert done.folder == ledger.artifacts / "aa" / "aa11"
        assert not claim.folder.exists()
        row = ledger.get("aa11")
        assert (row.status, row.kind, row.parent, row.attempts) == ("done", "train", "0f", 1)
        assert row.result == RESULT
        assert row.spec == {**vars(SPEC)}
        assert ledger.claim(plan(), "you") == Done("aa11", RESULT, done.folder)
        assert [item.key for item in ledger.rows()] == ["aa11"]

    def test_what_somebody_alive_holds_is_busy(self, ledger, clock):
        mine, yours = this_owner(), this_owner()
        ledger.claim(plan(), mine)
        clock.now += 10_000  # a living process of this host needs no heartbeat
        assert ledger.claim(plan(), yours) == Busy("aa11", mine)

    def test_the_claim_of_an_ended_process_is_taken_over_at_once(self, ledger, dead):
        left = ledger.claim(plan(), dead)
        (left.folder / "half").write_text("written")
        claim = ledger.claim(plan(), this_owner())
        assert isinstance(claim, Claimed)
        assert claim.attempt == 2
        assert not left.folder.exists()
        assert list(claim.folder.iterdir()) == []

    def test_a_claim_from_another_host_is_taken_over_when_its_heart_has_stopped(
        self, ledger, clock
    ):
        theirs = ledger.claim(plan(), AWAY)
        clock.now += 59
        assert isinstance(ledger.claim(plan(), "me|"), Busy)
        ledger.heartbeat(theirs)
        clock.now += 59
        assert isinstance(ledger.claim(plan(), "me|"), Busy)
        clock.now += 2
        assert isinstance(ledger.claim(plan(), "me|"), Claimed)

    def test_who_lost_a_claim_cannot_record_over_the_new_owner(self, ledger, clock):
        slow = ledger.claim(plan(), AWAY)
        clock.now += 61
        claim = ledger.claim(plan(), this_owner())
        slow.folder.mkdir()  # it goes on writing, unaware
        with pytest.raises(ClaimLost):
            ledger.heartbeat(slow)
        with pytest.raises(ClaimLost):
            ledger.finish(slow, StageResult(metrics={"val_bpb": 99.0}))
        with pytest.raises(ClaimLost):
            ledger.fail(slow, "too late")
        ledger.release(slow)
        ledger.finish(claim, RESULT)
        assert ledger.get("aa11").result == RESULT

    def test_a_crash_between_folder_and_row_is_mended_from_the_folder(self, ledger, dead):
        claim = ledger.claim(plan(), dead)
        (claim.folder / RESULT_FILE).write_text(
            json.dumps({"key": "aa11", "metrics": RESULT.metrics, "curves": RESULT.curves})
        )
        final = ledger.folder("aa11")
        final.parent.mkdir(parents=True)
        claim.folder.rename(final)
        assert ledger.claim(plan(), "me") == Done("aa11", RESULT, final)
        assert ledger.get("aa11").status == "done"
        assert ledger.get("aa11").attempts == 1

    def test_a_folder_with_a_torn_result_is_not_believed(self, ledger, dead):
        ledger.claim(plan(), dead)
        ledger.folder("aa11").mkdir(parents=True)
        (ledger.folder("aa11") / RESULT_FILE).write_text('{"key": "aa11", "metr')
        claim = ledger.claim(plan(), this_owner())
        assert isinstance(claim, Claimed)
        ledger.finish(claim, RESULT)
        assert ledger.claim(plan(), "you").result == RESULT

    def test_finished_files_that_were_deleted_can_be_computed_again(self, ledger):
        done = ledger.finish(ledger.claim(plan(), "me"), RESULT)
        shutil.rmtree(done.folder)
        assert ledger.get("aa11").result == RESULT
        assert isinstance(ledger.claim(plan(), "me"), Claimed)

    def test_a_failure_is_recorded_and_not_tried_again(self, ledger):
        claim = ledger.claim(plan(), "me")
        assert ledger.fail(claim, "diverged at step 7") == Failed("aa11", "diverged at step 7")
        assert ledger.claim(plan(), "you") == Failed("aa11", "diverged at step 7")
        assert ledger.get("aa11").finished is not None
        assert not claim.folder.exists()

    def test_words_that_no_text_may_hold_do_not_lose_the_failure(self, ledger):
        claim = ledger.claim(plan(), "me")
        ledger.fail(claim, "garbage: \0 and \udcff")
        assert ledger.get("aa11").error == "garbage: \ufffd and ?"

    @pytest.mark.parametrize("outcome", ["finish", "fail"])
    def test_an_outcome_may_be_recorded_again(self, ledger, outcome):
        # What a repeated transaction does when the first one's commit was never answered.
        claim = ledger.claim(plan(), "me")
        (claim.folder / "weights").write_bytes(b"123")
        if outcome == "finish":
            done = ledger.finish(claim, RESULT)
            assert ledger._files.publish(claim.folder, claim.key) == done.folder
            assert (done.folder / "weights").read_bytes() == b"123"
            ledger._change(claim, status="done", heartbeat=1.0)
        else:
            assert ledger.fail(claim, "diverged") == ledger.fail(claim, "diverged")
        with pytest.raises(ClaimLost):
            ledger._change(claim, status="open")
        assert (ledger.get("aa11").error is None) == (outcome == "finish")

    def test_what_an_owner_leaves_without_fault_is_free_and_counts_for_nothing(self, ledger):
        ledger.claim(plan("aa11"), AWAY)
        ledger.claim(plan("bb22"), "somebody else")
        assert ledger.vacate(AWAY) == ["aa11"]
        assert ledger.get("aa11").crashes == 0
        assert isinstance(ledger.claim(plan("aa11"), this_owner()), Claimed)
        assert ledger.get("bb22").status == "claimed"

    def test_a_released_claim_is_free(self, ledger):
        ledger.release(ledger.claim(plan(), this_owner()))
        assert isinstance(ledger.claim(plan(), this_owner()), Claimed)

    def test_a_second_crash_is_the_outcome(self, ledger):
        ledger.claim(plan("aa11"), "me")
        ledger.claim(plan("bb22"), "somebody else")
        assert ledger.crashed("me", "killed by SIGSEGV") == ["aa11"]
        assert isinstance(ledger.claim(plan("aa11"), "me"), Claimed)
        ledger.crashed("me", "killed by SIGSEGV")
        assert ledger.claim(plan("aa11"), "me").error == "crashed 2 times: killed by SIGSEGV"
        assert ledger.get("bb22").crashes == 0

    def test_a_result_that_is_not_a_number_is_refused(self, ledger):
        claim = ledger.claim(plan(), "me")
        with pytest.raises(ValueError, match="Out of range float"):
            ledger.finish(claim, StageResult(metrics={"val_bpb": float("nan")}))
        assert ledger.get("aa11").status == "claimed"

    def test_of_many_who_claim_at_once_one_gets_it(self, ledger):
        barrier, got = threading.Barrier(6), []

        def race():
            owner = this_owner()
            barrier.wait()
            got.extend(type(ledger.claim(plan(key), owner)) for key in ("aa11", "bb22", "cc33"))

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(kind.__name__ for kind in got) == ["Busy"] * 15 + ["Claimed"] * 3

    def test_the_memo_keeps_values(self, ledger):
        assert ledger.recall("dag:1") is None
        ledger.remember("dag:1", {"edges": [["a", "b", 0.5]], "none": None})
        assert ledger.recall("dag:1") == {"edges": [["a", "b", 0.5]], "none": None}
        ledger.remember("dag:1", [1, 2])
        assert ledger.recall("dag:1") == [1, 2]

    def test_a_second_ledger_on_the_same_address_sees_everything(self, ledger):
        ledger.finish(ledger.claim(plan(), "me"), RESULT)
        other = Ledger(ledger.url, ledger.artifacts)
        assert other.get("aa11").result == RESULT
        other.close()


# SQLite's change to WAL mode does not wait, PostgreSQL's CREATE TABLE IF NOT EXISTS is no atom.
@pytest.mark.parametrize("attempt", range(5))
def test_ledgers_made_at_the_same_moment_are_one(url, tmp_path, attempt):
    barrier, faults = threading.Barrier(8), []

    def make(number):
        barrier.wait()
        try:
            ledger = open_ledger(url, tmp_path / "artifacts")
            ledger.remember(str(number), number)
            ledger.close()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    ledger = open_ledger(url, tmp_path / "artifacts")
    assert [ledger.recall(str(number)) for number in range(8)] == list(range(8))
    ledger.close()


def test_the_files_of_a_sqlite_ledger_lie_beside_it(tmp_path):
    for location in (tmp_path / "ledger.sqlite", f"sqlite:///{tmp_path / 'ledger.sqlite'}"):
        ledger = open_ledger(location)
        assert ledger.artifacts == tmp_path / "artifacts"
        ledger.close()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("{tmp}/file/ledger.sqlite", "cannot be written: Not a directory|File exists"),
        ("{tmp}/file", "file is not a database"),
        ("nosuchserver://here/x", "is not a database that can be opened"),
        ("sqlite://", "cannot be shared"),
        ("://", "is not a database URL"),
    ],
)
def test_what_is_no_ledger_is_named(tmp_path, location, message):
    (tmp_path / "file").write_text("these are notes, and they are long enough to be a header " * 9)
    with pytest.raises(InputError, match=message):
        open_ledger(location.format(tmp=tmp_path), tmp_path / "artifacts")


def test_a_ledger_of_another_version_is_left_alone(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("CREATE TABLE stages (key TEXT)")
    database.close()
    with pytest.raises(InputError, match="another version"):
        open_ledger(tmp_path / "ledger.sqlite")


def test_owners_of_this_process_differ_and_live(dead):
    assert this_owner() != this_owner()
    assert not is_gone(this_owner(), heartbeat=0, lease=1, now=1e9)
    assert is_gone(dead, heartbeat=0, lease=1e9, now=1)


def test_a_later_process_of_the_same_id_is_not_the_owner():
    host, pid, _, token = this_owner().split("|")
    assert is_gone("|".join((host, pid, "1", token)), heartbeat=0, lease=1e9, now=1)


def test_a_killed_child_that_nobody_waited_for_is_gone():
    code = (
        "from scripts.causal.campaign.owner import this_owner; print(this_owner(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code + "input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        owner = child.stdout.readline().strip()
        assert not is_gone(owner, heartbeat=0, lease=1, now=1e9)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, its entry still there
        assert is_gone(owner, heartbeat=0, lease=1e9, now=1)
