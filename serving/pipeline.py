"""One stream's way from a batch of records to its outcomes: decode, dispatch, score, decide, encode. No I/O.

    open    bytes -> columns -> the work of each model that has a part in the batch (`dispatch`), its model leased;
            what cannot be scored is on the side road already
    score   the work's features -> predictions, wherever the agent lets it run
    settle  the deciders decide; what failed gets its second try: more work to be scored
    close   predictions -> results, dark results and dead letters
    finish  statistics, and the leases are given back, when the results are on their way

Everything is per batch but the bad records. All but `score` runs on the event loop's thread; `score` may run on any one
thread at a time for a model. A batch with one data type and one plan, the common case, is never split or joined.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_store.core.decider_counts import ArmCounts, DeciderCounts, DeciderKey
from model_store.core.histogram import Histogram, bucket_of
from model_store.core.pairs import NO_PAIRS, PairCounts
from serving.core.deciders import NOBODY, Answers, Candidate, Decided, Decider, Undecidable, parts
from serving.core.grouping import Rows, of_rows, within
from serving.core.outcomes import Unscored
from serving.core.scored import Scored
from serving.core.signals import compare
from serving.dispatch import Dispatch, StreamPlan
from serving.encoding import Part, ResultEncoder
from serving.feed.batch import Output, Records
from serving.formats.base import Provenance, Reason, RecordFormat
from serving.live import LiveModel
from serving.outputs import RowsTooLarge, dead_letter_output, result_output
from serving.work import Ballot, Opened, Work


@dataclass(frozen=True, slots=True)
class Observation:
    """What one model did with one batch, for the statistics.

    Attributes:
        model: Who scored.
        data_type: Of the records.
        records: Records given to it.
        errors: Those of them that it failed on.
        seconds: Time that it took.
        timestamps_ms: Record timestamps, -1 where there is none.
        values: What it said of the records that it did not fail on; `None` if it failed on all.
        pairs: How they compare with the primary's for the same records; of a dark version only.
    """

    model: LiveModel
    data_type: str
    records: int
    errors: int
    seconds: float
    timestamps_ms: NDArray[np.int64]
    values: Scored | None = None
    pairs: PairCounts = NO_PAIRS


Observe = Callable[[Observation], None]
"""Called on the loop's thread, once for each model of a batch; must be quick."""


ObserveDecider = Callable[[DeciderKey, DeciderCounts], None]
"""Called on the loop's thread, once for each part of a batch that a decider decided; must be quick."""


def nobody_counts(key: DeciderKey, counts: DeciderCounts) -> None:
    """An `ObserveDecider` where nobody asks."""


CountDeadLetters = Callable[[str, int], None]
"""Called on the loop's thread with a stage and how many records failed there."""


