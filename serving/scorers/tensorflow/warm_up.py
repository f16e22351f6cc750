"""A servable graph -> a scorer that has proven itself.

The graph first gets a session with an executor of its own thread, which a time limit can interrupt between operations, and
scores batches of growing size there. That shows that outputs have one row a record and a settled type and shape, what the
model costs, and that it ends; how it is run follows from that (`pacing`). A quick model without loops then gets its final
session, which runs in the caller's thread without any hand-over (25 instead of 54 us a call, measured) but cannot be interrupted,
and must give the same bits there. A heavy one may be rewritten (`quickening`), and its threads give way to the event loop
(`giving_way`).

The batches hold zeros; if the model refuses those, ones. What the outputs are for them does not matter, NaN included: the
logarithm of zero is the model's own business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model_store.core.signature import Signature, TensorSpec
from serving.core.errors import DamagedModelError, ModelLimitError, SignatureError, UnsupportedModelError
from serving.scorers.base import LoadLimits
from serving.scorers.tensorflow import capi
from serving.scorers.tensorflow.blocks import rows_of_block
from serving.scorers.tensorflow.capi import DEADLINE_EXCEEDED, Array, Session, TensorFlowError
from serving.scorers.tensorflow.feeds import DTYPE_NAMES, Feed, feeds_of, slots_of, specs_of
from serving.scorers.tensorflow.giving_way import open_to_give_way
from serving.scorers.tensorflow.pacing import MEASURED_ROWS, Pace, pace_of
from serving.scorers.tensorflow.protos import message_class
from serving.scorers.tensorflow.quickening import own_thread_config, straight_config
from serving.scorers.tensorflow.scorer import Fetch, TensorFlowScorer, first_line
from serving.scorers.tensorflow.servable import ServableGraph, Tensor

_FIRST_SIZES = (1, 16)
_FEW = 2
"""The second size where a record takes longer than `_SLOW_SECONDS`."""
_SLOW_SECONDS = 0.05
_LARGER_SIZES = (MEASURED_ROWS, 2048)
"""Tried where a run may be as large."""
_WIDEST_OUTPUT = 1 << 20


def warm_scorer(
    graph: ServableGraph, limits: LoadLimits, is_rewritten: bool = False, pace: Pace | None = None
) -> TensorFlowScorer:
    """Load and check `graph`.

    Args:
        graph: To be loaded.
        limits: What it may cost.
        is_rewritten: It came from `quickening.rewritten`.
        pace: How it is run; `None` to find out, in a process that does nothing else meanwhile.

    Raises:
        DamagedModelError: TensorFlow cannot load it.
        SignatureError: It fails on every batch tried, or its outputs are not one row a record.
        UnsupportedModelError: A type or shape of its inputs or outputs cannot be served.
        ModelLimitError: Loading and warming took longer than `limits.load_seconds`.
        EngineUnavailableError: TensorFlow's library cannot be used.
    """
    deadline = time.monotonic() + limits.load_seconds
    feeds = feeds_of(graph.inputs)
    config = straight_config() if is_rewritten else own_thread_config()

    def make() -> Session:
        return _open(graph, feeds, config, limits, deadline)

    gives_way = is_rewritten or (pace is not None and pace.is_heavy)
    session = open_to_give_way(make) if gives_way else make()
    try:
        samples, results = _first_batches(session, feeds, limits, deadline, pace)
        sizes = [len(sample[0]) for sample in samples]
        predictions = _predictions(graph.outputs, results, sizes) if graph.are_outputs_guessed else graph.outputs
        if predictions and predictions != graph.outputs:
            session.close()
            return warm_scorer(
                replace(graph, outputs=predictions, are_outputs_guessed=False), limits, is_rewritten, pace
            )
        fetches = _fetches(graph.outputs, results, sizes)
        options = _run_options(limits.score_seconds)
        engine = f"tensorflow {capi.version()} (C API{', rewritten' if is_rewritten else ''})"
        if pace is None:
            pace = _measured(session, samples, limits, deadline)
        _try_larger(session, samples, fetches, pace, limits, deadline)
        if not graph.has_loops and not pace.is_heavy:
            quick = _open_quick(graph, feeds, samples, results, limits, deadline)
            if quick is not None:
                session.close()
                session, options = quick, b""
        elif pace.is_heavy and not gives_way:
            session.close()
            session = open_to_give_way(make)
            _seconds(session, samples[0], limits, deadline)
    except BaseException:
        session.close()
        raise
    signature = Signature(specs_of(graph.inputs), tuple(fetch.spec for fetch in fetches), slots_of(feeds))
    block = 1 if pace.rows == 1 else rows_of_block()
    return TensorFlowScorer(signature, engine, pace, session, feeds, fetches, options, limits.score_seconds, block)


def _callers_thread_config() -> bytes:
    config = message_class("ConfigProto")()
    config.intra_op_parallelism_threads = 1
    config.inter_op_parallelism_threads = -1
    config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    return bytes(config.SerializeToString())


def _run_options(seconds: float) -> bytes:
    options = message_class("RunOptions")()
    options.timeout_in_ms = max(1, math.ceil(seconds * 1000))
    return bytes(options.SerializeToString())


def _open(graph: ServableGraph, feeds: Sequence[Feed], config: bytes, limits: LoadLimits, deadline: float) -> Session:
    references = [feed.reference for feed in feeds]
    outputs = [tensor.reference for tensor in graph.outputs]
    try:
        return Session(graph.definition, references, outputs, config, graph.setup, _options_until(deadline, limits))
    except TensorFlowError as error:
        _raise_if_late(error, limits)
        raise DamagedModelError(f"TensorFlow cannot load the graph: {first_line(error)}") from error


def _open_quick(
    graph: ServableGraph,
    feeds: Sequence[Feed],
    samples: Sequence[Sequence[Array]],
    results: Sequence[Sequence[Array]],
    limits: LoadLimits,
    deadline: float,
) -> Session | None:
    """The session in the caller's thread; `None` if that executor does not take this graph or gives other results."""
    try:
        session = Session(
            graph.definition,
            [feed.reference for feed in feeds],
            [tensor.reference for tensor in graph.outputs],
            _callers_thread_config(),
            graph.setup,
            _options_until(deadline, limits),
        )
    except TensorFlowError:
        return None
    try:
        if all(_same(session.run(sample), result) for sample, result in zip(samples, results, strict=True)):
            return session
    except TensorFlowError:
        pass
    session.close()
    return None


