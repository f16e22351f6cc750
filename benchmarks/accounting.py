"""What came of the records: which were lost, which came twice, which got a wrong answer. Counted, never claimed.

The harness knows what it wrote, so every record has a number (see `records`) and every result must be traced to one.
Pure values: columns in, counts out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Results:
    """Columns of one chunk of results.

    Attributes:
        index: int64 (n,): number of the record that each result is of; -1 where it cannot be told.
        sent_us: int64 (n,): when the record was sent, microseconds since 1970; 0 for a backlog.
        answers: float64 (n, outputs): prediction or scores; NaN where there is none.
        version: uint64 (n,): first 8 bytes of the model's digest; 0 where the result does not say.
        flawed: bool (n,): a field of the provenance is missing or not true.
        size: int64 (n,): bytes of the value.
    """

    index: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    answers: NDArray[np.float64]
    version: NDArray[np.uint64]
    flawed: NDArray[np.bool_]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(slots=True)
class Ledger:
    """How often each of the records came back.

    Attributes:
        times: uint16, by record number; grows with the records that are known to be sent.
        foreign: Results of records that were never sent.
    """

    times: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    foreign: int = 0
    _distinct: int = 0

    def add(self, index: NDArray[np.int64]) -> None:
        """Take the numbers of a chunk of results; negative ones are of no record."""
        known = index[index >= 0]
        self.foreign += len(index) - len(known)
        if not len(known):
            return
        if known.max() >= len(self.times):
            grown = np.zeros(max(int(known.max()) + 1, 2 * len(self.times)), np.uint16)
            grown[: len(self.times)] = self.times
            self.times = grown
        each, count = np.unique(known, return_counts=True)
        self._distinct += int(np.count_nonzero(self.times[each] == 0))
        self.times[each] += count.astype(np.uint16)

    def distinct(self) -> int:
        """How many records came back at least once, those that were never sent among them."""
        return self._distinct

    def account(self, sent: int) -> Account:
        """What became of the first `sent` records; results of any beyond them are foreign."""
        times = self.times[:sent].astype(np.int64)
        beyond = int(self.times[sent:].astype(np.int64).sum())
        distinct = int(np.count_nonzero(times))
        return Account(sent, sent - distinct, int(times.sum()) - distinct, self.foreign + beyond)


@dataclass(frozen=True, slots=True)
class Account:
    """Records and what became of them.

    Attributes:
        sent: Records.
        lost: Those without a result.
        duplicated: Results beyond the first of each record.
        foreign: Results of no record that was sent.
    """

    sent: int
    lost: int
    duplicated: int
    foreign: int


@dataclass(frozen=True, slots=True)
class Known:
    """A model whose answers are known.

    Attributes:
        version: First 8 bytes of its digest, as `Results.version`.
        answers: float64 (bottles, outputs).
        tolerance: Largest difference that counts as equal.
    """

    version: int
    answers: NDArray[np.float64]
    tolerance: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the answers compare with the known ones.

    Attributes:
        checked: Results whose answer is known.
        wrong: Those among them with another answer.
        flawed: Results, of all, with a field that is missing or not true.
        mean_bytes: Size of a result.
    """

    checked: int
    wrong: int
    flawed: int
    mean_bytes: float

    @property
    def is_right(self) -> bool:
        """Whether the system may be ranked."""
        return self.checked > 0 and self.wrong == 0 and self.flawed == 0


def judge(results: Results, models: list[Known], bottles: int) -> Verdict:
    """Compare with the known answers: each result with those of the model that it names, or of any if it names none.

    Record `i` is bottle `i % bottles`; bottles beyond the known ones are not checked. A result that names a model that is
    not among `models` is flawed.
    """
    known = len(models[0].answers)
    bottle = results.index % bottles
    is_checked = (results.index >= 0) & (bottle < known)
    named = np.isin(results.version, np.array([0, *(m.version for m in models)], np.uint64))
    is_right = np.zeros(len(results), bool)
    for each in models:
        meant = is_checked & ((results.version == np.uint64(each.version)) | (results.version == 0))
        is_right[meant] |= _agree(results.answers[meant], each.answers[bottle[meant]], each.tolerance)
    flawed = results.flawed | ~named | (results.index < 0)
    return Verdict(
        int(is_checked.sum()),
        int((is_checked & ~is_right).sum()),
        int(flawed.sum()),
        round(float(results.size.mean()), 1) if len(results) else 0.0,
    )


def recognised(results: Results, models: list[Known], bottles: int) -> NDArray[np.uint64]:
    """`Results.version`, with the model that alone has the result's answer where the result names none; 0 if that is unclear."""
    bottle = results.index % bottles
    unnamed = (results.version == 0) & (results.index >= 0) & (bottle < len(models[0].answers))
    fits = np.zeros((len(models), len(results)), bool)
    for at, each in enumerate(models):
        fits[at, unnamed] = _agree(results.answers[unnamed], each.answers[bottle[unnamed]], each.tolerance)
    versions = np.array([each.version for each in models], np.uint64)
    is_clear = fits.sum(axis=0) == 1
    return np.where(is_clear, versions[fits.argmax(axis=0)], results.version)


def _agree(found: NDArray[np.float64], expected: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    width = expected.shape[1]
    same = np.abs(found[:, :width] - expected) <= tolerance
    return np.asarray(same.all(axis=1) & np.isnan(found[:, width:]).all(axis=1))
