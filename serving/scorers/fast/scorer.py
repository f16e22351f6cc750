"""A scorer that computes in place what it may, and asks the engine about the rest.

While it is fast, a batch is computed on the thread that asks, by the flat model; records that the model leaves undecided
go to the engine (the *reference*) within the same call. Such records are rare in a model that was admitted: they are ties
between classes, which is why the wait for a handful of rows is taken instead of giving the whole model back to the engine.
Where they turn out to be common, the scorer goes over to the engine for good.

It is watched. At most once a second a few of the records that were just scored are scored by the engine as well, on a
thread of its own that no batch waits for. On the first difference, or when the flat model raises an exception, the scorer
goes over to the reference for good: an error is logged, `runs_elsewhere` becomes true, and whoever asked to be told is told.
No record fails by that, because the batch is scored by the reference then.

Threads: `score` as any scorer; the watch compares on its own thread; callbacks are called on the thread that went over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from model_store.core.signature import Signature
from serving.core.columns import Features, Predictions
from serving.core.errors import ScoringError
from serving.scorers.base import Scorer
from serving.scorers.fast.admission import TOLERANCE, Agreement, Score, disagreement
from serving.scorers.fast.joining import joined, taken
from serving.scorers.fast.model import Evaluator

log = structlog.get_logger(__name__)

SAMPLE_ROWS: Final = 64
SAMPLE_SECONDS: Final = 1.0

_JUDGED_ROWS: Final = 10_000
_MOST_REFERRED: Final = 0.02
_NOTHING: Final = np.empty(0, np.intp)


class Watch:
    """The one thread on which the scorers of an engine have samples compared; a scorer has one sample in it at a time."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Do `work`, which does not raise, some time later; or not at all, once it is closed."""
        with self._lock:
            if self._is_closed:
                return
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "fast-watch")
            self._thread.submit(work)

    def close(self) -> None:
        """End the thread, after the sample that it is at."""
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(cancel_futures=True)


class FastScorer:
    """See `Scorer`, and the module.

    Attributes:
        reference: The scorer of the engine that loaded the model.
        disagreements: How often the flat model differed from the engine: nought, or one.
        watched_rows: How many records were compared since the model was loaded.
    """

    def __init__(
        self,
        reference: Scorer,
        evaluator: Evaluator,
        watch: Watch,
        check: Score,
        sample_seconds: float = SAMPLE_SECONDS,
        agreement: Agreement = "exact",
    ) -> None:
        """Wrap an admitted model.

        Args:
            reference: Becomes this scorer's own; closed with it.
            evaluator: Was admitted against `reference`.
            watch: Where samples are compared.
            check: Scores a sample by the engine, without delaying batches: it may be called while `reference.score` runs.
            sample_seconds: Least time between two samples.
            agreement: What is asked of samples, as it was at admission.
        """
        self.reference = reference
        self.disagreements = 0
        self.watched_rows = 0
        self._evaluator = evaluator
        self._watch = watch
        self._check = check
        self._sample_seconds = sample_seconds
        self._agreement = agreement
        self._is_fast = True
        self._is_closed = False
        self._is_watching = False
        self._next_sample = 0.0
        self._scored = self._referred = 0
        self._asking = threading.Lock()
        self._sampling = threading.Lock()
        self._going_over = threading.Lock()
        self._on_change: list[Callable[[], None]] = []
        self._signature = reference.signature

    @property
    def signature(self) -> Signature:
        """See `Scorer.signature`; the reference's."""
        return self._signature

    @property
    def engine(self) -> str:
        """See `Scorer.engine`; says who computes."""
        if not self._is_fast:
            return f"{self.reference.engine}; no longer computed in place"
        how = "bit for bit the same" if self._agreement == "exact" else f"to {TOLERANCE:g} the same"
        return f"{self.reference.engine}; computed in place by numpy {np.__version__}, {how}"

    @property
    def runs_elsewhere(self) -> bool:
        """See `Scorer.runs_elsewhere`: false as long as the model is computed here; may become true at any time."""
        return not self._is_fast and self.reference.runs_elsewhere

    @property
    def is_fast(self) -> bool:
        """Batches are computed here."""
        return self._is_fast

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, on any thread, when `runs_elsewhere` may have become true."""
        with self._going_over:
            self._on_change.append(callback)

    def score(self, features: Features) -> Predictions:
        """See `Scorer.score`."""
        if self._is_closed:
            raise ScoringError("the scorer was closed")
        if not self._is_fast:
            with self._asking:
                return self.reference.score(features)
        try:
            answer = self._evaluator.evaluate(features)
        except Exception as error:
            self._go_over("model.fast_failed", error=f"{type(error).__name__}: {error}")
            with self._asking:
                return self.reference.score(features)
        undecided = answer.undecided
        predictions = answer.predictions
        if undecided is not None:
            predictions = joined(predictions, undecided, self._ask(features.take(undecided)))
        self._count(len(features), 0 if undecided is None else len(undecided))
        if len(features) and not self._is_watching and monotonic() >= self._next_sample:
            self._sample(features, predictions)
        return predictions

    def agrees_on(self, features: Features) -> bool:
        """Compare on rows that somebody cares for (golden rows), now. Goes over to the reference if they differ.

        Raises:
            ScoringError: The reference cannot score them.
        """
        if not self._is_fast:
            return True
        self._compare(features, self.score(features))
        return self._is_fast

    def close(self) -> None:
        """See `Scorer.close`. Waits for the sample that is being compared."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._sampling, self._asking:
            self.reference.close()

    def _ask(self, features: Features) -> Predictions:
        """Have the engine decide some rows; if it cannot, they fail with its reason."""
        with self._asking:
            try:
                return self.reference.score(features)
            except ScoringError as error:
                columns = self._evaluator.evaluate(features).predictions.columns
                return Predictions(columns, dict.fromkeys(range(len(features)), str(error)))

    def _count(self, scored: int, referred: int) -> None:
        self._scored += scored
        self._referred += referred
        if self._scored >= _JUDGED_ROWS:
            if self._referred > _MOST_REFERRED * self._scored:
                self._go_over("model.fast_undecided", referred=self._referred, scored=self._scored)
            self._scored = self._referred = 0

    def _sample(self, features: Features, predictions: Predictions) -> None:
        """Have some of the records compared. They are copied: the caller may do with its own what it likes."""
        rows: NDArray[np.intp] = np.unique(np.linspace(0, len(features) - 1, SAMPLE_ROWS).astype(np.intp))
        self._is_watching = True
        given, said = features.take(rows), taken(predictions, rows)
        self._watch.submit(lambda: self._look(given, said))

    def _look(self, features: Features, said: Predictions) -> None:
        try:
            with self._sampling:
                if not self._is_closed and self._is_fast:
                    self._compare(features, said)
        except Exception as error:
            log.warning(
                "model.fast_not_watched", engine=self.reference.engine, error=f"{type(error).__name__}: {error}"
            )
        finally:
            self._next_sample = monotonic() + self._sample_seconds
            self._is_watching = False

    def _compare(self, features: Features, said: Predictions) -> None:
        found = disagreement(features, said, self._check(features), _NOTHING, self._agreement)
        self.watched_rows += len(features)
        if found is not None:
            self.disagreements += 1
            self._go_over("model.fast_disagreed", what=found.what, record=found.record)

    def _go_over(self, event: str, **why: object) -> None:
        """To the reference, for good."""
        with self._going_over:
            if not self._is_fast:
                return
            self._is_fast = False
            callbacks = list(self._on_change)
        log.error(event, engine=self.reference.engine, **why)
        for callback in callbacks:
            callback()
