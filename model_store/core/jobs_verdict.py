"""Whether a back-test passed: what was asked of it, and what its report says about that.

The conditions travel with the job, as the member `pass_if` of its JSON (`jobs`), because whoever runs the job, or takes it over,
gives the verdict:

    {"kind": "backtest", ..., "pass_if": {"max_disagreement": 0.02, "max_error_rate": 0.001, "min_records": 10000}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from model_store.core.jobs import InvalidJobError, Job, job_from_json, job_to_json

PASSED: Final = "passed"
FAILED: Final = "failed"

_MEMBER: Final = "pass_if"


@dataclass(frozen=True, slots=True)
class PassIf:
    """Conditions that must all hold.

    Attributes:
        max_disagreement: Of the records that both sides scored, at most this share may differ; 0 to 1.
        max_error_rate: Of all records, the candidate may fail on at most this share; 0 to 1.
        min_records: At least so many must have been scored by both sides; at least 1.
    """

    max_disagreement: float | None = None
    max_error_rate: float | None = None
    min_records: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the conditions.

    Attributes:
        word: `passed` or `failed`, as in `ReportJob.verdict`.
        why: A sentence for each condition that does not hold; empty if it passed.
    """

    word: Literal["passed", "failed"]
    why: tuple[str, ...] = ()


def job_spec(job: Job, pass_if: PassIf | None) -> str:
    """A job and its conditions as `RequestJob.spec`."""
    document = json.loads(job_to_json(job))
    if pass_if is not None:
        wanted = {
            "max_disagreement": pass_if.max_disagreement,
            "max_error_rate": pass_if.max_error_rate,
            "min_records": pass_if.min_records,
        }
        document[_MEMBER] = {name: value for name, value in wanted.items() if value is not None}
    return json.dumps(document)


def read_job_spec(spec: str) -> tuple[Job, PassIf | None]:
    """Inverse of `job_spec`.

    Raises:
        InvalidJobError: It is none; the message names the place.
    """
    try:
        document = json.loads(spec)
    except (ValueError, RecursionError) as error:
        raise InvalidJobError(f"the job is not JSON: {error}") from error
    conditions = document.pop(_MEMBER, None) if isinstance(document, dict) else None
    job = job_from_json(json.dumps(document))
    return job, _conditions(conditions) if conditions is not None else None


def verdict(pass_if: PassIf, report: Mapping[str, Any]) -> Verdict:
    """Judge the report of a back-test that ran to its end.

    Args:
        pass_if: What was asked for.
        report: As the run gives it: `records`, `paired`, `disagreement.rate`, and `errors.candidate` by stage.
    """
    records, paired = int(report["records"]), int(report["paired"])
    why = []
    if paired < pass_if.min_records:
        why.append(f"both sides scored {paired} records, {pass_if.min_records} are needed")
    rate = report["disagreement"]["rate"]
    if pass_if.max_disagreement is not None and rate is not None and rate > pass_if.max_disagreement:
        why.append(f"the two differ on {rate:.3%} of the records, {pass_if.max_disagreement:.3%} are allowed")
    failed = sum(int(stage["records"]) for stage in report["errors"]["candidate"].values())
    if pass_if.max_error_rate is not None and records and failed / records > pass_if.max_error_rate:
        why.append(
            f"the candidate failed on {failed} of {records} records ({failed / records:.3%}), "
            f"{pass_if.max_error_rate:.3%} are allowed"
        )
    return Verdict(FAILED, tuple(why)) if why else Verdict(PASSED)


def _conditions(document: Any) -> PassIf:
    place = f"job.{_MEMBER}"
    if not isinstance(document, dict):
        raise InvalidJobError(f"{place}: expected an object")
    if unknown := sorted(document.keys() - {"max_disagreement", "max_error_rate", "min_records"}):
        raise InvalidJobError(f"{place}: unknown: {', '.join(unknown)}")
    shares = {}
    for name in ("max_disagreement", "max_error_rate"):
        share = document.get(name)
        if share is not None and not _is_share(share):
            raise InvalidJobError(f"{place}.{name}: expected a number from 0 to 1, found {share!r}")
        shares[name] = None if share is None else float(share)
    records = document.get("min_records", 1)
    if not isinstance(records, int) or isinstance(records, bool) or records < 1:
        raise InvalidJobError(f"{place}.min_records: expected a whole number from 1 on, found {records!r}")
    return PassIf(shares["max_disagreement"], shares["max_error_rate"], records)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
