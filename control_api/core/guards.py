"""Whether a rollout's candidate keeps its guards: one evaluation after another of live statistics, as pure functions.

Theory of operation. An evaluation looks at the statistics of two versions over the same recent span of time, and finds for
each guard one of four things:

    waiting     there are too few records to tell, of the candidate or of what it is compared with
    no_signal   there are enough records, but none of them bears this signal
    ok          the signal keeps its limit, or does not clearly break it
    breached    it is clearly above its limit; `guard_signals` says what is clear

A guard fails when it is breached so many times in a row (`Guard.breaches`), each time with records that were not there
before. `ok` starts the row anew; `waiting` and `no_signal` leave it as it is, since they say nothing either way. The rows
are `Streaks`, a value that goes in and comes out.

All together: `Fail` if a guard failed; else `Wait` if one is waiting or breached; else `Pass`, which names the guards that had
no signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control_api.core.guard_signals import Sides, Status, look, p99_ms
from model_store.core.guards import Guard
from model_store.core.stats import Statistics


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guard was found to be.

    Attributes:
        guard: Which.
        status: See the module.
        value: The candidate's signal in the signal's unit; `None` where it could not be told.
        baseline: The baseline's, if the guard is relative.
        limit: What `value` may reach, with all that is relative worked out; `None` where it could not be.
        candidate_records: Records of the candidate that bear the signal.
        baseline_records: Records of the baseline that it was compared with; 0 if it was not.
        streak: Breaches in a row, this one included.
        why: A sentence for people.
        details: What else the finding rests on; JSON-able.
    """

    guard: Guard
    status: Status
    value: float | None
    baseline: float | None
    limit: float | None
    candidate_records: int
    baseline_records: int
    streak: int
    why: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """It was breached often enough in a row."""
        return self.streak >= self.guard.breaches


@dataclass(frozen=True, slots=True)
class Streaks:
    """What an evaluation must know of those before it. Start with `Streaks()` at each step of a rollout.

    Attributes:
        breaches: Guard -> breaches in a row; a guard without any is left out.
        seen_ms: When the candidate's last batch of the last evaluation was scored, milliseconds since 1970 UTC.
    """

    breaches: Mapping[Guard, int] = field(default_factory=dict)
    seen_ms: int = -1


@dataclass(frozen=True, slots=True)
class Pass:
    """No guard objects.

    Attributes:
        unwatched: Sentences about guards that had no signal, and so did not watch.
    """

    unwatched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """It is too early to tell.

    Attributes:
        why: Sentences, at least one.
    """

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """A guard failed.

    Attributes:
        why: A sentence for each guard that did, at least one.
        evidence: `Evaluation.evidence`.
    """

    why: tuple[str, ...]
    evidence: Mapping[str, Any]


Verdict = Pass | Wait | Fail


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of all guards.

    Attributes:
        findings: One a guard, in their order.
        verdict: All together.
        streaks: For the next evaluation.
        evidence: What it rests on: the numbers of both sides, the guards, what was found, the span and the time; plain
            dictionaries, lists, strings, finite numbers, booleans and `None`, so it is JSON as it is.
    """

    findings: tuple[Finding, ...]
    verdict: Verdict
    streaks: Streaks
    evidence: Mapping[str, Any]


def evaluate(
    guards: Iterable[Guard],
    candidate: Statistics,
    baseline: Statistics,
    streaks: Streaks,
    *,
    at_ms: int,
    window_seconds: int,
    names: tuple[str, str] = ("candidate", "baseline"),
) -> Evaluation:
    """Look at the guards once.

    Args:
        guards: Of the rollout; none always pass.
        candidate: The new version's statistics of the span. Its `pairs` are what it scored beside the baseline.
        baseline: The old version's of the same span. Where the old version scores no more, what it did last will do for
            `error_rate` and `p99_ms`; `psi` has no signal then, because other records have other predictions.
        streaks: From the evaluation before, or `Streaks()`.
        at_ms: Now, milliseconds since 1970 UTC.
        window_seconds: How long the span is.
        names: What the two are called in sentences and evidence, for example `wine v4` and `wine v3`.
    """
    sides = Sides(candidate, baseline, *names)
    is_new = candidate.last_ms is not None and candidate.last_ms > streaks.seen_ms
    findings = tuple(_finding(guard, sides, streaks.breaches.get(guard, 0), is_new) for guard in guards)
    following = Streaks(
        {finding.guard: finding.streak for finding in findings if finding.streak},
        max(streaks.seen_ms, -1 if candidate.last_ms is None else candidate.last_ms),
    )
    evidence = {
        "at_ms": at_ms,
        "window_seconds": window_seconds,
        "verdict": _word(findings),
        "candidate": _side(names[0], candidate),
        "baseline": _side(names[1], baseline),
        "guards": [_told(finding) for finding in findings],
    }
    return Evaluation(findings, _verdict(findings, evidence), following, evidence)


def _finding(guard: Guard, sides: Sides, before: int, is_new: bool) -> Finding:
    found = look(guard, sides)
    match found.status:
        case "ok":
            streak = 0
        case "breached":
            streak = before + 1 if is_new else before
        case _:
            streak = before
    why = found.why
    if found.status == "breached":
        why += f"; {streak} of {guard.breaches} times in a row"
    return Finding(
        guard, found.status, found.value, found.baseline, found.limit, found.candidate_records,
        found.baseline_records, streak, why, found.details,
    )  # fmt: skip


def _verdict(findings: tuple[Finding, ...], evidence: Mapping[str, Any]) -> Verdict:
    failed = tuple(finding.why for finding in findings if finding.has_failed)
    if failed:
        return Fail(failed, evidence)
    undecided = tuple(finding.why for finding in findings if finding.status in ("waiting", "breached"))
    if undecided:
        return Wait(undecided)
    return Pass(tuple(finding.why for finding in findings if finding.status == "no_signal"))


def _word(findings: tuple[Finding, ...]) -> str:
    return {Fail: "fail", Wait: "wait", Pass: "pass"}[type(_verdict(findings, {}))]


def _side(name: str, part: Statistics) -> dict[str, Any]:
    return {
        "name": name,
        "records": part.count,
        "errors": part.errors,
        "batches": part.batches.total,
        "first_ms": part.first_ms,
        "last_ms": part.last_ms,
        "p99_ms": p99_ms(part),
        "sampled_predictions": round(part.predictions.effective),
        "missing_predictions": part.predictions.missing,
        "pairs": part.pairs.pairs,
        "disagreements": part.pairs.disagreements,
    }


def _told(finding: Finding) -> dict[str, Any]:
    guard = finding.guard
    return {
        "signal": guard.signal,
        "status": finding.status,
        "has_failed": finding.has_failed,
        "value": finding.value,
        "baseline": finding.baseline,
        "limit": finding.limit,
        "candidate_records": finding.candidate_records,
        "baseline_records": finding.baseline_records,
        "streak": finding.streak,
        "why": finding.why,
        "details": dict(finding.details),
        "guard": {
            "limit": guard.limit,
            "relative": guard.relative,
            "minimum_records": guard.minimum_records,
            "breaches": guard.breaches,
            "tolerance": guard.tolerance,
        },
    }
