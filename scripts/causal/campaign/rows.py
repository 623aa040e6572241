"""The ledger's rows: read, written, and changed by whoever holds the claim."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from scripts.causal.campaign.database import memo, stages
from scripts.causal.campaign.stage_files import result_values
from scripts.causal.campaign.states import CLAIMED, Claimed, ClaimLost, StageRow
from scripts.causal.files import canonical_json
from trainers.api import StagePlan, StageResult


def read_row(connection: sa.Connection, key: str, *, lock: bool = False) -> StageRow | None:
    """The stage's row, or None; locked against other writers where the server can."""
    query = sa.select(stages).where(stages.c.key == key)
    found = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return None if found is None else _row(found)


def read_rows(connection: sa.Connection) -> list[StageRow]:
    """Every stage, in the order of the first claims."""
    found = connection.execute(sa.select(stages).order_by(stages.c.started, stages.c.key))
    return [_row(item) for item in found.mappings()]


def held_by(connection: sa.Connection, owner: str) -> list[StageRow]:
    """What the owner has claimed and not finished, locked."""
    held = sa.select(stages).where(stages.c.owner == owner, stages.c.status == CLAIMED)
    return [_row(item) for item in connection.execute(held.with_for_update()).mappings()]


def write_row(
    connection: sa.Connection, plan: StagePlan, row: StageRow | None, **values: Any
) -> None:
    """Change the stage's row, or insert it where `row` says that there is none.

    Raises:
        IntegrityError: another transaction has inserted it since.
    """
    if row is not None:
        change_row(connection, plan.key, **values)
        return
    spec = {**vars(plan.spec), "config": dict(plan.spec.config)}
    new = {
        "key": plan.key,
        "kind": str(plan.kind),
        "parent": plan.parent,
        "spec": canonical_json(spec),
        "attempts": 0,
        "crashes": 0,
        "started": values["heartbeat"],
    }
    connection.execute(sa.insert(stages).values(**(new | values)))


def change_row(connection: sa.Connection, key: str, **values: Any) -> None:
    """Change the row of a stage, whoever holds it."""
    connection.execute(sa.update(stages).where(stages.c.key == key).values(**values))


def change_claimed(connection: sa.Connection, claim: Claimed, **values: Any) -> None:
    """Change the row of a claim; what this very claim has recorded already may be said again.

    Raises:
        ClaimLost: the claim is no longer the caller's.
    """
    ours = sa.and_(
        stages.c.key == claim.key,
        stages.c.owner == claim.owner,
        stages.c.attempts == claim.attempt,
    )
    # A commit whose answer was lost is repeated: then the row has the outcome already.
    states = {CLAIMED, values.get("status", CLAIMED)}
    change = sa.update(stages).where(ours, stages.c.status.in_(states)).values(**values)
    if connection.execute(change).rowcount != 1:
        raise ClaimLost(f"the claim of stage {claim.key[:12]} was taken over")


def read_memo(connection: sa.Connection, key: str) -> str | None:
    """The text kept under the key, or None."""
    text: str | None = connection.scalar(sa.select(memo.c.value).where(memo.c.key == key))
    return text


def write_memo(connection: sa.Connection, key: str, text: str) -> None:
    """Keep a text under the key, in place of what was there.

    Raises:
        IntegrityError: another transaction has inserted the key since.
    """
    change = sa.update(memo).where(memo.c.key == key).values(value=text)
    if not connection.execute(change).rowcount:
        connection.execute(sa.insert(memo).values(key=key, value=text))


def result_text(result: StageResult) -> str:
    """A result as it is written into its row.

    Raises:
        ValueError: it holds NaN or an infinity.
    """
    return canonical_json(result_values(result))


def plain_text(words: str) -> str:
    """Words that every database takes: a script may print anything, PostgreSQL refuses NUL."""
    return words.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _row(found: sa.RowMapping) -> StageRow:
    values: dict[str, Any] = {str(name): value for name, value in found.items()}
    result = values.pop("result")
    return StageRow(
        **{**values, "spec": json.loads(values["spec"])},
        result=None if result is None else StageResult(**json.loads(result)),
    )
