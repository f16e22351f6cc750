"""Errors of the worker.

ServingError
├── ModelRefusedError        the model is at fault; the old version serves on
│   ├── DamagedModelError    truncated, malformed, contradicts its type
│   ├── HostileModelError    asks for what no model may do (files, network, entities, unbounded work)
│   ├── UnsupportedModelError valid, but not something the engine can serve
│   ├── ModelLimitError      over a configured size, depth or time
│   └── SignatureError       its inputs cannot be made of the stream's fields, or its self-check failed
├── EngineUnavailableError   the machine is at fault; worth another try
├── ScoringError             a batch could not be scored
└── SettingsError            the settings file contradicts itself or the world
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of the worker's errors; never raised itself."""


class ModelRefusedError(ServingError):
    """The model cannot be served, and trying again will not help. `str(error)` tells the publisher what to change."""


class DamagedModelError(ModelRefusedError):
    """The bytes are not a whole, well-formed model of the type they claim."""


class HostileModelError(ModelRefusedError):
    """The model asks for something that no model may do."""


class UnsupportedModelError(ModelRefusedError):
    """A valid model that the engine cannot serve."""


class ModelLimitError(ModelRefusedError):
    """The model is larger, deeper or slower than the worker allows."""


class SignatureError(ModelRefusedError):
    """The model's inputs cannot be made of the record's fields, or its outputs failed their self-check."""


class EngineUnavailableError(ServingError):
    """This machine cannot run the engine now; another worker, or this one later, may."""


class ScoringError(ServingError):
    """A batch could not be scored as a whole.

    Attributes:
        is_final: Parts of the batch would fare no better (the engine is gone), so they are not tried one by one.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class SettingsError(ServingError):
    """The settings contradict themselves or the world."""
