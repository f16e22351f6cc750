"""Deciders: from the answers of several models to the same records, one answer a record.

In speculative mode all arms of a route score a batch, and a decider picks when all have answered or time is up. A
decider is a function from `Answers` to `Decided`; it works on whole columns and keeps nothing. Candidates are counted in
the order of the route's arms, and so are ties: the earlier arm wins.

| name | the answer of a record |
|---|---|
| `first` | the one of the candidate that answered first |
| `best_confidence` | the one with the largest score; a candidate without scores only if no other has any |
| `vote` | the one that most candidates agree on |
| `mean` | the mean of the predictions, and of the scores, of all that answered; the label by vote |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import TextColumn
from serving.core.scored import Scored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truths = NDArray[np.bool_]

NOBODY = -1
"""In `Decided.chosen`: no candidate has a value for the row."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one model answered for `n` records.

    Attributes:
        scored: Its values.
        has_value: bool (n,), false where the model failed; the values there mean nothing.
    """

    scored: Scored
    has_value: Truths


@dataclass(frozen=True, slots=True)
class Answers:
    """What there is to decide on.

    Attributes:
        rows: Number of records, `n`.
        candidates: One an arm, in the order of the arms; `None` if the model is late or failed as a whole.
        arrivals: Indexes of the candidates that are there, each once, in the order in which they answered.
    """

    rows: int
    candidates: Sequence[Candidate | None]
    arrivals: Sequence[int]

    def present(self) -> Iterator[tuple[int, Candidate]]:
        """The candidates that are there, with their indexes, in the order of the arms."""
        return ((index, candidate) for index, candidate in enumerate(self.candidates) if candidate is not None)

    def counts(self) -> Ints:
        """How many candidates have a value, int64 (n,)."""
        counts = np.zeros(self.rows, np.int64)
        for _, candidate in self.present():
            counts += candidate.has_value
        return counts


@dataclass(frozen=True, slots=True)
class Decided:
    """One answer a record.

    Attributes:
        chosen: int64 (n,), index of the candidate whose answer it is, `NOBODY` if there is no answer. Where the answer is a
            combination, the first candidate that had a part in it.
        counts: int64 (n,), how many candidates had a value.
        scored: The values of `n` records. Where a record's candidate has no value of a kind that another has: NaN for numbers
            (scores are filled up to the widest), code -1 for labels. `parts` gives them without that filling.
        is_combined: The values are of several candidates together, not those of the chosen one.
    """

    chosen: Ints
    counts: Ints
    scored: Scored
    is_combined: bool = False


@dataclass(frozen=True, slots=True)
class Undecidable:
    """The decider cannot do with these answers, whatever the records; a fault of the route, not of a record.

    Attributes:
        why: A sentence.
    """

    why: str


Decider = Callable[[Answers], Decided | Undecidable]
"""Called on the event loop, once a batch; must not block, raise, or change what it is given."""


def first(answers: Answers) -> Decided:
    """The answer that came first, record by record: where the fastest failed, the next one's."""
    chosen = np.full(answers.rows, NOBODY, np.int64)
    for index in answers.arrivals:
        if (candidate := answers.candidates[index]) is not None:
            chosen[candidate.has_value & (chosen == NOBODY)] = index
    return _of_chosen(answers, chosen)


def best_confidence(answers: Answers) -> Decided:
    """The answer with the largest score. NaN is no score; an answer without any loses to all that have one."""
    chosen = np.full(answers.rows, NOBODY, np.int64)
    best = np.full(answers.rows, np.nan)
    for index, candidate in answers.present():
        confidence = _confidence(candidate.scored, answers.rows)
        is_better = (confidence > best) | (np.isnan(best) & ~np.isnan(confidence)) | (chosen == NOBODY)
        wins = candidate.has_value & is_better
        chosen[wins], best[wins] = index, confidence[wins]
    return _of_chosen(answers, chosen)


def vote(answers: Answers) -> Decided:
    """The answer that most candidates agree on; of those who gave it, the first arm's, with its own prediction and scores.

    A candidate votes with its label, else with its prediction (by exact value: models that should agree on numbers should
    round them), else with the place of its largest score. Votes of different kinds never agree. A missing label and a NaN
    are no vote; a record for which nobody votes gets the first arm's answer.
    """
    return _of_chosen(answers, _elected(answers, _ballots(answers)))


def mean(answers: Answers) -> Decided | Undecidable:
    """The mean of predictions and of scores over the candidates that have a value; the label is the one with most votes.

    NaN makes the mean NaN. Undecidable if the candidates differ in what numbers they give, or in the number of scores.
    """
    forms = {_form(candidate.scored) for _, candidate in answers.present()}
    if len(forms) > 1:
        told = "; ".join(f"candidate {index} gives {_form(candidate.scored)}" for index, candidate in answers.present())
        return Undecidable(f"a mean needs candidates that give the same numbers, but {told}")
    counts = answers.counts()
    labels = _Labels(answers)
    combined = Scored(
        _mean([(candidate.scored.prediction, candidate.has_value) for _, candidate in answers.present()], counts),
        labels.of(_elected(answers, labels.codes)),
        _mean([(candidate.scored.scores, candidate.has_value) for _, candidate in answers.present()], counts),
    )
    earliest = _elected(answers, {})  # without ballots all are equal
    return Decided(earliest, counts, combined, is_combined=True)


DECIDERS: Mapping[str, Decider] = MappingProxyType(
    {"first": first, "best_confidence": best_confidence, "vote": vote, "mean": mean}
)
"""The built-in deciders."""


