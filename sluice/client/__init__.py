"""The Python client of the control API: `Client`, and `AsyncClient` with the same methods to await.

    with sluice.Client("http://127.0.0.1:8080") as client:
        operation = client.publish("model.pb", for_="wine", wait=60)
        print(operation.version, operation.workers[0].since)

A call is a value (`calls`): what to send and how to read the answer. The two clients only perform calls, one by waiting
and one by awaiting, so neither can do what the other cannot.
"""

from sluice.client.asynchronous import AsyncClient
from sluice.client.errors import (
    ApiError,
    ArtifactError,
    ClientError,
    ModelRefusedError,
    OperationPendingError,
    UnreachableError,
)
from sluice.client.synchronous import Client

__all__ = [
    "ApiError",
    "ArtifactError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ModelRefusedError",
    "OperationPendingError",
    "UnreachableError",
]
