"""The Python client of the control API: `Client`, and `AsyncClient` with the same methods to await.

    with sluice.Client("http://127.0.0.1:8080", actor="anna") as client:
        operation = client.publish("model.pb", for_="wine", wait=60)
        print(operation.version, operation.cuts)

        route = client.route("wine")
        client.put_route("wine", plan, revision=route.revision, reason="the new one is better")

A call is a value (`calls` and its siblings): what to send and how to read the answer. The two clients only perform calls,
one by waiting and one by awaiting, so neither can do what the other cannot.
"""

from sluice.client.asynchronous import AsyncClient
from sluice.client.conditions import ABSENT, ANY
from sluice.client.errors import (
    ApiError,
    ArtifactError,
    ClientError,
    ConflictError,
    InvalidPlanError,
    ModelRefusedError,
    OperationFailedError,
    OperationPendingError,
    PolicyError,
    RefusedError,
    StaleError,
    UnreachableError,
)
from sluice.client.plans import Arm, Plan, Rule, Speculation, Target
from sluice.client.routing import Guard, RolloutStep
from sluice.client.synchronous import Client

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
