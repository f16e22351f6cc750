"""What deciders did, as response shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control_api.core.stats import percentile
from control_api.ports import WorkerStatistics
from control_api.schemas.shape import rfc3339
from control_api.schemas.stats import ArmNumbers, DeciderNumbers, DeciderStatistics
from model_store.core.decider_counts import DeciderCounts, DeciderKey, merge_deciders


def decider_statistics(
    parts: Sequence[WorkerStatistics],
    missing: list[str],
    now_ms: int,
    window: tuple[str, int] | None,
    wanted: Callable[[DeciderKey], bool] = lambda key: True,
) -> DeciderStatistics:
    """The parts of all workers put together, for the routes and deciders that are wanted."""
    merged = merge_deciders(part.deciders for part in parts)
    return DeciderStatistics(
        window=window[0] if window is not None else None,
        as_of=rfc3339(now_ms),
        partial=bool(missing),
        missing_workers=missing,
        deciders=[_numbers(key, merged[key]) for key in sorted(merged) if wanted(key)],
    )


def _numbers(key: DeciderKey, counts: DeciderCounts) -> DeciderNumbers:
    return DeciderNumbers(
        route=key.route,
        decider=key.decider,
        records=counts.records,
        decided=counts.decided,
        unanswered=counts.unanswered,
        undecidable=counts.undecidable,
        p50_ms=percentile(counts.waiting, 0.50),
        p95_ms=percentile(counts.waiting, 0.95),
        p99_ms=percentile(counts.waiting, 0.99),
        arms=[
            ArmNumbers(arm=name, chosen=arm.chosen, answered=arm.answered, late=arm.late, failed=arm.failed)
            for name, arm in sorted(counts.arms.items())
        ],
    )
