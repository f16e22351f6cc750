"""A heavy graph -> the same model from fewer, larger operations, if that is shown to be the same and to be faster.

The graph is written out as a straight line (`straighten`), its convolutions are joined (`fusion`), and the result competes
with the original: on generated rows, some of them unlikely, both must agree, and the new one must take less time. Otherwise,
or where the graph cannot be written out, the original serves. The competition is part of the rehearsal (`rehearsal`): the
child does nothing else meanwhile, so that the time of its processor tells what a graph costs however busy the machine is.

Agreement is a matter of rounding: the same numbers are added in another order. `RELATIVE` and `ABSOLUTE` are what is
allowed for outputs of floating point; all others must be equal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from serving.core.errors import DamagedModelError
from serving.scorers.base import LoadLimits
from serving.scorers.tensorflow.capi import Array, Session, TensorFlowError
from serving.scorers.tensorflow.feeds import Feed, feeds_of
from serving.scorers.tensorflow.fusion import fuse
from serving.scorers.tensorflow.program import NotStraightError, write
from serving.scorers.tensorflow.protos import Message, message_class, parse
from serving.scorers.tensorflow.servable import ServableGraph
from serving.scorers.tensorflow.straighten import straighten

HEAVY_SECONDS = 0.004
"""What a record must take for a graph to be rewritten: lighter ones keep the very bits of TensorFlow's Python interface."""
RELATIVE = 1e-5
ABSOLUTE = 1e-6
_WORTH = 0.9
"""The new graph must take no more than this share of the time; less is within what two measurements differ by."""
_RUNS = 5


def rewritten(graph: ServableGraph) -> ServableGraph | None:
    """`graph` as a straight line with joined convolutions, in the same terms; `None` if it cannot be had."""
    try:
        program, outputs = straighten(graph)
        fused = fuse(program, outputs)
    except (NotStraightError, DamagedModelError, RecursionError):
        return None
    except (KeyError, ValueError, IndexError):  # a graph that contradicts itself, which TensorFlow will say
        return None
    definition, references = write(fused, parse("GraphDef", graph.definition, "the graph").versions)
    tensors = tuple(
        replace(tensor, reference=reference) for tensor, reference in zip(graph.outputs, references, strict=True)
    )
    return replace(graph, definition=definition, outputs=tensors, has_loops=False, setup=None)


def is_better_rewritten(graph: ServableGraph, limits: LoadLimits) -> bool:
    """`graph` is heavy, and rewritten it gives the same for clearly less. Only for a process that does nothing else.

    Raises:
        ModelRefusedError: An input is not one that can be served.
    """
    feeds = feeds_of(graph.inputs)
    options = _run_options(limits)
    try:
        with closing(_open(graph, feeds, own_thread_config(), options)) as original:
            if _seconds([original], feeds, options)[0] < HEAVY_SECONDS:
                return False
            new = rewritten(graph)
            if new is None:
                return False
            with closing(_open(new, feeds, straight_config(), options)) as other:
                for batch in _batches(feeds):
                    if not _agree(other.run(batch, options), original.run(batch, options)):
                        return False
                before, after = _seconds([original, other], feeds, options)
                return after <= _WORTH * before
    except TensorFlowError:
        return False


def own_thread_config() -> bytes:
    """One thread for each session, so that a model that is stuck until its time limit holds up no other."""
    return bytes(_of_own_thread().SerializeToString())


def straight_config() -> bytes:
    """As `own_thread_config`, but of TensorFlow's own optimizer only what makes one kernel of a convolution and its bias.

    All of it takes four times as long as all else in loading a rewritten graph, and finds nothing else there.
    """
    config = _of_own_thread()
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers.append("remap")
    rewriting.meta_optimizer_iterations = 1  # ONE
    rewriting.min_graph_nodes = -1  # however small
    return bytes(config.SerializeToString())


def _of_own_thread() -> Message:
    config = message_class("ConfigProto")()
    config.intra_op_parallelism_threads = 1
    config.inter_op_parallelism_threads = 1
    config.use_per_session_threads = True
    return config


def _open(graph: ServableGraph, feeds: Sequence[Feed], config: bytes, options: bytes) -> Session:
    references = [feed.reference for feed in feeds]
    outputs = [tensor.reference for tensor in graph.outputs]
    return Session(graph.definition, references, outputs, config, graph.setup, options)


def _run_options(limits: LoadLimits) -> bytes:
    options = message_class("RunOptions")()
    options.timeout_in_ms = max(1, math.ceil(limits.score_seconds * 1000))
    return bytes(options.SerializeToString())


def _batches(feeds: Sequence[Feed]) -> list[list[Array]]:
    """Rows as they may come, rows far out, and rows with a NaN and an infinity in them."""
    random = np.random.default_rng(20_170_801)
    return [
        [_numbers(feed, rows, scale, odd, random) for feed in feeds]
        for rows, scale, odd in ((1, 1.0, None), (3, 1.0, None), (1, 100.0, None), (1, 1.0, np.nan), (1, 1.0, np.inf))
    ]


def _numbers(feed: Feed, rows: int, scale: float, odd: float | None, random: np.random.Generator) -> Array:
    if feed.dtype.kind != "f":
        return feed.ones(rows)
    array = (random.standard_normal((rows, *feed.shape)) * scale).astype(feed.dtype)
    if odd is not None:
        array.reshape(-1)[array.size // 2] = odd
    return array


def _agree(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return all(
        one.shape == other.shape
        and one.dtype == other.dtype
        and (
            np.allclose(one, other, RELATIVE, ABSOLUTE, equal_nan=True)
            if one.dtype.kind == "f"
            else one.tolist() == other.tolist()
        )
        for one, other in zip(some, others, strict=True)
    )


def _seconds(sessions: Sequence[Session], feeds: Sequence[Feed], options: bytes) -> list[float]:
    """Seconds of processor time for one record, the best of some runs of each session."""
    batch = _batches(feeds)[0]
    best = [math.inf] * len(sessions)
    for _ in range(_RUNS):  # in turn, so that what disturbs the machine disturbs all
        for place, session in enumerate(sessions):
            started = time.process_time()
            session.run(batch, options)
            best[place] = min(best[place], time.process_time() - started)
    return best
