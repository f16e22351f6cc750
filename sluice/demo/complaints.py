"""What did not go as told, although the account may balance: the first thing found, as a sentence with coordinates."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sluice.demo.reader import ReadReport
from sluice.demo.story import MODEL_OF, Swap

_TOLD = 3
"""So many cases of a kind are told."""


def complaint(
    swaps: Sequence[Swap], seen: Collection[str], last: ReadReport, data_topic: str, foreign: int, poison: int
) -> str:
    """See the module; empty if all went as told.

    Args:
        swaps: What became of the chapters.
        seen: Files of the chapters that results were seen of.
        last: The reader's last word.
        data_topic: Topic of the records.
        foreign: Records in it that others sent.
        poison: Records that were made to fail.
    """
    for swap in swaps:
        if text := _of_swap(swap, swap.chapter.file in seen):
            return f"{MODEL_OF[swap.chapter.data_type]} version {swap.version} ({swap.chapter.what}) {text}"
    if last.cut_violations:
        return f"results are on the wrong side of a cut: {'; '.join(last.cut_violations[:_TOLD])}"
    if last.wavering:
        return f"entities went to a version, away from it and back: {', '.join(last.wavering[:_TOLD])}"
    if foreign:
        return f"{foreign:,} records of others came into {data_topic} and were counted too"
    if last.dead_letters != poison:
        reasons = "; ".join(last.reasons) or "without a reason"
        return f"{poison} records were made to fail, {last.dead_letters:,} did: {reasons}"
    return ""


def _of_swap(swap: Swap, has_scored: bool) -> str:
    if not swap.went_as_told:
        return f"was refused: {swap.reason}" if swap.is_refused else "is damaged and was not refused"
    if swap.is_refused:
        return "was refused but scored" if has_scored else ""
    if not has_scored:
        return "was live but scored nothing"
    return "" if swap.cut_overs else "took over, but not at exact offsets"
