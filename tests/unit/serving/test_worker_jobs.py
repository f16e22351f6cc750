"""What a worker does with a job when the process that runs it cannot be had, or is wanted no more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from serving_story import Story

from model_store.core.commands import ClaimJob, Command, ReportJob, RequestJob
from model_store.core.jobs import Backtest, OffsetRange, VersionAt
from model_store.core.jobs_state import JobState
from model_store.core.jobs_verdict import job_spec
from serving.jobs import Jobs

SPEC = job_spec(Backtest("b", "s", (OffsetRange(0, 0, 10),), VersionAt("m", 1, 0)), None)


class Process:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.stdout = asyncio.StreamReader()

    def terminate(self) -> None:
        self.returncode = -15
        self.stdout.feed_eof()

    async def wait(self) -> int:
        assert self.returncode is not None
        return self.returncode


class Place:
    """A worker on a log that takes whatever the worker says."""

    def __init__(self) -> None:
        self.story = Story()
        self.said: list[ReportJob] = []
        self.jobs = Jobs(self.hear, "w", "e", frozenset({"s"}), lambda: "{}")
        self.job = self.story.order(RequestJob("backtest", SPEC))
        self.jobs.follow(self.story.catalogue)

    def hear(self, command: Command) -> None:
        if isinstance(command.body, ReportJob):
            self.said.append(command.body)
        assert isinstance(command.body, ReportJob | ClaimJob)
        self.story.order(command.body)

    @property
    def state(self) -> JobState:
        job = self.story.catalogue.jobs.get(self.job)
        assert job is not None
        assert isinstance(job.state, JobState)
        return job.state

    async def until_idle(self) -> None:
        while self.jobs._task is not None:
            await asyncio.wait([self.jobs._task], timeout=5)
            await asyncio.sleep(0)


def test_a_job_whose_process_cannot_be_started_has_failed_and_the_next_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def none_to_be_had(*_: Any, **__: Any) -> Any:
        raise OSError("no more processes")

    async def story() -> None:
        place = Place()
        place.jobs.follow(place.story.catalogue)
        await place.until_idle()

        assert place.state is JobState.FAILED
        assert json.loads(place.said[-1].report) == {"reason": "worker w could not run it: OSError: no more processes"}
        second = place.story.order(RequestJob("backtest", SPEC))
        place.jobs.follow(place.story.catalogue)
        job = place.story.catalogue.jobs.get(second)
        assert job is not None
        assert job.state is JobState.RUNNING

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none_to_be_had)
    asyncio.run(story())


def test_a_job_that_is_cancelled_while_its_process_starts_is_ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        place, process, may_start = Place(), Process(), asyncio.Event()

        async def slowly(*_: Any, **__: Any) -> Process:
            await may_start.wait()
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
        place.jobs.follow(place.story.catalogue)
        await asyncio.sleep(0)
        place.story.order(ReportJob(place.job, JobState.CANCELLED.value))
        place.jobs.follow(place.story.catalogue)
        may_start.set()
        await asyncio.wait_for(place.until_idle(), 5)

        assert process.returncode == -15
        assert place.state is JobState.CANCELLED

    asyncio.run(story())


def test_a_worker_that_stops_while_the_process_starts_hands_its_job_back_and_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        place, process, may_start = Place(), Process(), asyncio.Event()

        async def slowly(*_: Any, **__: Any) -> Process:
            await may_start.wait()
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
        place.jobs.follow(place.story.catalogue)
        await asyncio.sleep(0)
        stopping = asyncio.create_task(place.jobs.stop())
        await asyncio.sleep(0)
        may_start.set()
        await asyncio.wait_for(stopping, 5)
        place.jobs.follow(place.story.catalogue)

        assert process.returncode == -15
        assert place.state is JobState.QUEUED
        assert place.jobs._task is None

    asyncio.run(story())
