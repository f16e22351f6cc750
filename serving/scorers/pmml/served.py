"""The models in the child, by number: they are loaded, asked and forgotten here, whichever child it is at the time.

A request is asked twice. One death can be an accident (somebody killed the child, another model's batch hung it); two in a
row are the request's own doing, and it is for the requester to say which row did it. That a child which gave way was
replaced is no death: what it was asked is asked again of its successor, and nobody hears of it.

Threads: all methods may be called on any thread, at the same time. Batches wait for batches, loads for loads and
comparisons for comparisons, but not for one another, except while a child is started.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from serving.core.errors import (
    DamagedModelError,
    EngineUnavailableError,
    ModelLimitError,
    ScoringError,
    UnsupportedModelError,
)
from serving.scorers.pmml.frames import Frame, Kind, Part
from serving.scorers.pmml.process import OUT_OF_MEMORY_STATUS, Child, ChildGoneError, SilentChildError
from serving.scorers.pmml.supervisor import Parcel, Supervisor

_TRIES: Final = 2
_PATIENCE_SECONDS: Final = 3.0
"""With a child that gives way. On a free core a tree loads in 0.05 s and a forest of ten in 0.7, comparisons included; on two
that have little left, in four times that (measured). What takes longer is large, or gets no core at all."""


class KilledTwiceError(ScoringError):
    """A batch ended two children in a row, by killing them or by keeping them busy past its time."""


class RowError(ScoringError):
    """The engine raised an exception over a batch; the child is well."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What a child is asked; see `Channel.ask`.

    Attributes:
        is_awaited: Somebody waits for the answer: a child that gives way gets less time for it.
    """

    way: Literal["scoring", "loading", "comparing"]
    kind: Kind
    number: int
    rows: int
    parts: Sequence[Part]
    seconds: float
    is_awaited: bool = True


class ServedModels:
    """See the module."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._numbers = itertools.count(1)

    @property
    def engine(self) -> str:
        """Engine and version, as the child says. Starts one if there is none.

        Raises:
            EngineUnavailableError: There is no child to be had.
        """
        return self._supervisor.current().engine

    def load(self, head: dict[str, Any], document: bytes, load_seconds: float) -> tuple[int, dict[str, Any]]:
        """Load a document and return its number, and what the engine says of it.

        Raises:
            DamagedModelError, UnsupportedModelError: The engine cannot load it.
            ModelLimitError: It takes more memory or time than it may.
            EngineUnavailableError: There is no child to be had.
        """
        number = next(self._numbers)
        parcel = Parcel(json.dumps(head).encode(), document, load_seconds)
        reason = "it was not there any more when it had answered"
        for _ in range(_TRIES):
            try:
                child, answer = self._answer(_Request("loading", Kind.LOAD, number, 0, parcel.parts(), load_seconds))
            except ChildGoneError as error:
                if error.timed_out:
                    raise ModelLimitError(f"the model was not loaded within {load_seconds:g} s") from error
                if error.status == OUT_OF_MEMORY_STATUS:
                    limit = self._supervisor.options.heap_megabytes
                    raise ModelLimitError(f"the model does not fit into the engine's {limit} MB of memory") from error
                reason = str(error)
                continue
            description = _description(answer)
            if self._supervisor.keep(number, parcel, child):
                return number, description
        raise EngineUnavailableError(f"the PMML engine died twice while it loaded the model: {reason}")

    def score(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch of a loaded model.

        Raises:
            KilledTwiceError: Two children did not survive it, or did not answer within `seconds`.
            RowError: The engine raised an exception.
            ScoringError: There is no child to be had.
        """
        return self._ask_twice(_Request("scoring", Kind.SCORE, number, rows, parts, seconds))

    def check(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Like `score`, but in the queue of the loads: for a model that does not serve yet. See `score`."""
        return self._ask_twice(_Request("loading", Kind.SCORE, number, rows, parts, seconds))

    def sample(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Like `score`, in the queue of the comparisons: for records that were answered before. See `score`.

        Nobody waits for it, so it may take all of its time where the child gets hardly a core, as under a backlog.
        """
        return self._ask_twice(_Request("comparing", Kind.SCORE, number, rows, parts, seconds, is_awaited=False))

    def compare(self, number: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Have the child compare a model with its flat form, see `comparison`, within `seconds`. See `score`."""
        return self._ask_twice(_Request("comparing", Kind.COMPARE, number, 0, parts, seconds))

    def score_once(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Like `score`, without a second try."""
        return self._ask(_Request("scoring", Kind.SCORE, number, rows, parts, seconds))

    def unload(self, number: int) -> None:
        """Forget a model. A number that is not known is not an error. Waits for one batch at most, not for a load."""
        child = self._supervisor.drop(number)
        if child is None:
            return
        try:
            child.scoring.ask(Kind.UNLOAD, number, 0, [], self._supervisor.options.start_seconds)
        except ChildGoneError as error:
            self._supervisor.bury(child, error)

    def usage(self) -> dict[str, int]:
        """What the child holds: `heap_bytes` after a collection, `classes`, `models`, and how many `collections` it made of its
        own accord; for tests and diagnosis.
        """
        _, answer = self._answer(_Request("loading", Kind.USAGE, 0, 0, [], self._supervisor.options.start_seconds))
        return dict(json.loads(bytes(answer.body)))

    def _ask_twice(self, request: _Request) -> Frame:
        try:
            return self._ask(request)
        except KilledTwiceError:
            return self._ask(request)

    def _ask(self, request: _Request) -> Frame:
        if request.way == "scoring":
            self._supervisor.hurry_soon("records wait for the engine")
        try:
            _, answer = self._answer(request)
        except EngineUnavailableError as error:
            raise ScoringError(f"the PMML engine cannot be started: {error}") from error
        except ChildGoneError as error:
            raise KilledTwiceError(f"the PMML engine did not survive the batch: {error}") from error
        return answered(answer)

    def _answer(self, request: _Request) -> tuple[Child, Frame]:
        """An answer, and who gave it.

        Raises:
            EngineUnavailableError: There is no child to be had.
            ChildGoneError: The child died of it, or was too late; it is buried.
        """
        while True:
            child = self._supervisor.current()
            seconds = request.seconds
            if child.gives_way and request.is_awaited:
                seconds = min(seconds, _PATIENCE_SECONDS)
            try:
                answer = getattr(child, request.way).ask(
                    request.kind, request.number, request.rows, request.parts, seconds
                )
            except ChildGoneError as error:
                if child.gives_way and (error.timed_out or isinstance(error, SilentChildError)):
                    self._supervisor.hurry(f"{error} where it gives way")
                if not child.is_retired:
                    error.status = self._supervisor.bury(child, error)
                    raise
            else:
                return child, answer


def answered(answer: Frame) -> Frame:
    """The answer.

    Raises:
        RowError: It says that the engine raised an exception.
    """
    if answer.kind is not Kind.ANSWER:
        raise RowError(f"the PMML engine failed: {str(answer.body, 'utf-8')}")
    return answer


def _description(answer: Frame) -> dict[str, Any]:
    if answer.kind is Kind.ANSWER:
        return dict(json.loads(bytes(answer.body)))
    reason = str(answer.body, "utf-8")
    if "NotSupported" in reason:
        raise UnsupportedModelError(f"PMML4S does not support the model: {reason}")
    raise DamagedModelError(f"PMML4S cannot load the model: {reason}")
