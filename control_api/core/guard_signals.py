"""What statistics say of one signal of a rollout: is the candidate clearly above its limit?

*Clearly* means that chance would say so less than once in a thousand times. A share is judged by the lower end of Wilson's
score interval (E. B. Wilson, JASA 22, 1927), and the share of a baseline by the upper end; a percentile by whether not only
the records' is above the limit, but clearly more than one in a hundred batches are, since the records of a batch share one
measurement; an index of drift by what two samples of the same distribution would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, assert_never

from model_store.core.drift import Drift, drift
from model_store.core.guards import Guard
from model_store.core.histogram import GROWTH
from model_store.core.stats import Statistics

Status = Literal["ok", "breached", "waiting", "no_signal"]

MINIMUM_FOR_P99: Final = 1000
"""The 99th percentile of fewer records is one of the ten slowest, and those are an accident."""

MINIMUM_BATCHES_FOR_P99: Final = 30
"""Of fewer batches, one that met a pause would be more than a clear share."""

BINS_TOLD: Final = 10
"""Of a drift, the bins that add most go into the evidence."""

_NORMAL_999: Final = 3.0902
"""What a standard normal variable exceeds once in a thousand times."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The statistics of two versions, and what the two are called."""

    candidate: Statistics
    baseline: Statistics
    candidate_name: str
    baseline_name: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one evaluation says of one signal; see `guards.Finding` for the members."""

    status: Status
    why: str
    value: float | None = None
    baseline: float | None = None
    limit: float | None = None
    candidate_records: int = 0
    baseline_records: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


def look(guard: Guard, sides: Sides) -> Look:
    """Judge one signal, without regard to what was before."""
    match guard.signal:
        case "error_rate":
            return _error_rate(guard, sides)
        case "p99_ms":
            return _p99(guard, sides)
        case "disagreement":
            return _disagreement(guard, sides)
        case "psi":
            return _psi(guard, sides)
        case _:
            assert_never(guard.signal)


def p99_ms(part: Statistics) -> float | None:
    """99th percentile of a record's scoring time in milliseconds; `None` where none is known."""
    seconds = part.score.quantile_seconds(0.99)
    return None if seconds is None else seconds * 1e3


def wilson_bounds(hits: float, trials: float, normal: float = _NORMAL_999) -> tuple[float, float]:
    """Lower and upper end of Wilson's score interval for a share, each exceeded by chance as often as `normal` is.

    Args:
        hits: 0 to `trials`.
        trials: Above 0; need not be whole, as an effective number of trials is not.
        normal: Quantile of the standard normal distribution.
    """
    share, square = hits / trials, normal * normal
    middle = share + square / (2 * trials)
    half = normal * math.sqrt(max(0.0, share * (1 - share)) / trials + square / (4 * trials * trials))
    whole = 1 + square / trials
    # At either end the exact bound is the share itself, which rounding would miss by a little.
    lower = 0.0 if hits <= 0 else max(0.0, (middle - half) / whole)
    upper = 1.0 if hits >= trials else min(1.0, (middle + half) / whole)
    return lower, upper


def _error_rate(guard: Guard, sides: Sides) -> Look:
    candidate, baseline = sides.candidate, sides.baseline
    compared = baseline.count if guard.relative else 0
    missing = _missing(guard, sides, candidate.count, compared)
    if missing:
        return Look("waiting", missing, candidate_records=candidate.count, baseline_records=compared)
    value = candidate.errors / candidate.count
    lower, _ = wilson_bounds(candidate.errors, candidate.count)
    limit, base, details = guard.limit, None, {"lower_bound": lower}
    if guard.relative:
        base = baseline.errors / baseline.count
        _, upper = wilson_bounds(baseline.errors, baseline.count)
        details["baseline_upper_bound"] = upper
        limit = upper * (1 + guard.limit) + guard.tolerance
    why = (
        f"error_rate: {sides.candidate_name} failed on {candidate.errors} of {candidate.count} records, and with 99.9%"
        f" confidence on more than {lower:.3%}; the limit is {limit:.3%}{_made_of(guard, sides, base, '.3%')}"
    )
    status: Status = "breached" if lower > limit else "ok"
    return Look(status, why, value, base, limit, candidate.count, compared, details)


def _p99(guard: Guard, sides: Sides) -> Look:
    candidate, baseline = sides.candidate, sides.baseline
    needed = max(guard.minimum_records, MINIMUM_FOR_P99)
    compared = baseline.score.total if guard.relative else 0
    missing = _missing(guard, sides, candidate.score.total, compared, needed) or _missing_batches(guard, sides)
    if missing:
        return Look("waiting", missing, candidate_records=candidate.score.total, baseline_records=compared)
    value, base = p99_ms(candidate), p99_ms(baseline) if guard.relative else None
    if value is None:
        return Look("no_signal", f"p99_ms: no scoring times of {sides.candidate_name} are known")
    limit = guard.limit if base is None else base * (1 + guard.limit) + guard.tolerance
    total, batches = candidate.score.total, candidate.batches.total
    # One bucket further, so that none is counted that the limit lies in.
    slower = batches - candidate.batches.count_up_to_seconds(limit * 1e-3 * GROWTH)
    lower, _ = wilson_bounds(slower, batches)
    why = (
        f"p99_ms: {sides.candidate_name} takes {value:.4g} ms a record at the 99th percentile of {total}, and {slower} of"
        f" {batches} batches took longer than the limit of {limit:.4g} ms a record"
        f"{_made_of(guard, sides, base, '.4g')}"
    )
    status: Status = "breached" if value > limit and lower > 0.01 else "ok"
    details = {"batches": batches, "slower_batches": slower, "slower_share_lower_bound": lower}
    return Look(status, why, value, base, limit, total, compared, details)


