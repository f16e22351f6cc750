"""What a worker should do about its models, as values: the shell does it.

For each data type the log gives candidates, newest first. A worker wants the newest one that it has not refused; so a
damaged model leaves the one before it serving, also on a worker that starts long after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol


class Candidate(Protocol):
    """What is needed of a version that may serve a data type."""

    @property
    def control_offset(self) -> int:
        """Position of its descriptor on the control log; its identity."""


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch, check and warm up this version, then swap it in."""

    data_type: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Retire:
    """Stop serving this data type here, and close its scorer after its last batch."""

    data_type: str


Decision = Load | Retire


def decide(
    candidates: Mapping[str, Sequence[Candidate]],
    live: Mapping[str, int],
    refused: Set[int],
    loading: Mapping[str, int],
    placed_here: Iterable[str],
) -> list[Decision]:
    """The steps from what is live to what should be.

    Args:
        candidates: Data type -> versions, newest first.
        live: Data type -> control offset of what serves now.
        refused: Control offsets that this worker refused.
        loading: Data type -> control offset of what is being loaded now.
        placed_here: The data types that belong on this worker.

    Returns:
        At most one step a data type; none where nothing is to be done.
    """
    here = set(placed_here)
    steps: list[Decision] = [
        Retire(data_type) for data_type in live if data_type not in here or data_type not in candidates
    ]
    for data_type, versions in candidates.items():
        if data_type not in here:
            continue
        wanted = next((version for version in versions if version.control_offset not in refused), None)
        if wanted is None:
            if data_type in live:
                steps.append(Retire(data_type))
        elif wanted.control_offset not in (live.get(data_type), loading.get(data_type)):
            steps.append(Load(data_type, wanted))
    return steps
