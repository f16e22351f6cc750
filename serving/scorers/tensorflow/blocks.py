"""Rows that are scored together so that each gets the same bits in every batch.

TensorFlow multiplies matrices by blocks of rows, and on some processors the rows of a last, smaller block are summed up in
another order than those of a whole one, and a single row in a third. Then what a record gets depends on how many came with it, by
the last bits. Seen with TensorFlow 2.21 on a processor with AVX2 and without AVX-512: dense and recurrent networks differed in
nearly all batch sizes, and in none when all batches were multiples of 24 rows; with AVX-512 they never did.

So it is tried, once a process, on products of random matrices.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from serving.scorers.tensorflow.capi import Array, Session
from serving.scorers.tensorflow.program import Node, Program, Value, write
from serving.scorers.tensorflow.protos import message_class
from serving.scorers.tensorflow.quickening import own_thread_config
from serving.scorers.tensorflow.rewriting import float_type, of_type

BLOCK: Final = 24
"""Multiples of 6 and of 12 rows are not enough (measured, as above)."""

_SHAPES: Final = ((11, 64), (64, 64), (37, 5), (128, 3))
"""Of matrices, as layers have them."""
_SIZES: Final = (1, 2, 3, 5, 7, 13, 23, 25, 47, 100)
_WHOLE: Final = 5 * BLOCK
_PRODUCER: Final = 2_000
"""Version of the graph's format: a recent one, because an old one is read by old rules."""


@cache
def rows_of_block() -> int:
    """A multiple of how many rows a run must have: 1 where it does not matter, or where nothing helps."""
    random = np.random.default_rng(20_170_801)
    is_needed = False
    for inputs, outputs in _SHAPES:
        rows = random.normal(size=(_WHOLE, inputs)).astype(np.float32)
        session = _product(random.normal(size=(inputs, outputs)).astype(np.float32))
        try:
            whole = _run(session, rows[:BLOCK])
            for start in range(BLOCK, _WHOLE, BLOCK):
                whole = np.concatenate([whole, _run(session, rows[start : start + BLOCK])])
            if not np.array_equal(_run(session, rows), whole):
                return 1
            is_needed |= any(not np.array_equal(_run(session, rows[:size]), whole[:size]) for size in _SIZES)
        finally:
            session.close()
    return BLOCK if is_needed else 1


def filled(array: Array, rows: int) -> Array:
    """The array (m, ...) with its last row repeated until there are `rows`."""
    if len(array) == rows:
        return array
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def _run(session: Session, rows: Array) -> Array:
    (found,) = session.run([np.ascontiguousarray(rows)])
    return found


def _product(weights: Array) -> Session:
    program = Program(most_nodes=2)
    rows = Value(Node("Placeholder", name="x", attributes=(("dtype", float_type()),)))
    product = program.node("MatMul", [rows, program.constant(weights)], of_type())
    definition, fetches = write([Value(product)], message_class("VersionDef")(producer=_PRODUCER))
    return Session(definition, ["x:0"], fetches, own_thread_config())
