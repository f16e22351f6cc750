"""The child process: a Java machine with PMML4S in it, and nothing else.

Started by `process` as `python -m serving.scorers.pmml.child` with four inherited descriptors. Three of them are channels,
each served by a thread of its own: one scores, one loads, checks and forgets models, and one compares models with their flat
forms, so that a batch does not wait for a load, and neither for a comparison; while they are in Java, they hold no Python
lock. The fourth is a lifeline: it never carries a byte, and when its other end closes, which happens however the parent dies,
the child is gone at once, even in the middle of a batch.

Each request gets one answer: `ANSWER`, `REFUSED` (the model is at fault) or `BROKEN` (this batch could not be scored).
The bodies are:

* `LOAD`: length of a JSON head (uint32), the head (`names`, `kinds`, `categories`, `numeric_target`), the document;
  answered with JSON, the engine's `fields`;
* `SCORE`: the matrix (float64), the codes of each text column (int64), the dictionaries as JSON; answered with the number
  columns (float64), the codes of each text column (int32), their dictionaries as JSON, in the order of `fields`;
* `COMPARE`: see `comparison`;
* `UNLOAD`: nothing; `USAGE`: nothing, answered with JSON; `GIVE_WAY`: nothing, answered with JSON, whether it does from now on.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from serving.idling import idle
from serving.scorers.pmml.frames import ClosedError, Frame, Kind, Part, receive, send

if TYPE_CHECKING:  # it imports the bridge to Java, which the greeting is to report on
    from serving.scorers.pmml.jvm import Garbage

_PR_SET_PDEATHSIG = 1
# Deeply nested trees recurse in Java on the stack of the Python thread that calls in.
_STACK_BYTES = 16 << 20


def main(arguments: list[str]) -> None:
    """Serve until the parent is gone.

    Args:
        arguments: Descriptors of the three channels (scoring, loading, comparing) and of the lifeline, the parent's process id,
            most megabytes of Java objects, milliseconds between two looks at what loads left.
    """
    *descriptors, lifeline, parent, heap_megabytes, look_milliseconds = map(int, arguments)
    _die_with_parent(parent)
    # Ctrl-C is for the worker, which finishes its batches before it lets its child go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channels = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    loading = channels[1]
    threading.stack_size(_STACK_BYTES)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    try:
        from serving.scorers.pmml import jvm

        engine = jvm.start(heap_megabytes)
        garbage = jvm.garbage()
        server = _Server(garbage)
    except Exception as error:
        send(loading, Kind.BROKEN, 0, 0, [f"{type(error).__name__}: {error}".encode()])
        os._exit(1)
    send(loading, Kind.ANSWER, 0, 0, [json.dumps({"engine": engine}).encode()])
    threads = [threading.Thread(target=server.serve, args=(channel,), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    threading.Thread(target=_clear_away, args=(garbage, look_milliseconds / 1000), daemon=True).start()
    threads[0].join()
    # The Java machine would wait for its own threads.
    os._exit(0)


class _Server:
    """The models, by the number that the parent gave them."""

    def __init__(self, garbage: Garbage) -> None:
        from serving.scorers.pmml import bulk, jvm

        self._bulk, self._jvm, self._garbage = bulk, jvm, garbage
        self._models: dict[int, bulk.BulkModel] = {}

    def serve(self, channel: socket.socket) -> None:
        """Answer one channel's requests in order, until it is closed."""
        with contextlib.suppress(ClosedError):
            while True:
                request = receive(channel)
                kind, parts = self._answer(request)
                send(channel, kind, request.model, request.rows, parts)

    def _answer(self, request: Frame) -> tuple[Kind, list[Part]]:
        try:
            match request.kind:
                case Kind.SCORE:
                    return Kind.ANSWER, self._score(request)
                case Kind.LOAD:
                    return Kind.ANSWER, [self._load(request)]
                case Kind.COMPARE:
                    return Kind.ANSWER, [self._compare(request)]
                case Kind.UNLOAD:
                    self._models.pop(request.model, None)
                    return Kind.ANSWER, []
                case Kind.USAGE:
                    return Kind.ANSWER, [json.dumps(self._usage()).encode()]
                case Kind.GIVE_WAY:
                    return Kind.ANSWER, [json.dumps(idle()).encode()]
                case _:
                    return Kind.BROKEN, [f"a request of kind {request.kind!r}".encode()]
        except Exception as error:
            kind = Kind.REFUSED if request.kind is Kind.LOAD else Kind.BROKEN
            return kind, [_reason(error).encode()]

    def _load(self, request: Frame) -> bytes:
        (length,) = struct.unpack_from("=I", request.body)
        head = json.loads(bytes(request.body[4 : 4 + length]))
        document = bytes(request.body[4 + length :])
        model = self._bulk.BulkModel(document, head["names"], head["kinds"], head["categories"], head["numeric_target"])
        self._models[request.model] = model
        return json.dumps({"fields": model.fields}).encode()

    def _usage(self) -> dict[str, int]:
        return self._jvm.usage() | {"models": len(self._models), "collections": self._garbage.collections}

    def _compare(self, request: Frame) -> Part:
        # Only a worker with the fast tier asks; what it takes to compare need not be in others' memory.
        from serving.scorers.pmml import comparison

        return comparison.answer(request, self._answer)

    def _score(self, request: Frame) -> list[Part]:
        model, rows = self._models[request.model], request.rows
        matrix_bytes = rows * model.matrix_width * 8
        matrix = np.frombuffer(request.body[:matrix_bytes]).reshape(rows, model.matrix_width)
        texts = []
        if model.text_width:
            codes_end = matrix_bytes + model.text_width * rows * 8
            codes = np.frombuffer(request.body[matrix_bytes:codes_end], np.int64).reshape(model.text_width, rows)
            dictionaries = json.loads(bytes(request.body[codes_end:]))
            texts = list(zip(codes, dictionaries, strict=True))
        numbers, coded = model.score(matrix, texts)
        parts: list[Part] = [column.data for column in numbers]
        if coded:
            parts += [codes.data for codes, _ in coded]
            parts.append(json.dumps([values for _, values in coded]).encode())
        return parts


def _reason(error: Exception) -> str:
    """An exception in words; Java's come with their class, because their message alone is often a lone name."""
    java = getattr(error, "getClass", None)
    name = str(java().getSimpleName()) if java is not None else type(error).__name__
    message = getattr(error, "getMessage", None)
    text = str(message() or "") if message is not None else str(error)
    return f"{name}: {text}" if text else name


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the line above could take hold.
        os._exit(0)


def _clear_away(garbage: Garbage, seconds: float) -> None:
    while True:
        time.sleep(seconds)
        garbage.look()


def _watch(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
