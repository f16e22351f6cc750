"""What the interpreter did, counted: the same each time, however busy the machine is.

Bytecodes are counted by the interpreter's own tracing. A loop over records in Python shows as bytecodes a record, a
comprehension as well; a call into C shows as one bytecode, whatever it does there. What it leaves behind shows as blocks:
objects that the outputs of a batch hold.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_REPETITIONS = 3


def bytecodes(work: Callable[[], object]) -> int:
    """Bytecodes that `work` executes on this thread; the least of some repetitions."""
    return min(_traced(work) for _ in range(_REPETITIONS))


def blocks(work: Callable[[], object]) -> int:
    """Blocks of memory that the result of `work` holds; the least of some repetitions."""
    found = []
    for _ in range(_REPETITIONS):
        gc.collect()
        before = sys.getallocatedblocks()
        kept = work()
        found.append(sys.getallocatedblocks() - before)
        del kept
    return min(found)


def _traced(work: Callable[[], object]) -> int:
    count = 0

    def opcode(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return opcode

    def entered(frame: FrameType, _event: str, _argument: Any) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return opcode

    before = sys.gettrace()
    gc.disable()
    sys.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return count
