"""Workers that keep the protocol of exact changes over a real control log, and score nothing."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from patience import patient

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import Command, CommandBody, Outcome
from model_store.core.control_records import (
    ChangeReady,
    CutsPromised,
    PartitionOffset,
    PartitionsClaimed,
    StreamDeclared,
    WorkerStarted,
)
from model_store.core.wire import (
    EncodedRecord,
    decode_record,
    encode_command,
    encode_worker_record,
    encode_worker_started,
)


class LogView:
    """A control log as one more reader folds it, and a way to write to it."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.catalogue: Catalogue = EMPTY
        self.commands: list[tuple[int, Command]] = []
        self.times: dict[int, float] = {}
        self._kafka = kafka
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": kafka, "acks": "all", "linger.ms": 0})
        self._quit = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, body: CommandBody, reason: str = "because", expected: int | None = None) -> Outcome:
        """A person's command, and what became of it."""
        offset = self.send(encode_command(Command(uuid.uuid4().hex, "anna", reason, body, expected)))
        self.until(lambda: self.catalogue.offset >= offset)
        outcome = self.catalogue.outcomes.get(offset)
        assert outcome is not None
        return outcome

    def send(self, record: EncodedRecord) -> int:
        """Write a record; its offset."""
        offsets: list[int] = []
        self._producer.produce(
            self._topic, record.value, record.key, partition=0, headers=record.headers,
            on_delivery=lambda error, message: offsets.append(-1 if error else message.offset()),
        )  # fmt: skip
        self._producer.flush(15)
        assert offsets
        assert offsets[0] >= 0
        return offsets[0]

    def until(self, probe: Any, seconds: float = 20.0) -> Any:
        """The first true answer of `probe`, asked after each record."""
        deadline = time.monotonic() + patient(seconds)
        with self._changed:
            while not (found := probe()):
                left = deadline - time.monotonic()
                assert left > 0, f"still {found!r}; the log is at {self.catalogue.offset}"
                self._changed.wait(min(left, 0.5))
        return found

    def change(self, change_id: int) -> Change:
        """A change as it is now."""
        found = self.catalogue.changes.get(change_id)
        assert found is not None
        return found

    def over(self, change_id: int, seconds: float = 20.0) -> Change:
        """A change when it is over."""
        self.until(lambda: not self.change(change_id).state.is_open, seconds)
        return self.change(change_id)

    def written_by_replicas(self) -> Counter[str]:
        """How often each command of a replica is on the log, by id."""
        return Counter(command.id for _, command in self.commands if command.actor == "sluice")

    def accepted_of_replicas(self) -> list[CommandBody]:
        """What replicas did, in order."""
        found = []
        for offset, command in self.commands:
            outcome = self.catalogue.outcomes.get(offset)
            if command.actor == "sluice" and outcome is not None and outcome.is_accepted:
                found.append(command.body)
        return found

    def stop(self) -> None:
        """Read no more."""
        self._quit.set()
        self._thread.join(15)

    def seen(self) -> None:
        """Called after each record, on the reader's thread."""

    def _read(self) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self._kafka, "group.id": "unused", "enable.auto.commit": False,
             "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
        )  # fmt: skip
        while self._topic not in consumer.list_topics(timeout=10).topics:
            if self._quit.wait(0.05):
                return
        consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        while not self._quit.is_set():
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            record = decode_record(message.headers() or [], message.key(), message.value())
            with self._changed:
                self.times[message.offset()] = time.monotonic()
                self.catalogue = fold(self.catalogue, LogEntry(message.offset(), message.timestamp()[1], record))
                if isinstance(record, Command):
                    self.commands.append((message.offset(), record))
                self._changed.notify_all()
            self.seen()
        consumer.close()


class DutifulWorker(LogView):
    """Joins its group, claims what it is given, is ready for every change and promises its cuts; unless it is told not to."""

    def __init__(self, kafka: str, topic: str, data_topic: str, group: str, worker: str) -> None:
        self.worker = worker
        self.epoch = uuid.uuid4().hex
        self.is_ready = True
        self.refuses: set[int] = set()
        self._data_topic = data_topic
        self._group = group
        self._said: set[tuple[str, int, str]] = set()
        self._claim = ""
        self._held: frozenset[int] = frozenset()
        super().__init__(kafka, topic)
        stream = StreamDeclared("wine", data_topic, "", "protobuf", "")
        self.send(encode_worker_started(WorkerStarted(worker, self.epoch, group=group, streams=(stream,))))
        self._member = threading.Thread(target=self._be_member, daemon=True)
        self._member.start()
        self.until(lambda: self._claim)

    def stop(self) -> None:
        """See `LogView.stop`; leaves the group as well."""
        super().stop()
        self._member.join(15)

    def load(self) -> None:
        """Be ready from now on, for what is under way as well."""
        self.is_ready = True
        self.seen()

    def seen(self) -> None:
        """Do what the protocol asks for."""
        for change_id in self.catalogue.open_changes:
            change = self.catalogue.changes.get(change_id)
            if change is not None and change.state is ChangeState.PREPARED and self.is_ready:
                if self._is_new("ready", change_id):
                    problem = "damaged" if change_id in self.refuses else ""
                    record = ChangeReady(self.worker, self.epoch, change_id, problem, "it is broken" if problem else "")
                    self.send(encode_worker_record(record))
            elif change is not None and change.state is ChangeState.PROPOSED:
                self._promise(change)

    def _promise(self, change: Change) -> None:
        for lane in change.missing:
            state = self.catalogue.lanes.get(lane)
            is_mine = state is not None and state.claim == self._claim and lane.partition in self._held
            if is_mine and self._is_new(f"promise {lane.partition}", change.id):
                cut = PartitionOffset(lane.topic, lane.partition, 100)
                record = CutsPromised(self.worker, change.id, self._claim, lane.group, (cut,))
                self.send(encode_worker_record(record))

    def _is_new(self, what: str, change: int) -> bool:
        said = (what, change, self._claim)
        if said in self._said:
            return False
        self._said.add(said)
        return True

    def _be_member(self) -> None:
        consumer = Consumer(
            {"bootstrap.servers": self._kafka, "group.id": self._group, "client.id": self.worker,
             "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
        )  # fmt: skip
        consumer.subscribe([self._data_topic], on_assign=self._assigned)
        while not self._quit.is_set():
            consumer.poll(0.05)
        consumer.close()

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        claim = uuid.uuid4().hex
        self._held = frozenset(each.partition for each in partitions)
        places = tuple(PartitionOffset(self._data_topic, number, 0) for number in sorted(self._held))
        self.send(encode_worker_record(PartitionsClaimed(self.worker, self.epoch, claim, self._group, places)))
        self._claim = claim
