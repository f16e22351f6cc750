"""A model is loaded and warmed in a child process first, because TensorFlow may end the process it runs in.

The screen keeps a model from doing harm by what it asks for. It cannot vouch for TensorFlow's own code: of 5,865
frozen graphs damaged at random, two got past it and failed an internal check there, which aborts the process
(measured). In the worker that would be fatal again after every restart. So each graph has a rehearsal in a child: the
same load and warm-up, and batches of unlikely numbers besides, under a limit of memory and one of time that holds
even where TensorFlow cannot be interrupted. If the child survives it, the worker loads the graph too.

The child starts with the first model (half a second), stays for the next ones, and is replaced when it died or was killed. It
ends when its standard input does, so it outlives nobody; a clock of its own ends it where it hangs. What it answers is
JSON: the error that refuses the model, or an `Outcome`.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import MappingProxyType
from typing import IO

import msgspec
import numpy as np

from serving.core.errors import (
    DamagedModelError,
    EngineUnavailableError,
    HostileModelError,
    ModelLimitError,
    ScoringError,
    ServingError,
    SignatureError,
    UnsupportedModelError,
)
from serving.scorers.base import LoadLimits
from serving.scorers.tensorflow import capi
from serving.scorers.tensorflow.pacing import Pace
from serving.scorers.tensorflow.quickening import is_better_rewritten, rewritten
from serving.scorers.tensorflow.scorer import TensorFlowScorer
from serving.scorers.tensorflow.servable import ServableGraph
from serving.scorers.tensorflow.warm_up import warm_scorer

_VERDICTS: Mapping[str, type[ServingError]] = MappingProxyType(
    {
        error.__name__: error
        for error in (
            DamagedModelError,
            HostileModelError,
            ModelLimitError,
            SignatureError,
            UnsupportedModelError,
            EngineUnavailableError,
        )
    }
)
_START_SECONDS = 60.0
"""What the child may take to start, beside the model's own limit; a machine under full load is slow at it."""
_GRACE_SECONDS = 2.0
_ENDED_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
"""Exit statuses that tell nothing of the model: an operator, or a system short of memory, ended the child."""
_LENGTH = struct.Struct("<Q")
_LONGEST_ANSWER = 1 << 16
_SHARE_OF_TIME = 4
_WORKING_BYTES = 2 << 30
"""What the child may take beside the library and a few copies of the artifact."""
_UNLIKELY = (-1.0, 0.5, 1e30, np.inf, np.nan)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rehearsal found out about a model that is none the worse for it.

    Attributes:
        is_rewritten: Its rewritten form is the better one (`quickening`); that was loaded and warmed too.
        pace: How the better one is run.
    """

    is_rewritten: bool
    pace: Pace


_Verdict = tuple[str, str] | Outcome
"""The name of an error and its message, or what was found."""


class Rehearsal:
    """The child process; started when needed. Safe to use from several threads, one rehearsal at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def hold(self, graph: ServableGraph, limits: LoadLimits) -> Outcome:
        """Load and warm `graph` in the child, and have it compete with its rewritten form (see `quickening`).

        Raises:
            ModelRefusedError: What the child found, or the child did not survive it, or not in time.
            EngineUnavailableError: The child cannot be started, has no TensorFlow, or was ended by somebody else.
        """
        with self._lock:
            child = self._running()
            try:
                answer = _ask(child, pickle.dumps((graph, limits)), limits.load_seconds + _GRACE_SECONDS)
            except TimeoutError as error:
                self._stop()
                raise ModelLimitError(f"loading does not end within {limits.load_seconds:g} s") from error
            except (OSError, EOFError) as error:
                status = self._stop(_GRACE_SECONDS)  # its answers ended, so it is about to
                if status in _ENDED_FROM_OUTSIDE:
                    raise EngineUnavailableError(
                        f"the process that tries models out was ended (status {status})"
                    ) from error
                raise DamagedModelError(f"TensorFlow does not survive loading this model (status {status})") from error
            except BaseException:
                self._stop()
                raise
        try:
            verdict: _Verdict = msgspec.json.decode(answer, type=_Verdict)
        except msgspec.DecodeError as error:
            raise DamagedModelError(f"TensorFlow answers nonsense after loading this model: {error}") from error
        if isinstance(verdict, Outcome):
            return verdict
        name, reason = verdict
        raise _VERDICTS.get(name, DamagedModelError)(reason)

    def close(self) -> None:
        """End the child. A later rehearsal starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._stop()
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                if _receive(self._child, _START_SECONDS) != b"null":
                    raise EOFError("unexpected greeting")
            except (OSError, EOFError, TimeoutError) as error:
                self._stop()
                raise EngineUnavailableError(f"the process that tries models out does not start: {error}") from error
        return self._child

    def _stop(self, patience_seconds: float = 0.0) -> int | None:
        """End the child, and tell its exit status; with patience, let it come to its own end first."""
        child, self._child = self._child, None
        if child is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience_seconds)
        child.kill()
        status = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return status


def _ask(child: subprocess.Popen[bytes], question: bytes, seconds: float) -> bytes:
    assert child.stdin is not None
    # The child reads before it works, so writing does not wait for TensorFlow.
    child.stdin.write(_LENGTH.pack(len(question)) + question)
    child.stdin.flush()
    return _receive(child, seconds)


def _receive(child: subprocess.Popen[bytes], seconds: float) -> bytes:
    """One framed answer; `EOFError` if the child ended first, `TimeoutError` if it is late."""
    assert child.stdout is not None
    deadline = time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_read(child.stdout, _LENGTH.size, deadline))
    if length > _LONGEST_ANSWER:
        raise EOFError("an answer too long")
    return _read(child.stdout, length, deadline)


def _read(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        # Not `select`, which takes no descriptor above 1,023.
        if not wait([pipe.fileno()], max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        piece = os.read(pipe.fileno(), size - len(data))
        if not piece:
            raise EOFError("the child ended")
        data += piece
    return data


# Below here runs in the child.


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    _answer(answers, None)
    while len(header := questions.read(_LENGTH.size)) == _LENGTH.size:
        graph, limits = pickle.loads(questions.read(_LENGTH.unpack(header)[0]))
        faulthandler.dump_traceback_later(limits.load_seconds + 2 * _GRACE_SECONDS, exit=True)
        _answer(answers, _verdict(graph, limits))
        faulthandler.cancel_dump_traceback_later()


def _verdict(graph: ServableGraph, limits: LoadLimits) -> _Verdict:
    try:
        capi.version()
        _limit_memory(limits)
        started = time.monotonic()
        pace = _try_out(warm_scorer(graph, limits))
        # What follows takes about twice as long again, and must not cost a model its place.
        has_time = time.monotonic() - started < limits.load_seconds / _SHARE_OF_TIME
        better = rewritten(graph) if has_time and is_better_rewritten(graph, limits) else None
        if better is not None:
            pace = _try_out(warm_scorer(better, limits, is_rewritten=True))
    except ServingError as error:
        return type(error).__name__, str(error)[:4000]
    except MemoryError:
        return ModelLimitError.__name__, "loading takes more memory than a model may"
    return Outcome(better is not None, pace)


def _try_out(scorer: TensorFlowScorer) -> Pace:
    """Score numbers that a model was hardly made for. Failures are fine; what counts is that there is an after."""
    from serving.core.columns import Features, TextColumn

    numbers = sum(not slot.is_text for slot in scorer.signature.slots)
    texts = len(scorer.signature.slots) - numbers
    matrix = np.repeat(np.array(_UNLIKELY)[:, None], numbers, axis=1)
    column = TextColumn(np.arange(len(_UNLIKELY)) % 2, ("", "unlikely"))
    with contextlib.closing(scorer), contextlib.suppress(ScoringError):
        scorer.score(Features(matrix, (column,) * texts))
    return scorer.pace


def _limit_memory(limits: LoadLimits) -> None:
    """Allow what the process has now and room to work in; where the system knows no such limit, there is none."""
    try:
        pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
        most = pages * resource.getpagesize() + 8 * limits.artifact_bytes + _WORKING_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except (OSError, ValueError):
        return


def _answer(answers: IO[bytes], verdict: _Verdict | None) -> None:
    text = msgspec.json.encode(verdict)
    answers.write(_LENGTH.pack(len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # these are for the worker, which then ends this
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
