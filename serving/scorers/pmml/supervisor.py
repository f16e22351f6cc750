"""Keeps a child alive, and keeps its models in it.

Theory of operation. The supervisor holds what it takes to build the child again: the documents, by number. A request goes
to the child of the moment. When the child dies under it, or does not answer in time, the requester buries that child (kills
it and forgets it) and asks again; whoever asks first then starts the next child and loads every model into it before any
other request gets through, so an answer never comes from a child that knows only some of the models. Numbers stay valid
across children. Several requesters may see the same death; each buries the child it asked, so only one burial counts, and
each asks again by itself: nothing that was asked is lost.

A request is asked twice. One death can be an accident (somebody killed the child, another model's batch hung it); two in a
row are the request's own doing, and it is for the requester to say which row did it.

Threads: all methods may be called on any thread, at the same time. Batches wait for batches, loads for loads and
comparisons for comparisons, but not for one another, except while a child is started.
"""

from __future__ import annotations

import itertools
import json
import struct
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from serving.core.errors import (
    DamagedModelError,
    EngineUnavailableError,
    ModelLimitError,
    ScoringError,
    UnsupportedModelError,
)
from serving.scorers.pmml.frames import Frame, Kind, Part
from serving.scorers.pmml.process import OUT_OF_MEMORY_STATUS, Child, ChildGoneError, ChildOptions, start_child

log = structlog.get_logger(__name__)

_TRIES: Final = 2
_EXIT_SECONDS: Final = 1.0

