"""Whole jobs in this process, on a real broker, with the demo's models. What was live is written by the test itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from modelserving.v1.descriptor_pb2 import ModelDescriptor
from modelserving.v1.records_pb2 import DeadLetter, ScoreResult

from model_store.core.jobs import Backtest, Correction, Job, OffsetRange, TimeRange, VersionAt, VersionName, job_to_json
from serving.core.scored import Scored
from serving.formats.base import Provenance, ScoredColumns
from serving.formats.results import ProtobufResults
from serving.replay.errors import JobFailedError, JobRefusedError, JobStopped
from serving.replay.ranges import Slice, read_batches, replay_consumer
from serving.replay.run import run_job
from serving.replay.scoring import rows_of_type, score
from serving.replay.stopping import Stopping
from serving.replay.transactions import Transactions
from serving.replay.versions import Versions
from serving.settings import read_settings
from serving.streams import open_stream
from sluice.demo.records import encode_wines, read_wines
from sluice.demo.wine import ARTIFACTS, DESCRIPTOR_SET, FEATURES, MESSAGE

pytestmark = pytest.mark.kafka

REPOSITORY = Path(__file__).parents[2]
PARTITIONS = 2
LINEAR = (ARTIFACTS / "wine_linear.pmml").read_bytes()
SHIFTED = LINEAR.replace(b'intercept="120.371047"', b'intercept="120.621047"')
"""The same model, and a quarter more."""


def linear(matrix: np.ndarray) -> np.ndarray:
    """What the linear model says, nearly."""
    root = ElementTree.fromstring(LINEAR)
    [table] = root.iter("{http://www.dmg.org/PMML-4_4}RegressionTable")
    slopes = {item.attrib["name"]: float(item.attrib["coefficient"]) for item in table}
    return float(table.attrib["intercept"]) + matrix @ np.array([slopes.get(name, 0.0) for name in FEATURES])


@dataclass
class World:
    """Topics, settings and versions of one test. Both data types of the demo's bottles are in the data topic."""

    kafka: Any
    folder: Path
    source: str
    results: str
    dead_letters: str
    control: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        stream = {
            "name": "wine",
            "topic": self.source,
            "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(DESCRIPTOR_SET)},
            "route": {"field": "data_type"},
            "results": {"topic": self.results},
        }
        settings = {
            "kafka": {"bootstrap": self.kafka.bootstrap},
            "control_topic": {"name": self.control},
            "dead_letter_topic": self.dead_letters,
            "artifacts": {"cache_dir": str(self.folder / "cache")},
            "streams": [stream],
        }
        path = self.folder / "worker.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    def write(self, topic: str, *records: tuple[int, bytes | None, bytes]) -> list[int]:
        """Records as (partition, key, value); their offsets."""
        placed: list[int] = []
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "message.max.bytes": 20 << 20})
        for partition, key, value in records:
            producer.produce(
                topic, value, key, partition=partition, on_delivery=lambda error, record: placed.append(record.offset())
            )
        assert producer.flush(30) == 0
        return placed

    def publish(self, payload: bytes, model_type: int = ModelDescriptor.PMML, name: str = "wine") -> int:
        descriptor = ModelDescriptor(name=name, data_type="wine", modeltype=model_type, data=payload)  # type: ignore[arg-type]  # an open enum
        return self.write(self.control, (0, b"wine", descriptor.SerializeToString()))[0]

    def send_wines(self, count: int) -> None:
        values = encode_wines(read_wines())[:count]
        self.write(self.source, *((i % PARTITIONS, f"k{i}".encode(), value) for i, value in enumerate(values)))

    def score_live(self, at: VersionAt, parts: list[Slice], batch: int, worker: str = "w1") -> int:
        """Results as a worker writes them, of all records of type `wine`, scored `batch` at a time; how many."""
        settings = read_settings(self.path)
        stream = open_stream(settings.streams[0], self.dead_letters)
        versions = Versions(settings, stream)
        consumer = replay_consumer(self.kafka.bootstrap, {})
        count = 0
        try:
            version = versions.load(at)
            for part in parts:
                for records in read_batches(consumer, self.source, part, batch, lambda: None):
                    decoded = stream.records.decode(records.values)
                    rows = rows_of_type(stream, records, decoded, "wine")
                    if not len(rows):
                        continue
                    values = score(version, stream, decoded, rows).values
                    assert isinstance(values, Scored)
                    columns = ScoredColumns(
                        records.offsets[rows], records.timestamps[rows], values.prediction, values.label, values.scores
                    )
                    provenance = Provenance(
                        at.model, at.version, version.loaded.sha256, "wine", self.source, part.partition,
                        at.control_offset, worker,
                    )  # fmt: skip
                    encoded = ProtobufResults().encode(provenance, columns)
                    keys = [records.keys[i] for i in rows.tolist()]
                    self.write(
                        self.results, *((part.partition, key, one) for key, one in zip(keys, encoded, strict=True))
                    )
                    count += len(rows)
        finally:
            consumer.close()
            versions.close()
        return count

    def say_live(self, at: VersionAt, parts: list[Slice], shift: float = 0.0) -> None:
        """Results of all records of type `wine` as version `at` of the linear model would have written them, but `shift`."""
        bottles = read_wines()
        expected = linear(bottles.matrix) + shift
        for part in parts:
            rows = [offset * PARTITIONS + part.partition for offset in range(part.first, part.end)]
            results = [
                ScoreResult(
                    model=at.model,
                    model_version=at.version,
                    control_offset=at.control_offset,
                    data_type="wine",
                    topic=self.source,
                    partition=part.partition,
                    offset=row // PARTITIONS,
                    worker="w1",
                    prediction=expected[row],
                )
                for row in rows
                if bottles.data_types[row] == "wine"
            ]
            key = {result.offset: f"k{result.offset * PARTITIONS + part.partition}".encode() for result in results}
            self.write(self.results, *((part.partition, key[r.offset], r.SerializeToString()) for r in results))

    def everything(self) -> list[Slice]:
        return [Slice(partition, 0, end) for partition, end in enumerate(self.ends(self.source))]

    def ends(self, topic: str) -> list[int]:
        consumer = replay_consumer(self.kafka.bootstrap, {})
        try:
            return [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS)]
        finally:
            consumer.close()

    def run(self, job: Job, stop: Stopping | None = None) -> dict[str, Any]:
        self.lines = []
        return run_job(
            read_settings(self.path), job, emit=lambda line: self.lines.append(dict(line)), stop=stop or Stopping()
        )

    def read_results(self) -> list[tuple[Any, ScoreResult]]:
        """All committed results, each with its record."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "group.id": "tests",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(self.results, partition, 0) for partition in range(PARTITIONS)])
        found, ends = [], set()
        try:
            while len(ends) < PARTITIONS:
                for record in consumer.consume(1_000, 0.2):
                    if record.error() is None:
                        found.append((record, ScoreResult.FromString(record.value())))
                    else:
                        assert record.error().code() == KafkaError._PARTITION_EOF
                        ends.add(record.partition())
        finally:
            consumer.close()
        return found


ALL = tuple(OffsetRange(partition, 0, 10**6) for partition in range(PARTITIONS))
FAST = 1_000_000


def backtest(candidate: VersionAt, **changes: Any) -> Backtest:
    given: dict[str, Any] = {
        "id": "b",
        "stream": "wine",
        "ranges": ALL,
        "data_type": "wine",
        "records_per_second": FAST,
    }
    return Backtest(candidate=candidate, **{**given, **changes})


@pytest.fixture
def world(kafka: Any, tmp_path: Path) -> World:
    large = {"max.message.bytes": str(20 << 20)}
    return World(
        kafka,
        tmp_path,
        kafka.create_topic(PARTITIONS),
        kafka.create_topic(PARTITIONS),
        kafka.create_topic(1, large),
        kafka.create_topic(1, large),
    )


def at(offset: int, version: int = 1, model: str = "wine") -> VersionAt:
    return VersionAt(model, version, offset)


def wines(count: int) -> int:
    return int((read_wines().data_types[:count] == "wine").sum())


@pytest.mark.parametrize(
    ("file", "model_type", "batch"),
    [
        ("wine_frozen.pb", ModelDescriptor.TENSORFLOW, 7),
        ("wine_saved_model.zip", ModelDescriptor.TENSORFLOWSAVED, 333),
        ("wine_forest.pmml", ModelDescriptor.PMML, 11),
    ],
)
def test_the_version_that_was_live_gives_the_same_bits_in_batches_of_another_size(
    world: World, file: str, model_type: int, batch: int
) -> None:
    live = at(world.publish((ARTIFACTS / file).read_bytes(), model_type))
    world.send_wines(1_000)
    assert world.score_live(live, world.everything(), batch) == wines(1_000)

    report = world.run(backtest(live, segment_by="ph"))

    assert report["identical"] == report["paired"] == report["records"] == wines(1_000)
    assert report["unpaired"] == {}
    assert report["disagreement"]["high"] < 0.01
    assert report["deltas"]["max"] in (0.0, None)
    assert sum(part["identical"] for part in report["segments"].values()) == wines(1_000)


def test_a_candidate_that_was_made_bad_differs_by_what_it_was_made_bad(world: World) -> None:
    live, candidate = at(world.publish(LINEAR)), at(world.publish(SHIFTED), 2)
    world.send_wines(400)
    world.say_live(live, world.everything())

    recorded = world.run(backtest(candidate))
    tolerant = world.run(backtest(candidate, tolerance=0.26))
    rescored = world.run(backtest(candidate, baseline=live))

    for report in (recorded, rescored):
        assert report["paired"] == report["disagreement"]["records"] == wines(400)
        assert report["identical"] == 0
        assert report["deltas"]["mean"] == pytest.approx(0.25)
        assert report["deltas"]["min"] == pytest.approx(0.25)
        assert report["deltas"]["max"] == pytest.approx(0.25)
        assert report["deltas"]["abs_p99"] == pytest.approx(0.25, rel=0.03)
        assert report["latency_seconds"]["p99"] > 0
    assert tolerant["disagreement"]["records"] == 0
    assert tolerant["identical"] == 0


def test_records_without_a_live_result_are_told_apart(world: World) -> None:
    live = at(world.publish(LINEAR))
    world.send_wines(200)
    [first, second] = world.everything()
    world.say_live(live, [Slice(0, 0, 50)])
    letter = DeadLetter(topic=world.source, partition=1, offset=0, stage=DeadLetter.STAGE_SCORE, reason="too hot")
    world.write(world.dead_letters, (0, None, letter.SerializeToString()))
    world.write(world.source, (1, b"k", b"\xff no record"))

    report = world.run(backtest(live, data_type=None))

    assert report["records"] == first.end + second.end
    assert report["deltas"]["abs_p99"] == pytest.approx(0.0, abs=1e-6)
    assert report["unpaired"] == {"baseline": report["records"] - report["paired"]}
    assert report["errors"]["baseline"]["score"] == {
        "records": 1,
        "examples": [{"partition": 1, "offset": 0, "reason": "too hot"}],
    }
    assert report["errors"]["baseline"]["unknown"]["records"] == report["records"] - report["paired"] - 1
    assert report["not_decoded"]["decode"]["examples"][0]["offset"] == second.end


def test_the_result_that_was_written_last_counts_and_corrections_do_not(world: World) -> None:
    good = at(world.publish(LINEAR), 2)
    world.send_wines(100)
    world.say_live(at(0), world.everything(), 0.25)
    world.say_live(good, world.everything())
    superseding = [
        ScoreResult(topic=world.source, partition=0, offset=offset, prediction=0.0, reason=ScoreResult.REASON_CORRECTED)
        for offset in range(50)
    ]
    world.write(world.results, *((0, b"k", result.SerializeToString()) for result in superseding))

    report = world.run(backtest(good))

    assert report["deltas"]["abs_p99"] == pytest.approx(0.0, abs=1e-6)
    assert report["baseline_versions"] == {"wine v2": wines(100)}


def test_only_as_many_records_as_wanted_are_taken_from_all_partitions(world: World) -> None:
    live = at(world.publish(LINEAR))
    world.send_wines(400)

    report = world.run(backtest(live, baseline=live, max_records=100, data_type=None))

    assert report["records"] == report["identical"] == 100
    assert world.lines[0] == {"event": "started", "id": "b", "total": 400}
    assert {line["partition"] for line in world.lines if line["event"] == "progress"} <= {0, 1}


def test_ranges_are_cut_to_what_is_there_and_say_so(world: World) -> None:
    live = at(world.publish(LINEAR))
    world.send_wines(100)

    some = world.run(
        backtest(live, baseline=live, data_type=None, ranges=(OffsetRange(1, 10, 20), OffsetRange(1, 45, 60)))
    )
    none = world.run(backtest(live, baseline=live, data_type=None, ranges=TimeRange(0, 1)))

    assert some["records"] == 15
    assert some["ranges"] == [{"partition": 1, "from": 10, "to": 20}, {"partition": 1, "from": 45, "to": 50}]
    assert some["not_there"] == [{"partition": 1, "from": 50, "to": 60}]
    assert (none["records"], none["ranges"], none["disagreement"]["rate"]) == (0, [], None)


def test_a_job_that_cannot_be_done_says_why(world: World) -> None:
    live = world.publish(LINEAR)
    world.write(world.control, (0, b"k", b"\xff no descriptor"))
    world.send_wines(10)
    needs_more = LINEAR.replace(b'"ph"', b'"colour"')
    other = world.publish(needs_more)
    cases = [
        (backtest(at(live), stream="beer"), "no stream 'beer'; they have: wine"),
        (backtest(at(live, model="beer")), "control offset 0 registers a version of 'wine', not of 'beer'"),
        (backtest(at(99)), "the record at 99 of the control log .* is not there"),
        (backtest(at(1)), "registers no version: it is a record Invalid"),
        (backtest(at(other)), "wine v1 cannot score the records of stream wine: .*colour"),
        (backtest(at(live), ranges=(OffsetRange(7, 0, 1),)), "has no partition 7: it has 2"),
        (backtest(at(live), segment_by="colour"), "no field 'colour' to make segments by"),
    ]
    for job, message in cases:
        with pytest.raises(JobRefusedError, match=message):
            world.run(job)


def correction(bad: VersionName, good: VersionAt, **changes: Any) -> Correction:
    given: dict[str, Any] = {
        "id": f"c-{uuid.uuid4().hex[:6]}",
        "stream": "wine",
        "ranges": ALL,
        "records_per_second": FAST,
    }
    return Correction(bad=bad, good=good, **{**given, **changes})


@dataclass
class Incident:
    """Records 20 to 59 of each partition were scored by the bad version, the others by the good one."""

    world: World
    job: Correction
    affected: set[tuple[int, int]]

    def corrections(self) -> Counter[tuple[int, int]]:
        return Counter(
            (result.partition, result.offset)
            for _, result in self.world.read_results()
            if result.supersedes.correction == self.job.id
        )


@pytest.fixture
def incident(world: World) -> Incident:
    good, bad = at(world.publish(LINEAR)), at(1, 2)
    world.send_wines(200)
    for partition in range(PARTITIONS):
        world.say_live(good, [Slice(partition, 0, 20)])
        world.say_live(bad, [Slice(partition, 20, 60)], 0.25)
        world.say_live(good, [Slice(partition, 60, 100)])
    affected = {(r.partition, r.offset) for _, r in world.read_results() if r.model_version == 2}
    return Incident(world, correction(VersionName("wine", 2), good), affected)


def test_a_correction_writes_what_the_good_version_says_of_each_affected_record(incident: Incident) -> None:
    world, job = incident.world, incident.job
    before = {(r.partition, r.offset): (record, r) for record, r in world.read_results()}

    report = world.run(job)

    assert incident.corrections() == Counter(incident.affected)
    assert report["affected"] == report["corrected"] == len(incident.affected)
    assert (report["failed"], report["corrected_before"]) == (0, 0)
    assert [item["partition"] for item in report["affected_ranges"]] == [0, 1]
    assert all(20 <= item["first"] <= item["last"] < 60 for item in report["affected_ranges"])
    for record, result in world.read_results():
        if not result.HasField("supersedes"):
            continue
        old_record, old = before[result.partition, result.offset]
        assert record.key() == old_record.key()
        assert result.prediction == pytest.approx(old.prediction - 0.25)
        assert (result.model, result.model_version, result.control_offset) == ("wine", 1, job.good.control_offset)
        assert (result.reason, result.worker) == (ScoreResult.REASON_CORRECTED, f"correction-{job.id}")
        assert result.record_timestamp_ms > 0
        superseded = result.supersedes
        assert (superseded.model, superseded.model_version, superseded.control_offset) == (
            "wine",
            2,
            old.control_offset,
        )


def test_a_correction_that_runs_again_writes_nothing_more(incident: Incident) -> None:
    incident.world.run(incident.job)

    again = incident.world.run(incident.job)

    assert (again["corrected"], again["corrected_before"]) == (0, len(incident.affected))
    assert incident.corrections() == Counter(incident.affected)


def test_a_correction_corrects_only_its_ranges_and_its_data_type(incident: Incident) -> None:
    world, job = incident.world, incident.job

    part = world.run(correction(job.bad, job.good, ranges=(OffsetRange(1, 30, 50),)))
    other = world.run(correction(job.bad, job.good, data_type="sparkling"))

    assert part["corrected"] == sum(
        1 for partition, offset in incident.affected if partition == 1 and 30 <= offset < 50
    )
    assert (other["affected"], other["corrected"]) == (0, 0)


@pytest.mark.parametrize("dies", ["before", "within", "after"])
def test_a_correction_that_dies_in_a_transaction_leaves_nothing_twice(
    incident: Incident, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its second transaction begins, with its results sent and not committed, or right after the commit."""
    world, job = incident.world, incident.job
    abandoned: list[Transactions] = []

    class Dying(Exception):
        pass

    def write_once(self: Transactions, output: Any) -> None:
        second = bool(abandoned)
        abandoned.append(self)  # it must not be closed in order: its transaction stays open, as after kill -9
        if second and dies == "before":
            raise Dying
        self._writer.producer.begin_transaction()
        self._writer.send(output, lambda error, record: None)
        if second and dies == "within":
            self._writer.producer.flush(30)
            raise Dying
        self._writer.producer.commit_transaction(30)
        if second:
            raise Dying

    with monkeypatch.context() as patch:
        patch.setattr(Transactions, "_write_once", write_once)
        with pytest.raises(Dying):
            world.run(job)

    report = world.run(job)

    assert incident.corrections() == Counter(incident.affected)
    assert report["corrected"] + report["corrected_before"] == len(incident.affected)
    assert (report["corrected"] > 0) == (dies != "after")
    assert report["corrected_before"] > 0


