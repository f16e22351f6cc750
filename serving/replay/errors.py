"""Errors that end a job.

ReplayError
├── JobRefusedError   the job does not fit the settings, the log or the topics; running it again is useless
├── JobFailedError    Kafka or the machine failed; running it again may help, and is safe
└── JobStopped        SIGTERM
"""

from __future__ import annotations

from serving.core.errors import ServingError


class ReplayError(ServingError):
    """Base of the errors that end a job; never raised itself."""


class JobRefusedError(ReplayError):
    """The job cannot be done; `str(error)` says what to change."""


class JobFailedError(ReplayError):
    """The job broke off; it may be run again."""


class JobStopped(ReplayError):
    """Somebody asked the process to end."""