def _first_batches(
    session: Session, feeds: Sequence[Feed], limits: LoadLimits, deadline: float, pace: Pace | None
) -> tuple[list[list[Array]], list[list[Array]]]:
    """The first batches and what the model made of them: of zeros, or of ones if it refuses zeros."""
    makers: Sequence[Callable[[Feed, int], Array]] = (Feed.zeros, Feed.ones)
    reason = ""
    for make in makers:
        samples, results = [], []
        sizes = list(_FIRST_SIZES)
        if pace is not None and pace.rows < sizes[1]:
            sizes[1] = _FEW
        try:
            for rows in sizes:
                sample = [make(feed, rows) for feed in feeds]
                started = time.process_time()
                results.append(session.run(sample, _options_until(deadline, limits)))
                samples.append(sample)
                # The first run is slower than all others, so a model that only starts slowly gets a second chance.
                if (
                    pace is None
                    and rows == 1
                    and time.process_time() - started > _SLOW_SECONDS
                    and _seconds(session, sample, limits, deadline) > _SLOW_SECONDS
                ):
                    sizes[1] = _FEW
        except TensorFlowError as error:
            _raise_if_late(error, limits)
            reason = reason or first_line(error)
        else:
            return samples, results
    raise SignatureError(f"the model fails on a batch of zeros and on one of ones: {reason}")


def _measured(session: Session, samples: Sequence[Sequence[Array]], limits: LoadLimits, deadline: float) -> Pace:
    """See `pacing`."""

    def seconds(rows: int) -> float:
        return _seconds(session, _repeated(samples[0], rows), limits, deadline)

    return pace_of(seconds, len(samples[1][0]))


