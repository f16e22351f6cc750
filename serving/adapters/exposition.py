"""What Prometheus is told of a worker: made anew for each scrape from what is counted anyway."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as MetricSource

from model_store.core.histogram import Histogram
from model_store.stats_store import Sheet
from serving.adapters.statistics import Collector
from serving.live import LiveModel

SCORE_BOUNDS: Final = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
LATENCY_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3600.0)
SWAP_BOUNDS: Final = (1e-6, 1e-5, 1e-4, 1e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0)


class FeedNumbers(Protocol):
    """What the feed counts; see `serving.feed`."""

    @property
    def records(self) -> int:
        """Records read."""

    @property
    def batches(self) -> int:
        """Batches read."""

    @property
    def outputs(self) -> int:
        """Results and dead letters written."""

    @property
    def commits(self) -> int:
        """Commits of offsets."""

    @property
    def in_flight(self) -> int:
        """Batches that are being scored."""

    @property
    def unacknowledged(self) -> int:
        """Outputs that the broker has not acknowledged."""

    @property
    def lag(self) -> Mapping[tuple[str, int], int] | None:
        """Records not read yet, by topic and partition."""


class Swaps:
    """Counts swaps and what they cost. Any thread may call anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(SWAP_BOUNDS) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one swap, which kept the scoring thread for so long."""
        with self._lock:
            self._counts[bisect.bisect_left(SWAP_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def snapshot(self) -> tuple[list[int], float]:
        """Cumulative counts, one a bound and the total at the end; and the seconds of all together."""
        with self._lock:
            counts, seconds = list(self._counts), self._seconds
        for at in range(1, len(counts)):
            counts[at] += counts[at - 1]
        return counts, seconds


class Exposition(MetricSource):
    """The metrics of one worker. Scraped in the HTTP server's threads."""

    def __init__(
        self,
        info: Mapping[str, str],
        statistics: Collector,
        swaps: Swaps,
        live: Callable[[], Iterable[tuple[str, LiveModel]]],
        feed: Callable[[], FeedNumbers | None],
    ) -> None:
        """Take what is counted where.

        Args:
            info: Labels of `sluice_worker_info`: worker, epoch, version ...
            statistics: Counts of models and dead letters.
            swaps: Counts of swaps.
            live: Route and what is its primary now; called in any thread.
            feed: The feed's counts, `None` before it runs; called in any thread.
        """
        self._info = dict(info)
        self._statistics = statistics
        self._swaps = swaps
        self._live = live
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        yield InfoMetricFamily("sluice_worker", "This worker.", self._info)
        yield from self._models()
        yield self._swap_seconds()
        yield from self._live_models()
        feed = self._feed()
        if feed is not None:
            yield from _feed_metrics(feed)

    def _models(self) -> Iterator[Metric]:
        labels = ["model", "version", "data_type"]
        results = CounterMetricFamily("sluice_results", "Records that were scored.", labels=labels)
        errors = CounterMetricFamily("sluice_score_errors", "Records that the model failed on.", labels=labels)
        score = HistogramMetricFamily("sluice_score_seconds", "Scoring time of a record, in its batch.", labels=labels)
        latency = HistogramMetricFamily(
            "sluice_latency_seconds", "From a record's timestamp to its score.", labels=labels
        )
        sheet = self._statistics.total()
        for series, part in sheet.series.items():
            values = [series.model, str(series.version), series.data_type]
            results.add_metric(values, part.count - part.errors)
            errors.add_metric(values, part.errors)
            score.add_metric(values, _buckets(part.score, SCORE_BOUNDS), part.duration_ns * 1e-9)
            latency.add_metric(values, _buckets(part.latency, LATENCY_BOUNDS), part.latency.sum_seconds())
        letters = CounterMetricFamily("sluice_dead_letters", "Records that could not be scored.", labels=["stage"])
        for stage, count in sheet.dead_letters.items():
            letters.add_metric([stage], count)
        yield from (results, errors, score, latency, letters)
        yield from _deciders(sheet)

    def _swap_seconds(self) -> Metric:
        counts, seconds = self._swaps.snapshot()
        bounds = [*map(str, SWAP_BOUNDS), "+Inf"]
        swaps = HistogramMetricFamily("sluice_swap_seconds", "Time that a swap kept the scoring thread.")
        swaps.add_metric([], list(zip(bounds, counts, strict=True)), seconds)
        return swaps

    def _live_models(self) -> Iterator[Metric]:
        labels = ["data_type", "model", "version", "sha256"]
        live = GaugeMetricFamily("sluice_model_live", "1 for what serves a data type on this worker.", labels=labels)
        in_place = GaugeMetricFamily(
            "sluice_model_in_place", "1 if the worker's own process computes it, 0 if another does.", labels=labels
        )
        for route, model in self._live():
            values = [route, model.model, str(model.version), model.sha256.hex()]
            live.add_metric(values, 1)
            in_place.add_metric(values, int(not model.scorer.runs_elsewhere))
        yield from (live, in_place)


def _deciders(sheet: Sheet) -> Iterator[Metric]:
    labels = ["route", "decider"]
    records = CounterMetricFamily(
        "sluice_decider_records", "Records that were to be decided.", labels=[*labels, "outcome"]
    )
    arms = CounterMetricFamily(
        "sluice_decider_arm_records",
        "What the arms had to do with them; the primary arm's name is empty.",
        labels=[*labels, "arm", "outcome"],
    )
    waiting = HistogramMetricFamily(
        "sluice_decider_seconds", "From asking the arms to the decision of a record.", labels=labels
    )
    for key, part in sheet.deciders.items():
        for outcome in ("decided", "unanswered", "undecidable"):
            records.add_metric([*key, outcome], getattr(part, outcome))
        for name, arm in part.arms.items():
            for outcome in ("chosen", "answered", "late", "failed"):
                arms.add_metric([*key, name, outcome], getattr(arm, outcome))
        waiting.add_metric(list(key), _buckets(part.waiting, LATENCY_BOUNDS), part.waiting.sum_seconds())
    yield from (records, arms, waiting)


def _feed_metrics(feed: FeedNumbers) -> Iterator[Metric]:
    yield CounterMetricFamily("sluice_records", "Records read from the data topics.", feed.records)
    yield CounterMetricFamily("sluice_batches", "Batches read from the data topics.", feed.batches)
    yield CounterMetricFamily("sluice_outputs", "Results and dead letters written.", feed.outputs)
    yield CounterMetricFamily("sluice_commits", "Commits of offsets.", feed.commits)
    yield GaugeMetricFamily("sluice_batches_in_flight", "Batches that are being scored.", feed.in_flight)
    yield GaugeMetricFamily("sluice_outputs_unacknowledged", "Outputs on their way to the broker.", feed.unacknowledged)
    lag = GaugeMetricFamily("sluice_lag_records", "Records not read yet.", labels=["topic", "partition"])
    for (topic, partition), records in (feed.lag or {}).items():
        lag.add_metric([topic, str(partition)], records)
    yield lag


def _buckets(histogram: Histogram, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    """Cumulative counts at each bound; a bound within one of the histogram's own buckets does not count that bucket."""
    counted = [(str(bound), float(histogram.count_up_to_seconds(bound))) for bound in bounds]
    return [*counted, ("+Inf", float(histogram.total))]