def _disagreement(guard: Guard, sides: Sides) -> Look:
    counts = sides.candidate.pairs
    if not counts.pairs and sides.candidate.count >= guard.minimum_records:
        why = f"disagreement: no record was scored by both {sides.candidate_name} and {sides.baseline_name}"
        return Look("no_signal", why)
    missing = _missing(guard, sides, counts.pairs)
    if missing:
        return Look("waiting", missing, candidate_records=counts.pairs)
    lower, _ = wilson_bounds(counts.disagreements, counts.pairs)
    why = (
        f"disagreement: {sides.candidate_name} and {sides.baseline_name} differ on {counts.disagreements} of"
        f" {counts.pairs} records, and with 99.9% confidence on more than {lower:.3%};"
        f" the limit is {guard.limit:.3%}"
    )
    details = {"lower_bound": lower, "mean_difference": counts.mean_difference}
    status: Status = "breached" if lower > guard.limit else "ok"
    value = counts.disagreements / counts.pairs
    return Look(status, why, value, None, guard.limit, counts.pairs, 0, details)


def _psi(guard: Guard, sides: Sides) -> Look:
    actual, expected = sides.candidate.predictions, sides.baseline.predictions
    for name, part, predictions in (
        (sides.candidate_name, sides.candidate, actual),
        (sides.baseline_name, sides.baseline, expected),
    ):
        if not predictions.total and part.count - part.errors >= guard.minimum_records:
            return Look("no_signal", f"psi: it is not known what {name} predicted")
    if not _are_of_one_time(sides.candidate, sides.baseline):
        why = f"psi: what {sides.baseline_name} predicted at another time says nothing, since the records were others"
        return Look("no_signal", why)
    seen, compared = round(actual.effective), round(expected.effective)
    missing = _missing(guard, sides, seen, compared, what="sampled predictions")
    if missing:
        return Look("waiting", missing, candidate_records=seen, baseline_records=compared)
    found = drift(expected, actual)
    if found is None:
        why = f"psi: {sides.candidate_name} gives {actual.kind}, {sides.baseline_name} gives {expected.kind}"
        return Look("no_signal", why, candidate_records=seen, baseline_records=compared)
    limit = max(guard.limit, found.chance)
    why = (
        f"psi: {found.psi:.4g} between {seen} sampled predictions of {sides.candidate_name} and {compared} of"
        f" {sides.baseline_name}; the limit is {limit:.4g}"
    )
    if limit > guard.limit:
        why += ", which samples of this size may reach by chance"
    status: Status = "breached" if found.psi > limit else "ok"
    return Look(status, why, found.psi, None, limit, seen, compared, _drift_details(found))


def _are_of_one_time(candidate: Statistics, baseline: Statistics) -> bool:
    """They scored side by side for at least half of the candidate's time. Without a time of either, nothing is against it."""
    if candidate.first_ms is None or candidate.last_ms is None or baseline.first_ms is None or baseline.last_ms is None:
        return True
    together_ms = min(candidate.last_ms, baseline.last_ms) - max(candidate.first_ms, baseline.first_ms)
    return together_ms >= max(0, (candidate.last_ms - candidate.first_ms) / 2)


def _missing(
    guard: Guard,
    sides: Sides,
    candidate: int,
    baseline: int | None = None,
    needed: int | None = None,
    what: str = "records",
) -> str:
    """A sentence that says what there is too little of; empty if there is enough. A baseline that is not compared with is
    `None`, or the guard is not relative.
    """
    needed = guard.minimum_records if needed is None else needed
    if candidate < needed:
        return f"{guard.signal}: {sides.candidate_name} has {candidate} of the {needed} {what} that it takes to tell"
    is_compared = guard.relative or guard.signal == "psi"
    if is_compared and baseline is not None and baseline < needed:
        return f"{guard.signal}: {sides.baseline_name} has {baseline} of the {needed} {what} that it takes to compare"
    return ""


def _missing_batches(guard: Guard, sides: Sides) -> str:
    for name, part, is_looked_at in (
        (sides.candidate_name, sides.candidate, True),
        (sides.baseline_name, sides.baseline, guard.relative),
    ):
        if is_looked_at and part.batches.total < MINIMUM_BATCHES_FOR_P99:
            return f"p99_ms: {name} has {part.batches.total} of the {MINIMUM_BATCHES_FOR_P99} batches that it takes to tell"
    return ""


def _made_of(guard: Guard, sides: Sides, base: float | None, digits: str) -> str:
    if base is None:
        return ""
    more = f" and {guard.tolerance:{digits}}" if guard.tolerance else ""
    return f", made of {sides.baseline_name}'s {base:{digits}}, {guard.limit:.0%} of it{more}"


def _drift_details(found: Drift) -> dict[str, Any]:
    return {
        "by_chance": found.chance,
        "bins": [
            {"name": part.name, "baseline": part.expected, "candidate": part.actual, "part": part.part}
            for part in found.bins[:BINS_TOLD]
        ],
        "more_bins": max(0, len(found.bins) - BINS_TOLD),
    }
