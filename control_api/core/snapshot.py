"""The state that one answer is made from."""

from __future__ import annotations

from dataclasses import dataclass

from control_api.ports import Membership
from model_store.core.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything known at one moment.

    Attributes:
        catalogue: The fold of the control log.
        applied_offset: The last offset in it; -1 before any.
        membership: Which workers live.
    """

    catalogue: Catalogue
    applied_offset: int
    membership: Membership
