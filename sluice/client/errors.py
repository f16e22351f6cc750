"""What can go wrong for a user of the client.

ClientError
|- UnreachableError         nothing answers at the API's address
|- ApiError                 the API answered with a problem
|  `- RefusedError          it understood what was asked for, and will not do it
|     |- StaleError         somebody else was first; `current` is how it is now
|     |- ConflictError      something else is under way, or still points to what would go
|     |- PolicyError        the version lacks approvals or a back-test
|     `- InvalidPlanError   the plan makes no sense
|- ArtifactError            what is to be published cannot be read
|- OperationFailedError     what was waited for failed
|  `- ModelRefusedError     a worker refused the model
`- OperationPendingError    the time to wait is over; nobody knows yet what became of it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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


class RefusedError(ApiError):
    """The API understood what was asked for and refuses it; nothing was written that has an effect."""


class StaleError(RefusedError):
    """It has changed since it was read.

    Attributes:
        current: How it is now, as the API shows it; `None` if it is gone, or was not told.
        revision: Its revision now; `None` if it was not told.
    """

    current: Mapping[str, Any] | None = None
    revision: int | None = None


class ConflictError(RefusedError):
    """It may not be done now: something else is under way, or something points to what would go."""


class PolicyError(RefusedError):
    """The version may not serve yet: the policy of its model asks for approvals or a back-test."""


class InvalidPlanError(RefusedError):
    """The plan of a route makes no sense; the message names the part."""


class ArtifactError(ClientError):
    """The model that is to be published cannot be read, or is not a file or a SavedModel directory."""


class OperationFailedError(ClientError):
    """What was waited for failed: a change was given up, a rollout went back, a job ended badly.

    Attributes:
        operation: As it ended.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(operation.message or f"{operation.id} failed")


class ModelRefusedError(OperationFailedError):
    """A worker refused the model; the version before serves on. `operation` has what each worker said."""


class OperationPendingError(ClientError):
    """The time to wait is over and the operation is not. Nothing is undone; it may still succeed.

    Attributes:
        operation: How far it is.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(f"{operation.id} is not done: {operation.message}")
