"""Keeps a child alive, and keeps its models in it.

Theory of operation. The supervisor holds what it takes to build the child again: the documents, by number. Whoever finds
that the child died, or that it does not answer in time, buries it (kills it and forgets it) and asks again; whoever asks
first then starts the next child and loads every model into it before any other request gets through, so an answer never
comes from a child that knows only some of the models. Numbers stay valid across children. Several may see the same death;
each buries the child it asked, so only one burial counts.

A child may *give way*: it runs where nobody else wants a core, so that a load is not felt by the records that flow
meanwhile. That is right from when records flow, and as long as no record waits for it. Once one does, or something takes
longer than it should, a child that takes its share of the cores is started beside it, given every model, and put in its
place; so are all that follow.

Threads: all methods may be called on any thread, at the same time. They wait for one another while a child is started;
who has a child already does not wait.
"""

from __future__ import annotations

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import structlog

from serving.core.errors import EngineUnavailableError
from serving.scorers.pmml.frames import Kind, Part
from serving.scorers.pmml.process import Child, ChildGoneError, ChildOptions, start_child

log = structlog.get_logger(__name__)

_TRIES: Final = 2
_EXIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A model as it is sent to a child: a JSON head and the document; and how long loading it may take."""

    head: bytes
    document: bytes
    load_seconds: float

    def parts(self) -> list[Part]:
        """The body of a `LOAD` request."""
        return [struct.pack("=I", len(self.head)), self.head, self.document]


class Supervisor:
    """The one child and the models in it.

    Attributes:
        restarts: How many children died.
    """

    def __init__(self, options: ChildOptions | None = None) -> None:
        self._options = options or ChildOptions()
        self._models: dict[int, Parcel] = {}
        self._child: Child | None = None
        self._changing = threading.RLock()
        self._starter: ThreadPoolExecutor | None = None
        self._is_closed = False
        self._is_hurrying = False
        self._records_flow = True
        self.restarts = 0

    @property
    def options(self) -> ChildOptions:
        """How the next child is started."""
        return self._options

    @property
    def pid(self) -> int | None:
        """Process id of the child of the moment."""
        child = self._child
        return None if child is None else child.pid

    def current(self) -> Child:
        """The child of the moment; if there is none, start one with every model in it.

        Raises:
            EngineUnavailableError: There is no child to be had.
        """
        child = self._child
        if child is not None:
            return child
        with self._changing:
            if self._child is None:
                self._child = self._start()
            return self._child

    def records_flow(self, do_they: bool) -> None:
        """Whether there are records to give way to. Waits for a load that is under way."""
        with self._changing:
            self._records_flow = do_they
            child = self._child
        if child is not None and do_they and self._options.gives_way and not child.gives_way:
            try:
                child.give_way(self._options.start_seconds)
            except ChildGoneError as error:
                if not child.is_retired:
                    self.bury(child, error)

    def keep(self, number: int, parcel: Parcel, child: Child) -> bool:
        """Load the model into every child from now on. False, and nothing is kept, if `child`, which has it, is not the one
        any more.
        """
        with self._changing:
            if self._child is not child:
                return False
            self._models[number] = parcel
            return True

    def drop(self, number: int) -> Child | None:
        """Forget a model; the child that still has it."""
        with self._changing:
            return None if self._models.pop(number, None) is None else self._child

    def bury(self, child: Child, reason: ChildGoneError) -> int:
        """Kill `child` and, if it is the child of the moment, let the next request start another. Returns its exit status."""
        status = child.kill(0.0 if reason.timed_out else _EXIT_SECONDS)
        with self._changing:
            if self._child is child:
                self._child = None
                self.restarts += 1
                log.warning("pmml.child_died", pid=child.pid, status=status, reason=str(reason))
        return status

    def hurry(self, why: str) -> None:
        """Have a child that does not give way, now and from now on. Waits until it has every model; a second or two.

        Raises:
            EngineUnavailableError: It cannot be had; there is no child then.
        """
        with self._changing:
            self._options = replace(self._options, gives_way=False)
            before = self._child
            if before is None or not before.gives_way:
                return
            try:
                self._child = self._start(why=why)
            except BaseException:
                self._child = None  # else what was asked of the one that is ended would be asked of it for ever
                raise
            finally:
                before.retire()

    def hurry_soon(self, why: str) -> None:
        """`hurry`, without waiting: the child of the moment answers until then."""
        child = self._child
        if child is None or not child.gives_way or self._is_hurrying:
            return
        self._is_hurrying = True
        threading.Thread(target=self._hurry, args=(why,), name="pmml-hurry", daemon=True).start()

    def close(self) -> None:
        """End the child. Further calls do nothing; requests after it fail."""
        with self._changing:
            self._is_closed = True
            self._models.clear()
            if self._child is not None:
                self._child.kill()
                self._child = None
            if self._starter is not None:
                self._starter.shutdown()
                self._starter = None

    def _hurry(self, why: str) -> None:
        try:
            self.hurry(why)
        except EngineUnavailableError as error:
            log.warning("pmml.child_not_replaced", reason=str(error))
        finally:
            self._is_hurrying = False

    def _start(self, why: str = "") -> Child:
        """A child with every model in it."""
        for attempt in range(_TRIES):
            if self._is_closed:
                raise EngineUnavailableError("the PMML engine was closed")
            if self._starter is None:
                self._starter = ThreadPoolExecutor(1, "pmml-starter")
            child = self._starter.submit(start_child, self._options).result()
            try:
                self._fill(child)
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
                log.info("pmml.child_started", pid=child.pid, models=len(self._models), engine=child.engine,
                         gives_way=child.gives_way, **({"because": why} if why else {}))  # fmt: skip
                return child
        raise AssertionError("the loop returns or raises")

    def _fill(self, child: Child) -> None:
        for number, parcel in self._models.items():
            answer = child.loading.ask(Kind.LOAD, number, 0, parcel.parts(), parcel.load_seconds)
            if answer.kind is not Kind.ANSWER:
                raise EngineUnavailableError(f"a model that was loaded before is refused: {str(answer.body, 'utf-8')}")
        if self._options.gives_way and self._records_flow:
            child.give_way(self._options.start_seconds)