_Way = Literal["scoring", "loading", "comparing"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A model as it is sent to a child: a JSON head and the document; and how long loading it may take."""

    head: bytes
    document: bytes
    load_seconds: float

    def parts(self) -> list[Part]:
        """The body of a `LOAD` request."""
        return [struct.pack("=I", len(self.head)), self.head, self.document]


class KilledTwiceError(ScoringError):
    """A batch ended two children in a row, by killing them or by keeping them busy past its time."""


class RowError(ScoringError):
    """The engine raised an exception over a batch; the child is well."""


class Supervisor:
    """The one child and the models in it."""

    def __init__(self, options: ChildOptions | None = None) -> None:
        self._options = options or ChildOptions()
        self._models: dict[int, Parcel] = {}
        self._numbers = itertools.count(1)
        self._child: Child | None = None
        self._changing = threading.RLock()
        self._starter: ThreadPoolExecutor | None = None
        self._closed = False
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the child of the moment."""
        child = self._child
        return None if child is None else child.pid

    @property
    def engine(self) -> str:
        """Engine and version, as the child says. Starts one if there is none."""
        return self._current().engine

    def load(self, head: dict[str, Any], document: bytes, load_seconds: float) -> tuple[int, dict[str, Any]]:
        """Load a document and return its number, and what the engine says of it.

        Raises:
            DamagedModelError, UnsupportedModelError: The engine cannot load it.
            ModelLimitError: It takes more memory or time than it may.
            EngineUnavailableError: There is no child to be had.
        """
        number = next(self._numbers)
        parcel = Parcel(json.dumps(head).encode(), document, load_seconds)
        for attempt in range(_TRIES):
            child = self._current()
            try:
                answer = child.loading.ask(Kind.LOAD, number, 0, parcel.parts(), load_seconds)
            except ChildGoneError as error:
                status = self._bury(child, error)
                if error.timed_out:
                    raise ModelLimitError(f"the model was not loaded within {load_seconds:g} s") from error
                if status == OUT_OF_MEMORY_STATUS:
                    limit = self._options.heap_megabytes
                    raise ModelLimitError(f"the model does not fit into the engine's {limit} MB of memory") from error
                if attempt == _TRIES - 1:
                    raise EngineUnavailableError(
                        f"the PMML engine died twice while it loaded the model: {error}"
                    ) from error
                continue
            description = _description(answer)
            with self._changing:
                self._models[number] = parcel
                successor = self._child if self._child is not child else None
            if successor is not None:
                # The child died after it answered, and the next one was started without this model.
                self._bury(successor, ChildGoneError("a model arrived during a restart", timed_out=False))
            return number, description
        raise AssertionError("the loop returns or raises")

    def score(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Score a batch of a loaded model.

        Raises:
            KilledTwiceError: Two children did not survive it, or did not answer within `seconds`.
            RowError: The engine raised an exception.
            ScoringError: There is no child to be had.
        """
        return self._ask_twice("scoring", number, rows, parts, seconds)

    def check(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Like `score`, but in the queue of the loads: for a model that does not serve yet. See `score`."""
        return self._ask_twice("loading", number, rows, parts, seconds)

    def compare(self, number: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Have the child compare a model with its flat form, see `comparison`, within `seconds`. See `score`."""
        return self._ask_twice("comparing", number, 0, parts, seconds, Kind.COMPARE)

    def score_once(self, number: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Like `score`, without a second try."""
        return self._ask("scoring", number, rows, parts, seconds)

    def unload(self, number: int) -> None:
        """Forget a model. A number that is not known is not an error. Waits for one batch at most, not for a load."""
        with self._changing:
            if self._models.pop(number, None) is None or self._child is None:
                return
            child = self._child
        try:
            child.scoring.ask(Kind.UNLOAD, number, 0, [], self._options.start_seconds)
        except ChildGoneError as error:
            self._bury(child, error)

    def usage(self) -> dict[str, int]:
        """What the child holds: `heap_bytes` after a collection, `classes`, `models`; for tests and diagnosis."""
        answer = self._current().loading.ask(Kind.USAGE, 0, 0, [], self._options.start_seconds)
        return dict(json.loads(bytes(answer.body)))

    def close(self) -> None:
        """End the child. Further calls do nothing; requests after it fail."""
        with self._changing:
            self._closed = True
            self._models.clear()
            if self._child is not None:
                self._child.kill()
                self._child = None
            if self._starter is not None:
                self._starter.shutdown()
                self._starter = None

    def _ask_twice(
        self, channel: _Way, number: int, rows: int, parts: Sequence[Part], seconds: float, kind: Kind = Kind.SCORE
    ) -> Frame:
        try:
            return self._ask(channel, number, rows, parts, seconds, kind)
        except KilledTwiceError:
            return self._ask(channel, number, rows, parts, seconds, kind)

    def _ask(
        self, channel: _Way, number: int, rows: int, parts: Sequence[Part], seconds: float, kind: Kind = Kind.SCORE
    ) -> Frame:
        try:
            child = self._current()
        except EngineUnavailableError as error:
            raise ScoringError(f"the PMML engine cannot be started: {error}") from error
        try:
            answer = getattr(child, channel).ask(kind, number, rows, parts, seconds)
        except ChildGoneError as error:
            self._bury(child, error)
            raise KilledTwiceError(f"the PMML engine did not survive the batch: {error}") from error
        return answered(answer)

    def _current(self) -> Child:
        """The child of the moment; if there is none, start one with every model in it."""
        child = self._child
        if child is not None:
            return child
        with self._changing:
            if self._closed:
                raise EngineUnavailableError("the PMML engine was closed")
            for attempt in range(_TRIES):
                if self._child is not None:
                    return self._child
                child = self._start()
                try:
                    self._load_all(child)
                except ChildGoneError as error:
                    child.kill()
                    if attempt == _TRIES - 1:
                        raise EngineUnavailableError(
                            f"the PMML engine died while its models were loaded: {error}"
                        ) from error
                except BaseException:
                    child.kill()
                    raise
                else:
                    self._child = child
                    log.info("pmml.child_started", pid=child.pid, models=len(self._models), engine=child.engine)
                    return child
        raise AssertionError("the loop returns or raises")

    def _start(self) -> Child:
        if self._starter is None:
            self._starter = ThreadPoolExecutor(1, "pmml-starter")
        return self._starter.submit(start_child, self._options).result()

    def _load_all(self, child: Child) -> None:
        for number, parcel in self._models.items():
            answer = child.loading.ask(Kind.LOAD, number, 0, parcel.parts(), parcel.load_seconds)
            if answer.kind is not Kind.ANSWER:
                raise EngineUnavailableError(f"a model that was loaded before is refused: {str(answer.body, 'utf-8')}")

    def _bury(self, child: Child, reason: ChildGoneError) -> int:
        """Kill `child` and, if it is the child of the moment, let the next request start another."""
        status = child.kill(0.0 if reason.timed_out else _EXIT_SECONDS)
        with self._changing:
            if self._child is child:
                self._child = None
                self.restarts += 1
                log.warning("pmml.child_died", pid=child.pid, status=status, reason=str(reason))
        return status


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
