"""What became of a record that could not be scored: a value, on its way to the dead-letter topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["decode", "features", "route", "score", "result"]
"""Where a record failed, as `DeadLetter.Stage` names it. A format rejects at `decode` and at `features` only."""


@dataclass(frozen=True, slots=True)
class Unscored:
    """One record of a batch that has no result.

    Attributes:
        row: Its position in the batch.
        stage: Where it failed.
        reason: A sentence: what was expected, what was found.
        data_type: Its data type, where it was found.
        model: The model that was to score it, if any.
        version: Its version; 0 if none.
    """

    row: int
    stage: Stage
    reason: str
    data_type: str = ""
    model: str = ""
    version: int = 0
