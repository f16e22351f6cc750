"""Drives changes, rollouts and jobs: a task of every replica, none of which leads.

Theory of operation. The task sleeps until the fold of the control log changes, or a moment passes, and asks
`core.driving` what to write. It then waits for a few random milliseconds and asks again: what another replica has written
meanwhile is wanted no more, so that several replicas seldom write the same; where they do, the fold accepts it once. A
command that was written is not written again while it may still be on its way back. A second task judges the guards of
rollouts, so that a slow statistics store holds up no cut-over.

Whatever fails (Kafka, Redis, a defect) is told to the log once, until it is well again, and tried again a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine
from typing import Any, Final

import anyio.to_thread
import structlog

from control_api.core.driving import Surroundings, next_commands, retirements
from control_api.core.judging import judge, verdicts_of, watched, windows
from control_api.core.readiness import data_topics, groups_of, readiness
from control_api.errors import ApiError
from control_api.parts import Parts
from control_api.ports import Membership, WorkerStatistics
from model_store.core.catalogue import Catalogue
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import Command
from model_store.core.wire import encode_command

log = structlog.get_logger(__name__)

IDLE_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 0.2
"""Between two looks where nothing on the log calls for one: time passes, and groups settle, without a record."""

APART_SECONDS: Final = 0.05
"""A replica waits up to so long before it writes."""

ON_ITS_WAY_SECONDS: Final = 10.0
"""A command that is not back by then may be written again."""

JUDGE_SECONDS: Final = 1.0
VERDICT_KEPT_MS: Final = 5_000
RETIRE_SECONDS: Final = 20.0
RETIRED_AT_ONCE: Final = 2


class Driver:
    """See the module. All on the event loop of `parts`."""

    def __init__(self, parts: Parts) -> None:
        """Nothing happens before `run`."""
        self._parts = parts
        self._sent: dict[str, float] = {}
        self._busy_seconds = 0.0
        self._troubles: dict[str, str] = {}
        self._retire_at = time.monotonic() + random.uniform(0, RETIRE_SECONDS)

    async def run(self) -> None:
        """Drive until cancelled."""
        judging = asyncio.create_task(self._keep_judging())
        try:
            while True:
                offset, self._busy_seconds = self._parts.follower.applied_offset, 0.0
                pause = await self._guarded("driver", self._turn()) or IDLE_SECONDS
                await asyncio.sleep(self._busy_seconds)  # others have half of the loop's time at least
                if self._parts.follower.applied_offset == offset:
                    await self._parts.follower.wait_change(pause)
        finally:
            judging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await judging

    async def _turn(self) -> float:
        """Write what there is to write; how many seconds to wait if nothing changes."""
        if not self._parts.is_ready:
            return OPEN_SECONDS
        around = await self._look()
        if self._wanted(around):
            await asyncio.sleep(random.uniform(0, APART_SECONDS))
            for command in self._wanted(around):
                await self._write(command)
        if time.monotonic() >= self._retire_at:
            self._retire_at = time.monotonic() + RETIRE_SECONDS
            due = await anyio.to_thread.run_sync(retirements, self._catalogue, _now_ms(), RETIRED_AT_ONCE)
            for command in due:
                await self._write(command)
        is_open = self._catalogue.open_changes or any(r.rollout is not None for r in self._catalogue.routes.values())
        return OPEN_SECONDS if is_open else IDLE_SECONDS

    async def _look(self) -> Surroundings:
        catalogue = self._catalogue
        membership = await self._parts.groups.membership(groups_of(catalogue))
        if (
            membership.is_current and not membership.members
        ):  # what is done where nobody lives is not exact, so a second-old answer is too old
            membership = await self._parts.groups.membership(groups_of(catalogue), fresh=True)
        partitions: dict[str, int] = {}
        prepared = [change for change in _open(catalogue) if change.state is ChangeState.PREPARED]
        if prepared:
            partitions.update(await self._parts.groups.partitions(data_topics(catalogue, membership)))
            if any(_may_be_ready(catalogue, change, membership, partitions) for change in prepared):
                membership = await self._parts.groups.membership(groups_of(catalogue), fresh=True)
                partitions.update(await self._parts.groups.partitions(data_topics(catalogue, membership)))
        now_ms = _now_ms()
        evaluations = verdicts_of(self._parts.judged, catalogue, now_ms, VERDICT_KEPT_MS)
        verdicts = {rollout: evaluation.verdict for rollout, evaluation in evaluations.items()}
        return Surroundings(now_ms, membership, partitions, verdicts)

    def _wanted(self, around: Surroundings) -> list[Command]:
        began = time.monotonic()
        self._sent = {each: at for each, at in self._sent.items() if at > began - ON_ITS_WAY_SECONDS}
        commands = [command for command in next_commands(self._catalogue, around) if command.id not in self._sent]
        self._busy_seconds += time.monotonic() - began
        return commands

    async def _write(self, command: Command) -> None:
        record = encode_command(command)
        self._sent[command.id] = time.monotonic()
        try:
            offset = await self._parts.publisher.publish(record.key, record.value, dict(record.headers))
        except ApiError:
            del self._sent[command.id]
            raise
        what = type(command.body).__name__
        log.info("driver.wrote", command=what, id=command.id, offset=offset, reason=command.reason)

    async def _keep_judging(self) -> None:
        while True:
            if self._parts.is_ready:
                await self._guarded("guards", self._judge())
            await asyncio.sleep(JUDGE_SECONDS)

    async def _judge(self) -> float:
        rollouts = watched(self._catalogue)
        judged = self._parts.judged
        for gone in judged.keys() - {rollout.id for rollout in rollouts}:
            if (rollout := self._catalogue.rollouts.get(gone)) is None or not rollout.state.is_open:
                del judged[gone]
        seen: dict[int, list[WorkerStatistics]] = {}
        for rollout in rollouts:
            now_ms = _now_ms()
            spans = windows(rollout, now_ms)
            for seconds in spans:
                if seconds not in seen:
                    seen[seconds] = list(await self._parts.statistics.window(seconds))
            judged[rollout.id] = judge(rollout, seen[spans[0]], seen[spans[1]], judged.get(rollout.id), now_ms)
        return JUDGE_SECONDS

    async def _guarded(self, what: str, work: Coroutine[Any, Any, float]) -> float | None:
        """What the work returns; `None` if it failed, which the log is told once."""
        try:
            pause = await work
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if self._troubles.get(what) != text:
                self._troubles[what] = text
                is_foreseen = isinstance(error, ApiError)
                log.warning(f"{what}.held_up", reason=text, exc_info=None if is_foreseen else error)
            return None
        if self._troubles.pop(what, None) is not None:
            log.info(f"{what}.goes_on")
        return pause

    @property
    def _catalogue(self) -> Catalogue:
        return self._parts.follower.state


def _open(catalogue: Catalogue) -> list[Change]:
    changes = (catalogue.changes.get(change_id) for change_id in catalogue.open_changes)
    return [change for change in changes if change is not None]


def _may_be_ready(catalogue: Catalogue, change: Change, membership: Membership, partitions: dict[str, int]) -> bool:
    """Only the brokers can say more about it: all workers that are known to live have loaded it."""
    if not membership.is_current or not membership.members:
        return False
    return not readiness(catalogue, change, membership, partitions).unready


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
