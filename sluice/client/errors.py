"""What can go wrong between a client and the control API.

ClientError
├── UnreachableError         nothing answers at the URL, or the connection broke
├── ApiError                 the API answered with a problem
├── ArtifactError            what is to be published cannot be read here
├── ModelRefusedError        a worker refused the model; the version before serves on
└── OperationPendingError    workers have not said yet what became of it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.client.answers import Operation


class ClientError(Exception):
    """Base of the client's errors; never raised itself."""


class UnreachableError(ClientError):
    """Nothing answers at `url`, or it stopped in the middle of an answer.

    Attributes:
        url: Base URL of the API.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"the API is not reachable at {url}: {reason}")


class ApiError(ClientError):
    """The API answered with a problem (RFC 9457).

    Attributes:
        status: HTTP status.
        type: Kind of problem: the path of its page, such as `/problems/not-found`.
        title: The same for every problem of the type.
        detail: What happened this time.
        trace_id: What the API's log calls this request; empty if it did not say.
        is_retryable: The same request may succeed later.
        errors: `{"pointer": ..., "detail": ...}` for each wrong member of the request.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        type: str = "about:blank",
        trace_id: str = "",
        is_retryable: bool = False,
        errors: tuple[dict[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.trace_id = trace_id
        self.is_retryable = is_retryable
        self.errors = errors
        super().__init__(f"{title}: {detail}" if detail else title)


class ArtifactError(ClientError):
    """The model that is to be published cannot be read, or is not a file or a SavedModel directory."""


class ModelRefusedError(ClientError):
    """A worker refused the model.

    Attributes:
        operation: The finished operation: what each worker said.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(operation.message)


class OperationPendingError(ClientError):
    """The time to wait is over and some worker has not said yet what became of the model. Nothing is undone.

    Attributes:
        operation: How far it is.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(f"{operation.id} is not done: {operation.message}")
