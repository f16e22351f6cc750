"""What a person holds: the `sluice` command, the Python client, the local stack and the demo.

`sluice.Client`, `sluice.AsyncClient` and what they take are here too; they are imported when they are first asked for, so
that the command starts without what it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.client import (
        ABSENT,
        ANY,
        ApiError,
        Arm,
        ArtifactError,
        AsyncClient,
        Client,
        ClientError,
        ConflictError,
        Guard,
        InvalidPlanError,
        ModelRefusedError,
        OperationFailedError,
        OperationPendingError,
        Plan,
        PolicyError,
        RefusedError,
        RolloutStep,
        Rule,
        Speculation,
        StaleError,
        Target,
        UnreachableError,
    )

__all__ = [
    "ABSENT",
    "ANY",
    "ApiError",
    "Arm",
    "ArtifactError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ConflictError",
    "Guard",
    "InvalidPlanError",
    "ModelRefusedError",
    "OperationFailedError",
    "OperationPendingError",
    "Plan",
    "PolicyError",
    "RefusedError",
    "RolloutStep",
    "Rule",
    "Speculation",
    "StaleError",
    "Target",
    "UnreachableError",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("sluice.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
