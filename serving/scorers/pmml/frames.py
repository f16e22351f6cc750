"""Frames between the worker and its PMML child: a fixed head, then bytes.

Both ends run the same program on the same machine, so numbers travel in native byte order and matrices as they lie in
memory. A frame is written with one system call and read into one buffer; nothing is pickled, so that neither end can be
made to run code by what it reads.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from time import monotonic
from typing import Final

_HEAD: Final = struct.Struct("=IIQQ")
Part = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a frame asks, or answers."""

    LOAD = 1
    UNLOAD = 2
    SCORE = 3
    USAGE = 4
    COMPARE = 5
    GIVE_WAY = 6
    ANSWER = 10
    REFUSED = 11
    BROKEN = 12


@dataclass(frozen=True, slots=True)
class Frame:
    """One message.

    Attributes:
        kind: See `Kind`. `REFUSED` and `BROKEN` carry a UTF-8 reason as body.
        model: The model's number in the child.
        rows: Rows of a batch, else 0.
        body: What the kind says.
    """

    kind: Kind
    model: int
    rows: int
    body: memoryview


class ClosedError(Exception):
    """The other end is gone."""


def send(
    sock: socket.socket, kind: Kind, model: int, rows: int, parts: Sequence[Part], seconds: float | None = None
) -> None:
    """Write one frame, whole.

    Raises:
        ClosedError: The other end is gone.
        TimeoutError: It did not take the frame within `seconds`.
    """
    views = [memoryview(part).cast("B") for part in parts]
    length = sum(map(len, views))
    pending = [memoryview(_HEAD.pack(kind, model, rows, length)), *(view for view in views if len(view))]
    deadline = None if seconds is None else monotonic() + seconds
    try:
        while pending:
            _arm(sock, deadline)
            sent = sock.sendmsg(pending)
            while pending and sent >= len(pending[0]):
                sent -= len(pending[0])
                del pending[0]
            if sent:
                pending[0] = pending[0][sent:]
    except TimeoutError:
        raise
    except OSError as error:
        raise ClosedError(str(error)) from error


def receive(sock: socket.socket, seconds: float | None = None) -> Frame:
    """Read one frame, whole.

    Raises:
        ClosedError: The other end is gone, perhaps in the middle of a frame.
        TimeoutError: The frame was not complete within `seconds`.
    """
    deadline = None if seconds is None else monotonic() + seconds
    kind, model, rows, length = _HEAD.unpack(_exactly(sock, _HEAD.size, deadline))
    return Frame(Kind(kind), model, rows, memoryview(_exactly(sock, length, deadline)))


def _exactly(sock: socket.socket, length: int, deadline: float | None) -> bytearray:
    buffer = bytearray(length)
    view = memoryview(buffer)
    try:
        while len(view):
            _arm(sock, deadline)
            got = sock.recv_into(view)
            if got == 0:
                raise ClosedError("the connection was closed")
            view = view[got:]
    except TimeoutError:
        raise
    except OSError as error:
        raise ClosedError(str(error)) from error
    return buffer


def _arm(sock: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        return
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
