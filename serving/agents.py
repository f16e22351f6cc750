"""The worker's agents, as plain coroutines; `app` hands them to Faust.

The scoring agent takes column batches. If every model that a batch needs is quick, all of it happens here and now, in one
go on the loop's thread, for all batches of a topic that were read together: that is the cheapest way there is. If one of
them is heavy, or lives in a child process, its scoring runs in a thread, one batch at a time for each model, and the agent
goes on with batches of other partitions: there a batch must not wait for what another one needs, so each goes alone.
Batches of one partition are handed back in order, so that the results of one key keep their order.

Where a decider chooses among several models, each of them scores in a thread of its own, and those that have not ended
in time are not waited for: their leases end when they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from concurrent.futures import Executor

from serving.feed.batch import ColumnBatch, Records
from serving.feed.joined_batch import JoinedBatch
from serving.pipeline import Pipeline
from serving.work import Ballot, Opened, Work


class ScoringAgent:
    """Scores batches of all streams. Belongs to the event loop's thread."""

    def __init__(
        self, pipelines: Mapping[str, Pipeline], threads: Executor, fail: Callable[[BaseException], None]
    ) -> None:
        """Take `pipelines` by data topic, threads for heavy models, and what to call when a batch cannot be finished."""
        self._pipelines = pipelines
        self._threads = threads
        self._fail = fail
        self._last: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._waited: set[str] = set()  # topics whose last batch had something to wait for: joining them is not tried

    async def run(self, batches: AsyncIterable[ColumnBatch]) -> None:
        """Score until the stream ends. An exception ends the worker; nothing of its batch is committed."""
        together: list[ColumnBatch] = []
        async for batch in batches:
            together.append(batch)
            if not batch.is_followed:
                for topic in dict.fromkeys(each.topic for each in together):
                    self._take([each for each in together if each.topic == topic])
                together = []

    def _take(self, batches: Sequence[ColumnBatch]) -> None:
        """Batches of one topic that were read together."""
        if len(batches) > 1 and self._take_joined(batches):
            return
        for batch in batches:
            self._take_one(batch)

    def _take_joined(self, batches: Sequence[ColumnBatch]) -> bool:
        """Score them as one if nothing has to be waited for; false, and nothing was done, if something has."""
        topic = batches[0].topic
        if topic in self._waited or any((topic, batch.partition) in self._last for batch in batches):
            return False
        joined = JoinedBatch(batches)
        opened = self._open(joined)
        if opened.waits:
            self._pipelines[topic].abandon(opened)
            return False
        self._score_now(joined, opened)
        return True

    def _take_one(self, batch: ColumnBatch) -> None:
        pipeline = self._pipelines[batch.topic]
        partition = (batch.topic, batch.partition)
        before = self._last.get(partition)
        opened = self._open(batch)
        if opened.waits:
            self._waited.add(batch.topic)
        else:
            self._waited.discard(batch.topic)
        if before is None and not opened.waits:
            self._score_now(batch, opened)
            return
        task = asyncio.create_task(
            self._finish(pipeline, opened, before), name=f"score {batch.topic}/{batch.partition}"
        )
        self._last[partition] = task
        task.add_done_callback(lambda done: self._finished(partition, done))

    def _open(self, batch: Records) -> Opened:
        try:
            return self._pipelines[batch.topic].open(batch)
        except BaseException as error:
            self._fail(error)
            raise

    def _score_now(self, batch: Records, opened: Opened) -> None:
        pipeline = self._pipelines[batch.topic]
        with batch:
            for work in opened.works:
                work.score()
            batch.done(*pipeline.close(opened))
            pipeline.finish(opened)

    async def _finish(self, pipeline: Pipeline, opened: Opened, before: asyncio.Task[None] | None) -> None:
        with opened.batch as batch:
            try:
                votes = (self._poll(pipeline, ballot) for ballot in opened.ballots)
                await asyncio.gather(*(self._score(work) for work in opened.works), *votes)
                await self._score_all(pipeline.settle(opened))
                if before is not None:
                    await asyncio.wait([before])
            except BaseException:
                pipeline.abandon(opened)
                raise
            batch.done(*pipeline.close(opened))
            pipeline.finish(opened)

    async def _score_all(self, works: Sequence[Work]) -> None:
        await asyncio.gather(*(self._score(work) for work in works))

    async def _score(self, work: Work) -> None:
        if not work.model.scorer.runs_elsewhere:
            work.score()
            return
        await self._score_in_thread(work)

    async def _score_in_thread(self, work: Work) -> None:
        async with work.model.turn:
            await asyncio.get_running_loop().run_in_executor(self._threads, work.score)

    async def _poll(self, pipeline: Pipeline, ballot: Ballot) -> None:
        """Have all arms score, and wait for them no longer than the plan says."""

        async def ask(index: int, work: Work) -> None:
            await self._score_in_thread(work)
            if work.is_late:
                pipeline.dispatch.live.give_back(work.model)
            else:
                ballot.arrived.append(index)

        asked = {
            asyncio.create_task(ask(index, work), name=f"candidate {work.model}"): work
            for index, work in enumerate(ballot.works)
            if work is not None
        }
        if not asked:
            return
        done, late = await asyncio.wait(asked, timeout=ballot.plan.timeout_seconds)
        for task in late:
            asked[task].is_late = True
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        for task in done:
            task.result()

    def _finished(self, partition: tuple[str, int], task: asyncio.Task[None]) -> None:
        if self._last.get(partition) is task:
            del self._last[partition]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