def parts(answers: Answers, decided: Decided) -> Iterator[tuple[int, NDArray[np.intp], Scored]]:
    """The answers by the candidate that they belong to: its index, its rows (ascending) and the values of those rows.

    The values are the candidate's own, in its own form, unless they are combined. Rows without an answer are in no part.
    """
    for index, candidate in answers.present():
        rows = np.flatnonzero(decided.chosen == index)
        if len(rows):
            yield index, rows, (decided.scored if decided.is_combined else candidate.scored).take(rows)


class _Labels:
    """The labels of all candidates in one dictionary.

    Attributes:
        values: The distinct labels.
        codes: Candidate -> int64 (n,), indexes into `values`, -1 for a missing label; only for candidates with labels.
    """

    def __init__(self, answers: Answers) -> None:
        index: dict[str, int] = {}
        self.codes: dict[int, Ints] = {}
        for candidate, column in ((index, candidate.scored.label) for index, candidate in answers.present()):
            if column is not None:
                places = [index.setdefault(text, len(index)) for text in column.values]
                self.codes[candidate] = np.array([*places, -1], np.int64)[column.codes]
        self.values = list(index)

    def of(self, chosen: Ints) -> TextColumn | None:
        """Each row's label, from its candidate; `None` if no candidate has labels."""
        if not self.codes:
            return None
        codes = np.full(len(chosen), -1, np.int64)
        for candidate, own in self.codes.items():
            codes = np.where(chosen == candidate, own, codes)
        return TextColumn(codes, self.values)


def _of_chosen(answers: Answers, chosen: Ints) -> Decided:
    predictions = {i: c.scored.prediction for i, c in answers.present() if c.scored.prediction is not None}
    scores = {i: c.scored.scores for i, c in answers.present() if c.scored.scores is not None}
    prediction: Floats | None = None
    if predictions:
        prediction = np.full(answers.rows, np.nan)
        for index, own in predictions.items():
            prediction = np.where(chosen == index, own, prediction)
    filled: Floats | None = None
    if scores:
        filled = np.full((answers.rows, max(own.shape[1] for own in scores.values())), np.nan)
        for index, own in scores.items():
            rows = chosen == index
            filled[rows, : own.shape[1]] = own[rows]
    return Decided(chosen, answers.counts(), Scored(prediction, _Labels(answers).of(chosen), filled))


def _elected(answers: Answers, ballots: Mapping[int, Ints]) -> Ints:
    """Per row the first of the candidates with a value whose ballot most of them share; -1 is no ballot."""
    chosen = np.full(answers.rows, NOBODY, np.int64)
    most = np.full(answers.rows, -1, np.int64)
    voters = {index: np.where(c.has_value, ballots[index], -1) for index, c in answers.present() if index in ballots}
    for index, candidate in answers.present():
        votes = np.zeros(answers.rows, np.int64)
        if (own := voters.get(index)) is not None:
            for other in voters.values():
                votes += (own == other) & (own >= 0)
        wins = candidate.has_value & (votes > most)
        chosen[wins], most[wins] = index, votes[wins]
    return chosen


def _ballots(answers: Answers) -> dict[int, Ints]:
    """Candidate -> int64 (n,), equal where two candidates agree, -1 where one has nothing to vote with."""
    labels = _Labels(answers)
    ballots = dict(labels.codes)
    taken = len(labels.values)
    voting = {
        index: candidate.scored.prediction
        for index, candidate in answers.present()
        if index not in ballots and candidate.scored.prediction is not None
    }
    if voting:
        numbers, codes = np.unique(np.stack(list(voting.values())), return_inverse=True)
        for (index, prediction), own in zip(voting.items(), codes.reshape(len(voting), -1), strict=True):
            ballots[index] = np.where(np.isnan(prediction), -1, own + taken)
        taken += len(numbers)
    for index, candidate in answers.present():
        scores = candidate.scored.scores
        if index not in ballots and scores is not None and scores.shape[1]:
            places = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=1)
            ballots[index] = np.where(np.isnan(scores).all(axis=1), -1, places + taken)
    return ballots


def _confidence(scored: Scored, rows: int) -> Floats:
    """The largest score of each row; NaN if it has none."""
    if scored.scores is None or not scored.scores.shape[1]:
        return np.full(rows, np.nan)
    largest: Floats = np.fmax.reduce(scored.scores, axis=1)
    return largest


def _form(scored: Scored) -> str:
    scores = "no scores" if scored.scores is None else f"{scored.scores.shape[1]} scores"
    return f"{'no' if scored.prediction is None else 'a'} prediction and {scores}"


def _mean(answered: Sequence[tuple[Floats | None, Truths]], counts: Ints) -> Floats | None:
    """The mean over those that have a value, never outside of their range; NaN where nobody has one."""
    columns = [(values, has_value) for values, has_value in answered if values is not None]
    if not columns:
        return None
    shape = (-1,) + (1,) * (columns[0][0].ndim - 1)
    share = np.maximum(counts, 1).reshape(shape)
    mean = np.zeros_like(columns[0][0])
    low, high = np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
    with np.errstate(all="ignore"):  # what a failed row holds means nothing, and infinities may cancel to NaN
        for values, has_value in columns:
            counted = has_value.reshape(shape)
            # Divided first: a sum of large numbers might overflow.
            mean += np.where(counted, values / share, 0.0)
            low = np.where(counted, np.minimum(low, values), low)
            high = np.where(counted, np.maximum(high, values), high)
        return np.where(counts.reshape(shape) > 0, np.clip(mean, low, high), np.nan)
