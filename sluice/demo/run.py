"""The demo itself: bring up, publish, send, swap, drain, account.

Theory of operation: three processes and a thread. The sender writes records, the reader reads answers back and counts
them, this process draws and decides, and a thread of it tells the story, one publication after the other, because each
waits for the workers. The order is what makes the account exact: the offsets at which counting begins are taken first,
models are live before the first record is sent, the end of the data topic is taken after the sender's last
acknowledgement, and the reader ends when every record up to there is answered.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.client import Client
from sluice.client.answers import Stream
from sluice.demo.account import Account
from sluice.demo.children import Child, end_offsets, running_child
from sluice.demo.complaints import complaint
from sluice.demo.errors import DemoError
from sluice.demo.progress import Progress
from sluice.demo.publishing import Publisher
from sluice.demo.reader import Finish, ReadPlan, ReadReport, read
from sluice.demo.records import encode_wines, keys_of, poison, read_wines
from sluice.demo.sender import SendPlan, SendReport, send
from sluice.demo.story import CHAPTERS, MODEL_OF, OPENING, CanaryStep, Chapter, Swap
from sluice.demo.view import View
from sluice.demo.wine import SPARKLING

_TICK_SECONDS = 0.1
_RATES_KEPT = 30
# A swap lasts from its publication until so long after its first result; its slowest record is looked for in this time,
# and for comparison in as much time before it.
_AFTER_MS = 250
_SETTLE_SECONDS = 1.0
# The API sees a worker that has just become ready a moment later.
_WORKER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        rate: Records a second; `None` is as many as come back.
        seconds: How long to send, at least; the story is told to its end in any case.
        poison: Records that no model can score.
    """

    rate: float | None = 2_000.0
    seconds: float = 30.0
    poison: int = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went.

    Attributes:
        account: What came of every record.
        swaps: What came of every model.
        reasons: Why records became dead letters, the first few.
        complaint: What did not go as told, although the account may balance; else empty.
    """

    account: Account
    swaps: tuple[Swap, ...]
    reasons: tuple[str, ...]
    complaint: str = ""

    @property
    def is_good(self) -> bool:
        """The account balances and the story went as told."""
        return self.account.balances and not self.complaint


def run(client: Client, bootstrap: str, wish: Wish, view: View) -> Outcome:
    """Run the demo against a stack that is up.

    Args:
        client: Of its API.
        bootstrap: Its Kafka.
        wish: What was asked for.
        view: Where the progress goes.

    Raises:
        DemoError: There is no such stream, a process died, or Kafka does not answer.
        ClientError: The API does not answer as it should.
    """
    stream = _wine_stream(client)
    publisher = Publisher(client, stream.data_topic, wish.rate)
    opening = [_went_live(publisher.act(chapter)) for chapter in OPENING]
    return _Run(publisher, bootstrap, wish, view, stream, opening).run()


@dataclass(slots=True)
class _Run:
    publisher: Publisher
    bootstrap: str
    wish: Wish
    view: View
    stream: Stream
    opening: Sequence[Swap]
    swaps: list[Swap] = field(default_factory=list)
    publishing: Chapter | None = None
    canary: list[CanaryStep] = field(default_factory=list)
    waits_for: str = ""
    story_failure: Exception | None = None
    report: ReadReport = field(default_factory=ReadReport)
    rates: list[float] = field(default_factory=list)
    started: float = 0.0
    _counted: tuple[float, int] = (0.0, 0)

    def run(self) -> Outcome:
        context = multiprocessing.get_context("spawn")
        sent, answered = context.Value(ctypes.c_int64, 0, lock=False), context.Value(ctypes.c_int64, 0, lock=False)
        with end_offsets(self.bootstrap) as offsets:
            starts = offsets(self.stream.data_topic)
            positions = [
                (topic, partition, offset)
                for topic in (self.stream.result_topic, self.stream.dead_letter_topic)
                for partition, offset in offsets(topic).items()
            ]
            topics = (
                self.stream.data_topic,
                starts,
                self.stream.result_topic,
                self.stream.dead_letter_topic,
                positions,
            )
            with (
                running_child(
                    context, "reader", read, ReadPlan(self.bootstrap, *topics, canary_of=SPARKLING), answered
                ) as reader,
                running_child(context, "sender", send, self._send_plan(), sent, answered) as sender,
            ):
                self.started = time.monotonic()
                self._counted = (self.started, 0)
                self._tell_story_while_sending(sender, reader, sent)
                sender.pipe.send("stop")
                finished = self._await(sender, reader, sent, SendReport, "finishing")
                if finished.failure:
                    raise DemoError(f"the records could not all be sent: {finished.failure}")
                ends = offsets(self.stream.data_topic)
                cut_overs = [each for swap in (*self.opening, *self.swaps) for each in swap.cut_overs]
                reader.pipe.send(Finish(ends, self._periods(), cut_overs))
                last = self._await(reader, reader, sent, ReadReport, "waiting for the last answers")
        return self._outcome(finished, last, sum(ends.values()) - sum(starts.values()), len(ends))

    def _send_plan(self) -> SendPlan:
        bad = poison(self.wish.poison)
        times = [self.wish.seconds * (number + 1) / (len(bad) + 1) for number in range(len(bad))]
        wines = read_wines()
        records = list(zip(keys_of(wines), encode_wines(wines), strict=True))
        return SendPlan(
            self.bootstrap, self.stream.data_topic, records, self.wish.rate, list(zip(times, bad, strict=True))
        )

    def _tell_story_while_sending(self, sender: Child, reader: Child, sent: Any) -> None:
        story = threading.Thread(target=self._tell_story, name="story", daemon=True)
        story.start()
        while story.is_alive() or time.monotonic() - self.started < self.wish.seconds:
            if self.story_failure is not None:
                raise self.story_failure
            if not story.is_alive() and not self.swaps:
                raise DemoError("the story ended before it began")
            sender.check()
            if sender.pipe.poll():
                report = sender.pipe.recv()
                raise DemoError(f"sending ended early: {report.failure or 'without a reason'}")
            self._show(reader, sent, self._phase())
        if self.story_failure is not None:
            raise self.story_failure

    def _phase(self) -> str:
        chapter = self.publishing
        if chapter is None:
            return "scoring"
        return f"{'rolling out' if chapter.is_canary else 'publishing'} a {chapter.what}"

    def _tell_story(self) -> None:
        """One chapter after the other, evenly over the time, with some time to spare at the end."""
        self.publisher.on_step = self.canary.append
        self.publisher.on_wait = self._note_wait
        try:
            for number, chapter in enumerate(CHAPTERS, start=1):
                due = self.started + self.wish.seconds * number / (len(CHAPTERS) + 1)
                time.sleep(max(0.0, due - time.monotonic()))
                self.publishing = chapter
                swap = self.publisher.act(chapter)
                self.publishing = None
                self.swaps.append(swap)
            time.sleep(_SETTLE_SECONDS)
        except Exception as error:  # it is raised again, on the main thread
            self.story_failure = error

    def _note_wait(self, text: str) -> None:
        self.waits_for = text

    def _await(self, child: Child, reader: Child, sent: Any, kind: type[Any], phase: str) -> Any:
        """The last word of `child`: a `SendReport`, or a `ReadReport` with a balance."""
        while True:
            self._show(reader, sent, phase)
            if child is reader and self.report.balance is not None:
                return self.report
            if child is not reader and child.pipe.poll():
                found = child.pipe.recv()
                assert isinstance(found, kind)
                return found
            child.check()

    def _show(self, reader: Child, sent: Any, phase: str) -> None:
        """Take in what the reader says for one tick, and draw."""
        if reader.pipe.poll(_TICK_SECONDS):
            self.report = reader.pipe.recv()
            if self.report.failure:
                raise DemoError(self.report.failure)
        else:
            reader.check()
        now, answered = time.monotonic(), self.report.results + self.report.dead_letters
        then, before = self._counted
        if now - then >= 1.0:
            self.rates = [*self.rates[-_RATES_KEPT + 1 :], (answered - before) / (now - then)]
            self._counted = (now, answered)
        self.view.show(
            Progress(
                now - self.started,
                phase,
                int(sent.value),
                tuple(self.rates),
                self.report,
                tuple(self.opening),
                tuple(self.swaps),
                self.publishing,
                tuple(self.canary),
                self.waits_for,
            )
        )

    def _periods(self) -> list[tuple[str, int, int]]:
        """For each swap two periods of the same length: before it was published, and while it loaded and took over."""
        periods = []
        for swap, first_ms in self._taken_over():
            key = swap.chapter.data_type
            over_ms = first_ms + _AFTER_MS
            periods.append((key, 2 * swap.published_ms - over_ms, swap.published_ms))
            periods.append((key, swap.published_ms, over_ms))
        return periods

    def _taken_over(self) -> list[tuple[Swap, int]]:
        """The swaps that were seen in the results, and when the first result was written."""
        found = []
        for swap in self.swaps:
            key = swap.chapter.data_type
            seen = self.report.versions.get((key, MODEL_OF[key], swap.version))
            if seen is not None:
                found.append((swap, seen.first_ms))
        return found

    def _outcome(self, finished: SendReport, last: ReadReport, in_topic: int, partitions: int) -> Outcome:
        assert last.balance is not None
        costs = [around - before for before, around in zip(last.worst_ms[::2], last.worst_ms[1::2], strict=True)]
        account = Account(
            sent=last.balance.records,
            results=last.results,
            dead_letters=last.dead_letters,
            lost=last.balance.lost,
            duplicated=last.balance.duplicated,
            swaps=len(self._taken_over()),
            refused=sum(swap.is_refused for swap in self.swaps),
            results_by_version={
                f"{model}/{version}": seen.results for (_, model, version), seen in sorted(last.versions.items())
            },
            worst_swap_ms=float(max(costs, default=0)) if max(costs, default=0) > 0 else 0.0,
            seconds=finished.seconds,
            cut_overs=sum(len(swap.cut_overs) for swap in self.swaps),
            cut_violations=len(last.cut_violations),
            canary_entities=last.canary_entities,
            wavering=len(last.wavering),
            partitions=partitions,
        )
        seen = {swap.chapter.file for swap, _ in self._taken_over()}
        topic, foreign = self.stream.data_topic, in_topic - finished.sent
        found = complaint(self.swaps, seen, last, topic, foreign, self.wish.poison)
        return Outcome(account, tuple(self.swaps), last.reasons, found)


def _wine_stream(client: Client) -> Stream:
    """The stream that takes the demo's records, as soon as the API has seen a live worker that serves it."""
    deadline = time.monotonic() + _WORKER_SECONDS
    while not (found := [stream for stream in client.streams() if stream.name == "wine"]):
        if time.monotonic() >= deadline:
            known = ", ".join(stream.name for stream in client.streams()) or "none"
            raise DemoError(
                f"no live worker of this stack has a stream `wine` (streams: {known}); try another --data folder"
            )
        time.sleep(_TICK_SECONDS)
    if found[0].result_format != "protobuf":
        raise DemoError("the demo reads results in protobuf; the stream `wine` of this stack writes another format")
    return found[0]


def _went_live(swap: Swap) -> Swap:
    if swap.is_refused:
        raise DemoError(f"the first model ({swap.chapter.file}) was refused: {swap.reason}")
    return swap
