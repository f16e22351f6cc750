"""Where a job's parts are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from model_store.core.jobs import Backtest, Correction, Job
from serving.feed.batch import Output
from serving.feed.limits import read_limits
from serving.feed.settings import producer_properties
from serving.feed.writer import Writer
from serving.formats import open_result_format
from serving.formats.headers import result_headers
from serving.replay.backtest import BacktestRun
from serving.replay.correction import CorrectionRun
from serving.replay.errors import JobRefusedError
from serving.replay.pace import Pace
from serving.replay.ranges import Cut, RecordBatch, Slice, Topic, cut, read_batches, replay_consumer
from serving.replay.recorded import Decode, Outcomes, decode_dead_letter, decode_json_result, decode_protobuf_result
from serving.replay.report import Emit, Progress
from serving.replay.stopping import Stopping
from serving.replay.transactions import Transactions, transactional_id
from serving.replay.versions import LoadedVersion, Versions
from serving.settings import Settings
from serving.streams import OpenedStream, open_stream

_RESULTS_A_RECORD = 20
"""Results are looked through so many times faster than records are scored: it costs the broker, and little here."""

_DECODE: Mapping[str, Decode] = {"protobuf": decode_protobuf_result, "json": decode_json_result}


def run_job(settings: Settings, job: Job, *, emit: Emit, stop: Stopping) -> dict[str, object]:
    """Run one job to its end; its report. Blocks, for as long as the job takes.

    Args:
        settings: Those of the workers whose stream it is.
        job: The job.
        emit: Takes progress.
        stop: Ends the job soon after it is asked to.

    Raises:
        JobRefusedError: The job cannot be done.
        JobFailedError: It broke off.
        JobStopped: `stop` was asked to end it.
        SettingsError: The stream cannot be opened.
        KafkaException: A client cannot be made of the settings.
    """
    with ExitStack() as stack:
        return _Run(settings, job, emit, stop, stack).run()


class _Run:
    def __init__(self, settings: Settings, job: Job, emit: Emit, stop: Stopping, stack: ExitStack) -> None:
        self._settings, self._job, self._emit, self._stop, self._stack = settings, job, emit, stop, stack
        self._bootstrap, self._properties = settings.kafka.bootstrap, settings.kafka.properties
        self._stream = _stream(settings, job.stream)
        self._pace = Pace(job.records_per_second, wait=stop.wait)
        self._result_pace = Pace(job.records_per_second * _RESULTS_A_RECORD, wait=stop.wait)

    def run(self) -> dict[str, object]:
        source = Topic(self._bootstrap, self._properties, self._stream.settings.topic)
        found = cut(self._job.ranges, source)
        total = sum(part.end - part.first for part in found.slices)
        self._emit({"event": "started", "id": self._job.id, "total": total})
        progress = Progress(self._emit, total)
        versions = Versions(self._settings, self._stream)
        self._stack.callback(versions.close)
        if isinstance(self._job, Backtest):
            return self._backtest(self._job, found, versions, progress)
        return self._correction(self._job, found, versions, progress)

    def _backtest(self, job: Backtest, found: Cut, versions: Versions, progress: Progress) -> dict[str, object]:
        candidate = versions.load(job.candidate)
        baseline: LoadedVersion | list[Outcomes]
        if job.baseline == "recorded":
            decode = _DECODE[self._stream.settings.results.format]
            baseline = [
                self._outcomes(self._stream.plan.result_topic, decode),
                self._outcomes(self._stream.plan.dead_letter_topic, decode_dead_letter),
            ]
            for source in baseline:
                source.freeze()
        else:
            baseline = versions.load(job.baseline)
        return BacktestRun(job, self._stream, found, self._reader(), candidate, baseline, progress).run()

    def _correction(self, job: Correction, found: Cut, versions: Versions, progress: Progress) -> dict[str, object]:
        good = versions.load(job.good)
        settings, topic = self._stream.settings, self._stream.plan.result_topic
        limits = read_limits(self._bootstrap, [topic], self._properties)
        name = transactional_id(job.id)
        writer = Writer(
            producer_properties(
                bootstrap=self._bootstrap,
                worker_id=name,
                limits=limits,
                transactional_id=name,
                extra=self._properties,
            ),
            limits,
        )
        transactions = Transactions(writer)
        transactions.start()
        # Not before an earlier run of the same job is fenced: until then the topic may still get results of it.
        live = self._outcomes(topic, _DECODE[settings.results.format])
        live.freeze()
        results = open_result_format(settings.results.format)
        headers = result_headers(settings.results.headers, stream=settings.name, content_type=results.content_type)

        def oversized(output: Output) -> list[int]:
            return writer.oversized(output.topic, output.keys, output.values, output.headers)

        return CorrectionRun(
            job,
            self._stream,
            found,
            self._reader(),
            good,
            live,
            transactions,
            oversized,
            results,
            headers,
            progress,
        ).run()

    def _outcomes(self, topic: str, decode: Decode) -> Outcomes:
        outcomes = Outcomes(
            replay_consumer(self._bootstrap, self._properties),
            Topic(self._bootstrap, self._properties, topic),
            self._stream.settings.topic,
            decode,
            self._result_pace,
            self._stop.check,
        )
        self._stack.callback(outcomes.close)
        return outcomes

    def _reader(self) -> Callable[[Slice], Iterator[RecordBatch]]:
        consumer = replay_consumer(self._bootstrap, self._properties)
        self._stack.callback(consumer.close)
        most = min(self._settings.max_batch, max(1, self._job.records_per_second))

        def read(part: Slice) -> Iterator[RecordBatch]:
            for batch in read_batches(consumer, self._stream.settings.topic, part, most, self._stop.check):
                self._pace.take(len(batch))
                self._stop.check()
                yield batch

        return read


def _stream(settings: Settings, name: str) -> OpenedStream:
    for stream in settings.streams:
        if stream.name == name:
            return open_stream(stream, settings.dead_letter_topic)
    names = ", ".join(stream.name for stream in settings.streams)
    raise JobRefusedError(f"the settings have no stream {name!r}; they have: {names}")