def test_a_run_that_is_overtaken_by_another_is_fenced(incident: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    world, job = incident.world, incident.job
    write = Transactions.write
    overtaking: list[dict[str, Any]] = []

    def overtaken(self: Transactions, output: Any) -> None:
        if not overtaking:
            overtaking.append({})
            overtaking[0] = world.run(job)
        write(self, output)

    with monkeypatch.context() as patch:
        patch.setattr(Transactions, "write", overtaken)
        with pytest.raises(JobFailedError, match="cannot be written"):
            world.run(job)

    assert overtaking[0]["corrected"] == len(incident.affected)
    assert incident.corrections() == Counter(incident.affected)


def test_a_job_that_is_stopped_says_so_and_can_go_on(incident: Incident) -> None:
    stop = Stopping()
    stop.ask()

    with pytest.raises(JobStopped):
        incident.world.run(incident.job, stop)

    assert incident.corrections() == Counter()


def test_the_process_ends_in_order_when_it_is_told_to(incident: Incident, tmp_path: Path) -> None:
    slow = correction(incident.job.bad, incident.job.good, records_per_second=1)
    path = tmp_path / "job.json"
    path.write_text(job_to_json(slow))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.replay", "--config", str(incident.world.path), "--job", str(path)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "started"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(out.splitlines()[-1]) == {"event": "stopped"}


def test_the_process_says_what_is_wrong_with_its_job(world: World, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{"kind": "audit"}')
    done = subprocess.run(
        [sys.executable, "-m", "serving.replay", "--config", str(world.path), "--job", str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    line = json.loads(done.stdout)
    assert (line["event"], line["problem"]) == ("failed", "InvalidJobError")
    assert "job.kind" in line["reason"]