@dataclass(slots=True)
class _Closing:
    """What becomes of a batch: results and dark results so far."""

    results: list[Part] = field(default_factory=list)
    dark: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """See the module.

    Attributes:
        plan: Of the stream.
        records: Decodes its records.
        results: Encodes its results.
        dispatch: Finds out who scores what.
        worker: Worker id.
        decider_of: Finds a decider by its name.
        observe: Takes the statistics.
        count_dead_letters: Takes a stage and a number of records that failed there.
        too_large: Finds results that their topic would not take.
        observe_decider: Takes what deciders did.
    """

    plan: StreamPlan
    records: RecordFormat
    results: ResultEncoder
    dispatch: Dispatch
    worker: str
    decider_of: Callable[[str], Decider | None]
    observe: Observe
    count_dead_letters: CountDeadLetters
    too_large: RowsTooLarge
    observe_decider: ObserveDecider = nobody_counts

    def open(self, batch: Records) -> Opened:
        """Decode and dispatch. The plans of its offsets score this batch, whatever changes meanwhile."""
        return self.dispatch.opened(batch, self.records.decode(batch.values))

    def settle(self, opened: Opened) -> list[Work]:
        """After the works were scored: the works of a second try, which are to be scored before `close`."""
        more: list[Work | None] = []
        for work in opened.works:
            if work.purpose == "serve" and work.predictions.failures and work.plan.fallback is not None:
                failed = np.fromiter(work.predictions.failures, np.intp, len(work.predictions.failures))
                taken = within(work.taken, np.sort(failed))
                more.append(self.dispatch.try_fallback(opened, work.plan, work.data_type, taken))
        for ballot in opened.ballots:
            lost = _undecided(ballot, self._decision(ballot)[1])
            if len(lost):
                taken = within(ballot.taken, lost)
                more.append(self.dispatch.try_fallback(opened, ballot.plan, ballot.data_type, taken))
        found = [work for work in more if work is not None]
        opened.works += found
        return found

    def close(self, opened: Opened) -> list[Output]:
        """Encode what was scored, and say what became of every record of the batch."""
        batch, unscored = opened.batch, opened.unscored
        closing = _Closing()
        second_tries = [work for work in opened.works if work.purpose == "fallback"]
        for work in opened.works:
            self._close_work(opened, work, closing, second_tries)
        for ballot in opened.ballots:
            self._close_ballot(opened, ballot, closing, second_tries)
        outputs = []
        for topic, found in ((self.plan.result_topic, closing.results), (self.plan.dark_topic, closing.dark)):
            encoded = self.results.encoded(opened, found)
            output, refused = result_output(topic, batch, encoded, self.too_large)
            if output is not None:
                outputs.append(output)
            unscored += refused if found is closing.results else []
        if unscored:
            for stage, count in Counter(item.stage for item in unscored).items():
                self.count_dead_letters(stage, count)
            topic = self.plan.dead_letter_topic
            outputs.append(dead_letter_output(topic, self.plan.name, self.worker, batch, unscored, self.too_large))
        return outputs

    def finish(self, opened: Opened) -> None:
        """Count what was done, and give the models back: after `close`, when nobody waits for the results any more."""
        for work in opened.works:
            pairs = _compared(opened.batch, work, opened.works) if work.purpose == "dark" else NO_PAIRS
            self._observe(opened, work, pairs)
        for ballot in opened.ballots:
            for each in ballot.works:
                if each is not None and not each.is_late:
                    self._observe(opened, each, NO_PAIRS)
            answers, decided, seconds = self._decision(ballot)
            key = DeciderKey(ballot.plan.key, ballot.plan.decider)
            self.observe_decider(key, _decider_counts(ballot, answers, decided, seconds))
        self._give_back(opened)

    def abandon(self, opened: Opened) -> None:
        """Give the models back without results: the batch is opened again in parts, or the worker is going down."""
        self._give_back(opened)

    # ------------------------------------------------------------------ closing

    def _close_work(self, opened: Opened, work: Work, closing: _Closing, second_tries: Sequence[Work]) -> None:
        if work.predictions.failures and work.purpose != "dark":
            opened.unscored += _failed(opened.batch, work, second_tries)
        if not work.has_values:
            return
        rows = work.rows if work.valid is None else _scored_rows(opened.batch, work)
        part = self._part(opened, work, rows, _valid_values(work), work.reason)
        (closing.dark if work.purpose == "dark" else closing.results).append(part)

    def _close_ballot(self, opened: Opened, ballot: Ballot, closing: _Closing, second_tries: Sequence[Work]) -> None:
        positions, tried = _positions(opened.batch, ballot.rows), _tried(second_tries)
        answers, decided, _ = self._decision(ballot)
        lost = positions[_undecided(ballot, decided)]
        why = f"route {ballot.plan.key!r}: {decided.why}" if isinstance(decided, Undecidable) else _nobody(ballot)
        opened.unscored += [Unscored(row, "score", why, ballot.data_type) for row in lost.tolist() if row not in tried]
        if isinstance(decided, Undecidable):
            return
        for index, chosen, values in parts(answers, decided):
            work = ballot.works[index]
            assert work is not None
            closing.results.append(self._part(opened, work, positions[chosen], values, "decided"))

    def _decision(self, ballot: Ballot) -> tuple[Answers, Decided | Undecidable, float]:
        """What was decided, once for each ballot."""
        if ballot.decision is None:
            answers = _answers(ballot)
            decided = self._decided(ballot, answers)
            ballot.decision = answers, decided, time.perf_counter() - ballot.asked_at
        return ballot.decision

    def _decided(self, ballot: Ballot, answers: Answers) -> Decided | Undecidable:
        decider = self.decider_of(ballot.plan.decider)
        if decider is None:
            return Undecidable(f"there is no decider {ballot.plan.decider!r} on this worker")
        try:
            decided = decider(answers)
            if isinstance(decided, Undecidable) or _is_possible(answers, decided):
                return decided
            return Undecidable(f"its decider {ballot.plan.decider!r} chose an arm without an answer")
        except Exception as error:  # a decider may be a third party's; it costs its own records and nobody else's
            return Undecidable(f"its decider failed: {type(error).__name__}: {error}")

    def _part(self, opened: Opened, work: Work, rows: Rows, values: Scored, reason: Reason) -> Part:
        batch, model = opened.batch, work.model
        provenance = Provenance(
            model.model, model.version, model.sha256, work.data_type, batch.topic, batch.segments[0].partition,
            work.plan.change,
            self.worker, work.arm.name, work.plan.key, reason,
            decider=work.plan.decider if reason == "decided" else "",
        )  # fmt: skip
        return Part(rows, provenance, values)

    def _observe(self, opened: Opened, work: Work, pairs: PairCounts) -> None:
        failures = work.predictions.failures
        values = _valid_values(work) if work.has_values else None
        timestamps = of_rows(opened.timestamps_ms, work.rows)
        self.observe(
            Observation(
                work.model, work.data_type, len(work.features), len(failures), work.seconds, timestamps, values, pairs
            )
        )

    def _give_back(self, opened: Opened) -> None:
        for work in opened.works:
            self.dispatch.live.give_back(work.model)
        for ballot in opened.ballots:
            for each in ballot.works:
                if each is not None and not each.is_late:  # a late one is given back when it has ended
                    self.dispatch.live.give_back(each.model)