def _seconds(session: Session, batch: Sequence[Array], limits: LoadLimits, deadline: float) -> float:
    """Seconds of this process's processor time for one batch, the best of three."""
    best = math.inf
    for _ in range(3):
        started = time.process_time()
        try:
            session.run(batch, _options_until(deadline, limits))
        except TensorFlowError as error:
            _raise_if_late(error, limits)
            raise SignatureError(
                f"the model fails on a batch of {len(batch[0])} records: {first_line(error)}"
            ) from error
        best = min(best, time.process_time() - started)
    if best > limits.score_seconds:
        raise ModelLimitError(f"{len(batch[0])} records take {best:.3g} s; the limit is {limits.score_seconds:g} s")
    return best


def _repeated(sample: Sequence[Array], rows: int) -> list[Array]:
    return [np.repeat(array[:1], rows, axis=0) for array in sample]


def _predictions(
    outputs: Sequence[Tensor], results: Sequence[Sequence[Array]], sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """The outputs that have one row a record: not the counter of a loop, which nobody consumes either."""
    return tuple(
        tensor
        for position, tensor in enumerate(outputs)
        if all(
            result[position].ndim > 0 and len(result[position]) == rows
            for rows, result in zip(sizes, results, strict=True)
        )
    )


def _fetches(outputs: Sequence[Tensor], results: Sequence[Sequence[Array]], sizes: Sequence[int]) -> tuple[Fetch, ...]:
    fetches = []
    for position, tensor in enumerate(outputs):
        arrays = [result[position] for result in results]
        for rows, array in zip(sizes, arrays, strict=True):
            if array.ndim == 0 or len(array) != rows or array.shape[1:] != arrays[0].shape[1:]:
                raise SignatureError(
                    f"output {tensor.name!r} has shape {array.shape} for a batch of {rows} records; each output must have"
                    " one row a record and the same shape for each"
                )
        fetches.append(_fetch(tensor, arrays[0]))
    return tuple(fetches)


def _fetch(tensor: Tensor, array: Array) -> Fetch:
    shape = array.shape[1:]
    width = math.prod(shape)
    name = DTYPE_NAMES[capi.CODE_OF[array.dtype]]
    if name == "string" and width != 1:
        raise UnsupportedModelError(f"output {tensor.name!r} holds {width} strings a record; one is possible")
    if not 0 < width <= _WIDEST_OUTPUT:
        raise UnsupportedModelError(
            f"output {tensor.name!r} holds {width} values a record; 1 to {_WIDEST_OUTPUT} are possible"
        )
    return Fetch(TensorSpec(tensor.name, name, shape), np.dtype(object if name == "string" else name), width)


def _try_larger(
    session: Session,
    samples: Sequence[Sequence[Array]],
    fetches: Sequence[Fetch],
    pace: Pace,
    limits: LoadLimits,
    deadline: float,
) -> None:
    """Run batches of the sizes that will come, so that the first of them is no slower than others, and look at their outputs."""
    for rows in _LARGER_SIZES:
        if rows > pace.rows:
            break
        try:
            arrays = session.run(_repeated(samples[0], rows), _options_until(deadline, limits))
        except TensorFlowError as error:
            _raise_if_late(error, limits)
            raise SignatureError(f"the model fails on a batch of {rows} records: {first_line(error)}") from error
        for fetch, array in zip(fetches, arrays, strict=True):
            if array.shape != (rows, *fetch.spec.shape):
                raise SignatureError(
                    f"output {fetch.spec.name!r} has shape {array.shape} for a batch of {rows} records"
                )


def _options_until(deadline: float, limits: LoadLimits) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ModelLimitError(f"loading took longer than {limits.load_seconds:g} s")
    return _run_options(min(left, limits.score_seconds))


def _raise_if_late(error: TensorFlowError, limits: LoadLimits) -> None:
    if error.code == DEADLINE_EXCEEDED:
        raise ModelLimitError(
            f"a batch of zeros or ones does not end within {min(limits.load_seconds, limits.score_seconds):g} s"
        ) from error


def _same(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return all(
        one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
        if not one.dtype.hasobject
        else one.tolist() == other.tolist()
        for one, other in zip(some, others, strict=True)
    )
