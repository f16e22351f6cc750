"""One child process, seen from the worker: spawned, asked, killed; never mended.

A child that missed a deadline or closed a channel is dead to us, whatever it does: `kill` ends it, and `supervisor` starts
another; `retire` ends one that is well. Linux ties a child's death signal to the *thread* that started it, so children are
started on one thread that lives as long as the supervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serving.core.errors import EngineUnavailableError
from serving.scorers.pmml.frames import ClosedError, Frame, Kind, Part, receive, send

OUT_OF_MEMORY_STATUS: Final = 3
"""The exit status of a Java machine that ran out of memory under `-XX:+ExitOnOutOfMemoryError`."""

# Settings of a Java machine that come from the environment are the user's for other programs, and could undo ours.
_JAVA_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "JAVA_OPTS")


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """How a child is started.

    Attributes:
        heap_megabytes: Most memory for Java objects; a model that needs more is refused.
        start_seconds: Longest time from spawn to ready; a loaded machine takes several seconds.
        look_seconds: How often the child looks whether loads left garbage; a load of a forest leaves about a megabyte.
        gives_way: Once it has its models, and records flow, it runs only where nobody else wants a core (`serving.idling`).
    """

    heap_megabytes: int = 256
    start_seconds: float = 60.0
    look_seconds: float = 5.0
    gives_way: bool = False


class ChildGoneError(Exception):
    """The child died, or did not answer in time; it is of no use any more.

    Attributes:
        timed_out: It was still there, but silent.
        status: Its exit status, once it is buried; negative for a signal.
    """

    def __init__(self, reason: str, timed_out: bool) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.status = 0


class SilentChildError(ChildGoneError):
    """An earlier request has no answer yet, and this one was not sent: whoever asked it next would get the other's answer."""

    def __init__(self) -> None:
        super().__init__("the child has not answered an earlier request in time", timed_out=False)


class Channel:
    """One of the three ways to ask a child: a request, then its answer. Any thread; one request at a time, none after one that
    was not answered in time.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._turn = threading.Lock()
        self._is_silent = False

    def ask(self, kind: Kind, model: int, rows: int, parts: Sequence[Part], seconds: float) -> Frame:
        """Send a request and wait for its answer.

        Raises:
            ChildGoneError: The child died or took longer than `seconds` (counted from this request's turn).
            SilentChildError: It took longer for an earlier one.
        """
        with self._turn:
            if self._is_silent:
                raise SilentChildError
            try:
                send(self._socket, kind, model, rows, parts, seconds)
                return receive(self._socket, seconds)
            except TimeoutError:
                self._is_silent = True
                raise ChildGoneError(f"no answer within {seconds:g} s", timed_out=True) from None
            except ClosedError as error:
                raise ChildGoneError(f"the child died ({error})", timed_out=False) from error

    def close(self) -> None:
        """Close this end; who waits for an answer gets `ChildGoneError`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # Who waits is awake now; its descriptor must not be given away while it still reads from it.
        with self._turn:
            self._socket.close()


class Child:
    """A running child. Start it with `start_child`.

    Attributes:
        engine: Engine and version.
        gives_way: It runs only where nobody else wants a core.
        is_retired: It was well when it was ended; who waited for an answer asks its successor.
    """

    def __init__(self, process: subprocess.Popen[bytes], channels: Sequence[Channel], lifeline: int) -> None:
        self._process = process
        self._lifeline = lifeline
        self._killing = threading.Lock()
        self.scoring, self.loading, self.comparing = self._channels = channels
        self.engine = ""
        self.gives_way = False
        self.is_retired = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def give_way(self, seconds: float) -> None:
        """Have it give way from now on, where the system allows it.

        Raises:
            ChildGoneError: It died, or did not answer within `seconds`.
        """
        self.gives_way = bool(json.loads(bytes(self.loading.ask(Kind.GIVE_WAY, 0, 0, [], seconds).body)))

    def retire(self) -> None:
        """End it though it is well."""
        self.is_retired = True
        self.kill()

    def kill(self, patience_seconds: float = 0.0) -> int:
        """End it, and wait until it is gone. Returns its exit status, negative for a signal. May be called again.

        A child whose channel closed is on its way out, with a status worth knowing: give it `patience_seconds`.
        """
        with self._killing:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_seconds)
            self._process.kill()
            status = self._process.wait()
            for channel in self._channels:
                channel.close()
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
            return status


def start_child(options: ChildOptions) -> Child:
    """Spawn a child and wait until its Java machine runs. Call on a thread that outlives the child.

    Raises:
        EngineUnavailableError: It did not start; the message says why.
    """
    ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
    lifeline_read, lifeline = os.pipe()
    descriptors = [sock.fileno() for sock in theirs] + [lifeline_read]
    numbers = (*descriptors, os.getpid(), options.heap_megabytes, round(options.look_seconds * 1000))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.scorers.pmml.child", *map(str, numbers)],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if key not in _JAVA_VARIABLES},
            process_group=0,
        )
    except OSError as error:
        os.close(lifeline)
        for sock in ours:
            sock.close()
        raise EngineUnavailableError(f"the PMML child cannot be started: {error}") from error
    finally:
        os.close(lifeline_read)
        for sock in theirs:
            sock.close()
    child = Child(process, [Channel(sock) for sock in ours], lifeline)
    try:
        child.engine = _greeting(ours[1], options.start_seconds)
    except BaseException:
        child.kill()
        raise
    return child


def _greeting(loading: socket.socket, seconds: float) -> str:
    try:
        frame = receive(loading, seconds)
    except TimeoutError:
        raise EngineUnavailableError(f"the PMML child was not ready within {seconds:g} s") from None
    except ClosedError as error:
        raise EngineUnavailableError("the PMML child died while it started; its standard error says why") from error
    if frame.kind is not Kind.ANSWER:
        raise EngineUnavailableError(f"the PMML child has no Java machine: {str(frame.body, 'utf-8')}")
    return str(json.loads(bytes(frame.body))["engine"])