def _positions(batch: Records, rows: Rows) -> NDArray[np.intp]:
    return np.arange(len(batch)) if rows is None else rows


def _valid_values(work: Work) -> Scored:
    """The values of the records that its model did not fail on; only if it has any."""
    return work.values if work.valid is None else work.values.take(work.valid)


def _scored_rows(batch: Records, work: Work) -> NDArray[np.intp]:
    """Positions in the batch of the same records."""
    rows = _positions(batch, work.rows)
    return rows if work.valid is None else rows[work.valid]


def _failed(batch: Records, work: Work, second_tries: Sequence[Work]) -> list[Unscored]:
    """The records that a model failed on and nobody tries again."""
    positions = _positions(batch, work.rows)
    tried = _tried(second_tries) if work.purpose == "serve" else set()
    model = work.model
    return [
        Unscored(int(positions[i]), "score", reason, work.data_type, model.model, model.version)
        for i, reason in work.predictions.failures.items()
        if int(positions[i]) not in tried
    ]


def _tried(second_tries: Sequence[Work]) -> set[int]:
    return {row for work in second_tries if work.rows is not None for row in work.rows.tolist()}


def _compared(batch: Records, dark: Work, works: Sequence[Work]) -> PairCounts:
    """A dark version beside the primary arm, on the records that both scored.

    The primary arm may have several works, one a reason, and scores only its share; a dark version scores all records.
    """
    found = NO_PAIRS
    if not dark.has_values:
        return found
    for work in works:
        is_primary = work.purpose == "serve" and work.plan is dark.plan and work.arm is dark.plan.arms[0]
        if is_primary and work.has_values:
            found = found.merged(_pairs(batch, work, dark))
    return found


def _pairs(batch: Records, primary: Work, dark: Work) -> PairCounts:
    is_same = primary.rows is dark.rows or (
        primary.rows is not None and dark.rows is not None and np.array_equal(primary.rows, dark.rows)
    )
    if is_same and not primary.predictions.failures and not dark.predictions.failures:
        return compare(primary.values, dark.values)
    one, two = _scored_rows(batch, primary), _scored_rows(batch, dark)
    both, own, others = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    if not len(both):
        return NO_PAIRS
    return compare(_valid_values(primary).take(own), _valid_values(dark).take(others))


def _answers(ballot: Ballot) -> Answers:
    candidates: list[Candidate | None] = []
    for work in ballot.works:
        if work is None or work.is_late or not work.has_values:
            candidates.append(None)
            continue
        has_value = np.ones(ballot.count, np.bool_)
        has_value[list(work.predictions.failures)] = False
        candidates.append(Candidate(work.values, has_value))
    arrivals = [index for index in ballot.arrived if candidates[index] is not None]
    return Answers(ballot.count, candidates, arrivals)


def _is_possible(answers: Answers, decided: Decided) -> bool:
    """Every record has the answer of an arm that gave one, or none. Of another one the result would be lost."""
    is_possible = decided.chosen == NOBODY
    for index, candidate in answers.present():
        is_possible |= (decided.chosen == index) & candidate.has_value
    return is_possible.shape == (answers.rows,) and bool(is_possible.all())


def _decider_counts(ballot: Ballot, answers: Answers, decided: Decided | Undecidable, seconds: float) -> DeciderCounts:
    is_answered = answers.counts() > 0
    chosen = decided.chosen if isinstance(decided, Decided) else np.full(ballot.count, NOBODY)
    has_decision = int(np.count_nonzero(chosen != NOBODY))
    unanswered = ballot.count - int(np.count_nonzero(is_answered))
    arms: dict[str, ArmCounts] = {}
    for index, (arm, work) in enumerate(zip(ballot.plan.arms, ballot.works, strict=True)):
        candidate = answers.candidates[index]
        answered = 0 if candidate is None else int(np.count_nonzero(candidate.has_value))
        is_late = work is not None and work.is_late
        arms[arm.name] = ArmCounts(
            int(np.count_nonzero(chosen == index)),
            answered,
            ballot.count if is_late else 0,
            0 if is_late else ballot.count - answered,
        )
    waiting = Histogram({bucket_of(seconds * 1e9): ballot.count})
    return DeciderCounts(has_decision, unanswered, ballot.count - has_decision - unanswered, arms, waiting)


def _undecided(ballot: Ballot, decided: Decided | Undecidable) -> NDArray[np.intp]:
    """Which of its records got no answer."""
    return np.arange(ballot.count) if isinstance(decided, Undecidable) else np.flatnonzero(decided.chosen == NOBODY)


def _nobody(ballot: Ballot) -> str:
    late = [str(work.model) for work in ballot.works if work is not None and work.is_late]
    said = f"; not in time: {', '.join(late)}" if late else ""
    limit = ballot.plan.timeout_seconds * 1e3
    return f"none of the {len(ballot.works)} arms of route {ballot.plan.key!r} had a value within {limit:g} ms{said}"
