"""The feed as a Faust service: the pump that reads, hands out, takes back and commits. See the package's docstring."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaException
from mode import Service

from serving.feed import pace
from serving.feed.assignments import Assignments, OnAssigned, OnRevoked
from serving.feed.at_least_once import AtLeastOnce
from serving.feed.batch import ColumnBatch, Output, wanted
from serving.feed.bounded import CallHungError
from serving.feed.channel import FeedChannel
from serving.feed.delivery import Commitment, Counts, Lanes
from serving.feed.errors import BatchNotReturnedError, ConsumerFailedError
from serving.feed.exactly_once import ExactlyOnce
from serving.feed.lanes import Key, Lane
from serving.feed.limits import read_limits
from serving.feed.placement import Placement
from serving.feed.portions import portion
from serving.feed.reader import Reader
from serving.feed.runs import Header, Run
from serving.feed.settings import (
    Delivery,
    Properties,
    check_properties,
    consumer_properties,
    producer_properties,
    transactional_id,
)
from serving.feed.starts import StartAt
from serving.feed.wake import Wake
from serving.feed.writer import Writer

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

_IDLE_SECONDS = 0.05
_TURN_SECONDS = 5.0
_BUSY_SECONDS = 0.005
_TURNS = 5
"""Of the event loop, in which an agent scores what it scores at once; what it still holds then is scored elsewhere."""
_LEARN_SECONDS = 60.0  # as often as the consumer looks for new partitions, see `settings`


@dataclass(slots=True)
class Statistics(Counts):
    """A snapshot for metrics: the counts of `Counts`, and what is under way now.

    Attributes:
        in_flight: Batches that agents hold.
        unacknowledged: Outputs without an acknowledgement.
        lag: Records that were not handed out yet, by topic and partition; as of the last fetch.
        longest_read_seconds: The longest that reading kept the event loop, rebalances included.
    """

    in_flight: int = 0
    unacknowledged: int = 0
    lag: Mapping[Key, int] | None = None
    longest_read_seconds: float = 0.0


class Feed(Service):  # type: ignore[misc]  # mode has no type information
    """Batches of records to an agent, its outputs to Kafka, offsets after them.

    Start it as a dependency of the Faust app once the app runs: `await app.add_runtime_dependency(feed)`. Public methods
    are called on the event loop's thread, but `fail` and `statistics`, which any thread may call.

    Attributes:
        overlap: Batches of one partition that agents may hold at once, while those of others go on; 0: nothing is read as long
            as they hold any. May be changed while the feed runs.
    """

    def __init__(
        self,
        app: Any,
        channel: FeedChannel,
        *,
        bootstrap: str,
        group: str,
        topics: Mapping[str, StartAt],
        worker_id: str,
        delivery: Delivery | str = Delivery.AT_LEAST_ONCE,
        static_member: bool = False,
        headers: Collection[str] = (),
        outputs: Collection[str] = (),
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
        overlap: int = 0,
        properties: Properties | None = None,
        consumer: Properties | None = None,
        producer: Properties | None = None,
        commit_seconds: float = 0.1,
        batch_records: int = 8_000,
        max_unacknowledged: int = 50_000,
        stall_seconds: float = 60.0,
        revoke_seconds: float = 5.0,
        exit_seconds: float | None = 20.0,
        **service: Any,
    ) -> None:
        """Nothing is connected to before the service starts.

        Args:
            app: The Faust app; it is crashed when the feed fails.
            channel: What the agent iterates over.
            topics: Topics to read, and where a group begins that never read them.
            worker_id: Name of this process, unique in the group: the client id in Kafka's tools.
            static_member: `worker_id` outlives restarts: a restarted worker gets its partitions back without a rebalance,
                and ends its predecessor's transaction at once. Two processes under one id fence each other.
            headers: Topics whose batches have the headers column (0.5 us a record).
            outputs: Topics that will be written to; their size limits are asked for at the start, see `oversized`.
            on_assigned: Awaited with partitions that came, before any record of them is handed out; may call `hold`.
            on_revoked: Called on the loop with partitions that went, after they did.
            overlap: Batches of one partition that agents may hold at once. 0 is cheapest: nothing is read as long as they hold
                any. More is for scoring that happens elsewhere (a child process, threads): then a partition waits for its own
                batches only, and batches of large records are cut (`portions`).
            properties: Extra librdkafka properties of both clients (security, say).
            consumer: Extra properties of the consumer.
            producer: Extra properties of the producer.
            commit_seconds: Interval between commits; a transaction's length.
            batch_records: Most records in a batch.
            max_unacknowledged: Outputs without an acknowledgement above which no more is read.
            stall_seconds: An agent that holds a batch longer ends the worker.
            revoke_seconds: How long a revocation waits for agents and acknowledgements.
            exit_seconds: A process that still lives so long after a failure of the feed is ended the hard way (`os._exit(1)`), so
                that whatever hangs in the shutdown does not keep a failed worker alive; `None` = never.

        Raises:
            SettingsError: A property was given that would break what the feed promises.
        """
        super().__init__(**service)
        extra = dict(properties or {})
        check_properties(extra, consumer or {}, producer or {})
        self.app = app
        self.channel = channel
        self._bootstrap = bootstrap
        self._extra = extra
        self._topics = {topic: StartAt(start) for topic, start in topics.items()}
        self._headers = frozenset(headers)
        self._outputs = frozenset(outputs)
        self._delivery = Delivery(delivery)
        self._worker_id = worker_id
        self._transactional_id = transactional_id(
            group, worker_id if static_member else f"{worker_id}-{os.urandom(4).hex()}"
        )
        self._consumer_properties = consumer_properties(
            bootstrap=bootstrap,
            group=group,
            worker_id=worker_id,
            is_static=static_member,
            extra={**extra, **(consumer or {})},
        )
        self._producer_extra = {**extra, **(producer or {})}
        self.overlap = overlap
        self._commit_seconds = commit_seconds
        self._batch_records = batch_records
        self._max_unacknowledged = max_unacknowledged
        self._stall_seconds = stall_seconds
        self._revoke_seconds = revoke_seconds
        self._exit_seconds = exit_seconds
        self._counts = Counts()
        self._lanes: Lanes = {}
        self._in_flight = 0
        self._touched: set[Lane] = set()
        self._is_committing = False
        self._put_off: list[tuple[Sequence[ColumnBatch], Sequence[Output]]] = []
        self._failure: BaseException | None = None
        self._is_stopping = False
        self._longest_read = 0.0
        self._just_read = 0
        self._thread = ThreadPoolExecutor(1, "feed")
        self._assignments = Assignments(
            self._lanes,
            self._counts,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
            revoke_seconds=revoke_seconds,
            is_idle=lambda: self._in_flight == 0,
            has_failed=lambda: self._failure is not None,
            fail=self.fail,
        )

    # For users

    def hold(self, topic: str, partition: int, offset: int) -> int:
        """Hand out no record at or above `offset` until `release`; a later hold replaces it, a revocation ends it.

        Returns:
            The offset to be handed out next: the hold is in time only if that is not above `offset`. Inside `on_assigned`
            it is the partition's start.

        Raises:
            KeyError: The partition is not ours.
        """
        lane = self._lanes[topic, partition]
        lane.hold_at = offset
        self._touched.add(lane)
        return lane.position

    def release(self, topic: str, partition: int) -> None:
        """End a hold; nothing happens if there is none, or the partition is not ours."""
        lane = self._lanes.get((topic, partition))
        if lane is not None:
            lane.hold_at = None
            self._touched.add(lane)

    def position(self, topic: str, partition: int) -> tuple[int, int]:
        """The offset to hand out next, and the one committed last; -1 while it is not known.

        Raises:
            KeyError: The partition is not ours.
        """
        lane = self._lanes[topic, partition]
        return lane.position, lane.committed

    def assignment(self, topic: str, partition: int) -> int | None:
        """Which assignment of the partition to this process this is, once its start is known; `None` if it is not ours."""
        lane = self._lanes.get((topic, partition))
        return lane.assignment if lane is not None and lane.is_placed and lane.is_alive else None

    async def take_turn(self, keys: Sequence[Key], above: int) -> int | None:
        """Take a turn for partitions that came (`starts`), larger than `above` and than all before it, and commit it.

        Only inside `on_assigned`, before anything of them is handed out.

        Returns:
            The turn; `None` if the commit did not go through now: the partitions may be another's by now.
        """
        lanes = [self._lanes[key] for key in keys if key in self._lanes]
        turn = max([above, *(lane.turn for lane in lanes)]) + 1
        for lane in lanes:
            lane.turn = turn
        try:
            await self._in_thread(self._reader.commit_and_wait, {lane: lane.position for lane in lanes}, _TURN_SECONDS)
        except (KafkaException, CallHungError) as error:
            log.info("turn.not_taken", partitions=len(lanes), error=str(error))
            return None
        return turn

    def end(self, topic: str, partition: int) -> int | None:
        """The offset after the partition's last record, as of the last fetch; `None` before there was one."""
        lane = self._lanes.get((topic, partition))
        behind = self._reader.lag(lane) if lane is not None else None
        return None if lane is None or behind is None else lane.position + behind

    def idle_seconds(self, topic: str, partition: int) -> float:
        """For how long nothing of the partition has been handed out.

        Raises:
            KeyError: The partition is not ours.
        """
        return time.monotonic() - self._lanes[topic, partition].handed_out_at

    def partitions(self) -> list[Key]:
        """The partitions that are ours, those included that are not open yet."""
        return sorted(self._lanes)

    def oversized(
        self,
        topic: str,
        keys: Sequence[bytes | None] | None,
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[Header] | None] | None = None,
    ) -> list[int]:
        """Rows that are too large to be written to the topic. See `Writer.oversized`."""
        return self._writer.oversized(topic, keys, values, headers)

    def fail(self, error: BaseException) -> None:
        """End the worker; nothing more is committed. The first failure is the one that is reported."""
        if self._failure is None:
            self._failure = error

    def statistics(self) -> Statistics:
        """Counts since the start and the state of now."""
        reader = getattr(self, "_reader", None)
        lag = {}
        for key, lane in list(self._lanes.items()):
            behind = reader.lag(lane) if reader is not None else None
            if behind is not None:
                lag[key] = behind
        return Statistics(
            **{field.name: getattr(self._counts, field.name) for field in fields(Counts)},
            in_flight=self._in_flight,
            unacknowledged=len(self._writer) if reader is not None else 0,
            lag=lag,
            longest_read_seconds=self._longest_read,
        )

    # The service

    async def on_start(self) -> None:
        """Connect, join the group, start the pump."""
        # A value put into a channel without a subscriber is dropped without a word.
        await self.app.agents.wait_until_agents_started()
        limits = await self._in_thread(read_limits, self._bootstrap, self._outputs, self._extra)
        exactly_once = self._delivery is Delivery.EXACTLY_ONCE
        properties = producer_properties(
            bootstrap=self._bootstrap,
            worker_id=self._worker_id,
            limits=limits,
            transactional_id=self._transactional_id if exactly_once else None,
            extra=self._producer_extra,
        )
        self._writer = Writer(properties, limits, full_seconds=self._stall_seconds)
        await self._in_thread(self._writer.learn, self._outputs)
        self._reader = Reader(self._consumer_properties, self._on_commit, is_bulk=not self._headers)
        self._wake = Wake()
        self._is_woken = self._reader.wake(self._wake.descriptor)
        self._commitment = self._make_commitment(properties)
        await self._in_thread(self._commitment.start)
        placement = Placement(self._reader.consumer, self._topics)
        self._assignments.attach(self._reader, placement, self._commitment, list(self._topics))
        self._task = asyncio.create_task(self._main())
        self._learning = asyncio.create_task(self._learn())

    async def on_stop(self) -> None:
        """Finish what is in flight, commit it, leave the group."""
        self._is_stopping = True
        if hasattr(self, "_task"):
            self._learning.cancel()
            await self._task

    def _make_commitment(self, producer: Properties) -> Commitment:
        parts = (self._reader, self._writer, self._lanes, self._counts, self.fail)
        if self._delivery is Delivery.EXACTLY_ONCE:
            return ExactlyOnce(*parts, transaction_seconds=producer["transaction.timeout.ms"] / 1_000)
        return AtLeastOnce(*parts)

    def _on_commit(self, error: Any, entries: list[Any]) -> None:
        if isinstance(self._commitment, AtLeastOnce):
            self._commitment.on_commit(error, entries)

    async def _in_thread(self, call: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    async def _main(self) -> None:
        try:
            await self._pump()
            while self._in_flight:
                await self._serve_agents()
            await self._in_thread(lambda: self._commitment.settle(self._revoke_seconds, in_callback=False))
            self._check()
            await self._in_thread(self._close)
        except BaseException as error:
            self.fail(error)
            log.error("feed.failed", error=repr(self._failure))
            if self._exit_seconds is not None:
                last_resort = threading.Timer(self._exit_seconds, os._exit, (1,))
                last_resort.daemon = True
                last_resort.start()
            await self._in_thread(self._close)
            # Not awaited: it stops this service, which waits for this task.
            self._crashing = asyncio.ensure_future(self.app.crash(self._failure))
        finally:
            self._assignments.close()
            self._wake.close()

    def _close(self) -> None:
        """Leave the group at once, so that others take over without a time-out. Blocks."""
        if self._failure is not None or self._commitment.needs_recovery:
            try:
                self._commitment.abandon()
            except Exception as error:
                log.warning("transaction.left_open", error=repr(error))
        self._reader.close()
        self._writer.close()

    async def _learn(self) -> None:
        """Notice partitions that are added to the topics that are written to."""
        while True:
            await asyncio.sleep(_LEARN_SECONDS)
            await asyncio.to_thread(self._writer.learn, self._outputs)

    # The pump

    async def _pump(self) -> None:
        self._committed_at = time.monotonic()
        while not self._is_stopping:
            runs = await self._read() if self._may_read() else await self._rest()
            if self._commitment.needs_recovery and await self._in_thread(self._commitment.recover):
                self._assignments.rewind()
            await self._assignments.serve(self._in_thread)
            held = self._in_flight
            if runs:
                await self._take(runs)
            if self._touched:
                await self._look_again()
            if self.overlap:
                await self._serve_agents(held, _TURNS)
            else:
                await self._serve_agents()

    def _may_read(self) -> bool:
        must_drain = self._commitment.must_drain and self._is_commit_due() and not self._may_commit()
        return not must_drain and len(self._writer) < self._max_unacknowledged

    def _may_commit(self) -> bool:
        """A transaction can end now: nothing that was written in it comes after something that was not."""
        return not self._in_flight or (self.overlap > 0 and all(lane.is_in_order for lane in self._lanes.values()))

    def _is_commit_due(self) -> bool:
        return time.monotonic() - self._committed_at >= self._commit_seconds

    @staticmethod
    async def _rest() -> list[tuple[Key, Run]]:
        """Back-pressure: nobody reads, so librdkafka soon stops fetching."""
        await asyncio.sleep(0.001)
        return []

    async def _read(self) -> list[tuple[Key, Run]]:
        """Records that are there; sleep if there are none, and let some gather while the broker is busy with the last."""
        if self.overlap or not self._in_flight:
            await pace.rest(self._just_read, self._writer)
        # The client calls when something comes to where there was nothing, and only then.
        if self._wake.take() or not self._is_woken or not self._reader.is_drained:
            runs = await self._read_now()
            if runs:
                return runs
        await self._sleep()
        return await self._read_now()

    async def _read_now(self) -> list[tuple[Key, Run]]:
        """Records that are there; in a thread while an agent holds a batch, because a rebalance waits for the agents there."""
        if self._in_flight:
            runs: list[tuple[Key, Run]] = await self._in_thread(self._reader.read, self._batch_records)
        else:
            start = time.monotonic()
            runs = self._reader.read(self._batch_records)
            self._longest_read = max(self._longest_read, time.monotonic() - start)
        self._just_read = sum(len(run) for _, run in runs)
        return runs

    async def _sleep(self) -> None:
        """Until there is something to read, at most for a while."""
        is_busy = self._in_flight or self._touched or self._assignments.is_pending
        if not self._is_woken:
            is_busy = is_busy or self._commitment.is_dirty
            await self._in_thread(self._reader.wait, _BUSY_SECONDS if is_busy else _IDLE_SECONDS)
            return
        seconds = _BUSY_SECONDS if is_busy else _IDLE_SECONDS
        if self._commitment.is_dirty:
            seconds = max(0.0, min(seconds, self._committed_at + self._commit_seconds - time.monotonic()))
        await self._wake.sleep(seconds)

    async def _take(self, runs: list[tuple[Key, Run]]) -> None:
        batches = []
        for key, run in runs:
            lane = self._lanes.get(key)
            if lane is None or not lane.is_open:
                continue  # fetched under an earlier assignment: fetched again by whoever has the partition now
            floor = lane.kept[-1].last + 1 if lane.kept else lane.position
            if run.first < floor:
                raise ConsumerFailedError(f"{key} went back from offset {floor} to {run.first}")
            batches += self._offer(lane, run)
        await self._hand_out(batches)

    def _offer(self, lane: Lane, run: Run) -> list[ColumnBatch]:
        """What lies below the hold, as batches, if anything, and as many as may be held; keep the rest, and read no more of this
        partition.
        """
        if lane.kept:
            lane.kept.append(run)
            return []
        below: Run | None = run
        if lane.hold_at is not None:
            below, rest = run.split(lane.hold_at)
            if rest is not None:
                lane.kept = [rest]
                self._reader.pause(lane)
        batches = []
        while below is not None and not (self.overlap and lane.held >= self.overlap):
            part, below = portion(below) if self.overlap else (below, None)
            batches.append(self._batch(lane, part))
        if below is not None:
            lane.kept.insert(0, below)
            self._reader.park(lane)
        return batches

    def _batch(self, lane: Lane, below: Run) -> ColumnBatch:
        if not self._in_flight:
            self._begin_interval()
        ticket = lane.hand_out(below.last + 1, time.monotonic())
        batch = ColumnBatch(
            ticket, below, wants_headers=lane.topic in self._headers, take_back=self._take_back, fail=self.fail
        )
        self._in_flight += 1
        self._counts.batches += 1
        self._counts.records += len(below)
        return batch

    def _begin_interval(self) -> None:
        """A transaction's interval begins with its first batch: else part of it is over, and less fits into it."""
        if self._commitment.must_drain and not self._commitment.is_dirty:
            self._committed_at = time.monotonic()

    async def _hand_out(self, batches: Sequence[ColumnBatch]) -> None:
        for batch in batches[:-1]:
            batch.is_followed = True
        for batch in batches:
            await self.channel.put(batch)

    async def _look_again(self) -> None:
        """After a hold was moved or released: look again at what was kept."""
        touched, self._touched = self._touched, set()
        for lane in touched:
            if not lane.is_open:
                continue
            runs, lane.kept = lane.kept, []
            for run in runs:
                await self._hand_out(self._offer(lane, run))
            if not lane.kept:
                self._reader.resume(lane)

    def _take_back(self, batches: Sequence[ColumnBatch], outputs: Sequence[Output]) -> None:
        if self._is_committing:
            self._put_off.append((batches, outputs))
            for batch in batches:
                batch.ticket.is_put_off = True  # before it is returned: the commit looks at it in its thread
                batch.ticket.is_returned = True
            return
        try:
            for tickets, written in wanted(batches, outputs) if self._failure is None else ():
                if written:
                    self._commitment.write(tickets, written)
                    self._counts.outputs += sum(len(output.values) for output in written)
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            for batch in batches:
                batch.ticket.is_returned = True
                batch.ticket.is_put_off = False
                if batch.ticket.lane.kept:
                    self._touched.add(batch.ticket.lane)
                    self._wake.set()
            self._in_flight -= len(batches)
            self._wake.rouse()

    async def _serve_agents(self, allowed: int = 0, turns: int | None = None) -> None:
        """Wait until agents hold at most `allowed` batches, or for some turns of the event loop; acknowledgements and commits
        go on meanwhile.
        """
        spins = 0
        while True:
            await asyncio.sleep(0 if spins < 10 else 0.001)
            spins += 1
            self._writer.poll()
            self._check()
            is_over = self._in_flight <= allowed or spins == turns
            if self._is_commit_due():
                if not self._commitment.must_drain:
                    self._commitment.commit()
                    self._committed_at = time.monotonic()
                elif not self._in_flight or (is_over and self._may_commit()):
                    await self._commit_in_thread()
            if is_over:
                return

    async def _commit_in_thread(self) -> None:
        """What agents hand back meanwhile is written when it is over."""
        self._is_committing = True
        try:
            await self._in_thread(self._commitment.commit)
        finally:
            self._is_committing = False
        self._committed_at = time.monotonic()
        put_off, self._put_off = self._put_off, []
        for batches, outputs in put_off:
            self._take_back(batches, outputs)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._in_flight:
            return
        held = [since for lane in self._lanes.values() if (since := lane.oldest_held()) is not None]
        if held and time.monotonic() - min(held) > self._stall_seconds:
            raise BatchNotReturnedError(f"an agent has held a batch for more than {self._stall_seconds:g} s")
