"""Errors of the shared kernel.

ModelStoreError
├── InvalidDescriptorError      a descriptor that no reader would accept; nothing was written
├── InvalidPlanError            a plan that no route could serve; nothing was written
├── CommandRefusedError         the fold does not do what a command asks for
├── ArtifactError               an artifact cannot be had
│   ├── DigestMismatchError     the bytes are not the ones that were announced
│   ├── LocationRefusedError    the location is outside what the settings allow
│   ├── ArtifactTooLargeError   over a configured size; both sizes are in the message
│   ├── ArtifactNotFoundError   nothing is there
│   └── FetchFailedError        the network or the disk failed; worth another try
├── StoreUrlError               the URL of a store names no kind of store that there is
└── StatisticsUnavailableError  Redis did not answer; worth another try
"""

from __future__ import annotations


class ModelStoreError(Exception):
    """Base of the kernel's errors; never raised itself."""


class InvalidDescriptorError(ModelStoreError):
    """A descriptor contradicts itself. `str(error)` tells the publisher what to change."""


class InvalidPlanError(ModelStoreError):
    """A plan contradicts itself. `str(error)` names the part and what was expected."""


class CommandRefusedError(ModelStoreError):
    """The fold does not do what a command asks for. `str(error)` is a sentence for whoever asked.

    Attributes:
        problem: See `commands.Outcome`.
    """

    def __init__(self, problem: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = problem


class ArtifactError(ModelStoreError):
    """Base of what can be wrong with an artifact; never raised itself."""


class DigestMismatchError(ArtifactError):
    """The bytes have another SHA-256 than was announced.

    Attributes:
        where: Where the bytes came from.
        expected: The announced digest, 32 bytes.
        found: The digest of the bytes, 32 bytes.
    """

    def __init__(self, where: str, expected: bytes, found: bytes) -> None:
        super().__init__(f"{where}: the announced sha256 is {expected.hex()}, the bytes have {found.hex()}")
        self.where, self.expected, self.found = where, expected, found


class LocationRefusedError(ArtifactError):
    """The settings do not allow this location.

    Attributes:
        location: As the descriptor gives it.
    """

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(f"location {location!r} refused: {reason}")
        self.location = location


class ArtifactTooLargeError(ArtifactError):
    """The artifact is over a limit.

    Attributes:
        size_bytes: Size of the artifact, or a lower bound of it where reading stopped early.
        limit_bytes: The limit.
    """

    def __init__(self, what: str, size_bytes: int, limit_bytes: int, *, is_lower_bound: bool = False) -> None:
        size = f"at least {size_bytes}" if is_lower_bound else f"{size_bytes}"
        super().__init__(f"{what} has {size} bytes, the limit is {limit_bytes} bytes")
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class ArtifactNotFoundError(ArtifactError):
    """Nothing is at the location, or no store has the digest.

    Attributes:
        where: The location, or the digest in hexadecimal.
    """

    def __init__(self, where: str, detail: str = "no such artifact") -> None:
        super().__init__(f"{where}: {detail}")
        self.where = where


class FetchFailedError(ArtifactError):
    """The artifact could not be read now; another try may succeed.

    Attributes:
        where: The location, or the digest in hexadecimal.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where


class StoreFailedError(ArtifactError):
    """A store could not keep or delete an artifact, for example because the disk is full.

    Attributes:
        where: The digest in hexadecimal.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where


class StoreUrlError(ModelStoreError):
    """A store's URL is malformed or of an unknown kind."""


class StatisticsUnavailableError(ModelStoreError):
    """Redis did not answer in time, refused the connection, or answered with an error."""
