"""Results stamped with their arrival, by a process of its own that does nothing else while they come.

It reads until its standard input closes, then decodes what it has and leaves it in a file.
"""

from __future__ import annotations

import contextlib
import gc
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.accounting import Results
from benchmarks.peer import ModelKind
from benchmarks.reader import Decoder, next_chunk, reading

_COLUMNS = ("index", "sent_us", "answers", "version", "flawed", "size")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Results in the order of their coming.

    Attributes:
        results: What they are.
        arrived_us: int64 (n,): when each was in the reader's hands, microseconds since 1970.
    """

    results: Results
    arrived_us: NDArray[np.int64]


class Collecting:
    """A collector at work."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self._process, self._file = process, file

    def finish(self) -> Arrivals:
        """Let it end, and take what it has.

        Raises:
            RuntimeError: It failed or did not end in two minutes.
        """
        try:
            self._process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            raise RuntimeError("the collector did not end in 120 s") from None
        if self._process.returncode:
            raise RuntimeError(f"the collector ended with status {self._process.returncode}")
        with np.load(self._file) as saved:
            return Arrivals(Results(*(saved[name] for name in _COLUMNS)), saved["arrived_us"])


@contextmanager
def collecting(
    bootstrap: str, topic: str, starts: list[int], model: ModelKind, wire: str, source: str, file: Path
) -> Iterator[Collecting]:
    """A collector that reads already; ended with the block if it was not before."""
    arguments = [bootstrap, topic, ",".join(map(str, starts)), model, wire, source, str(file)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.collector", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError("the collector did not begin")
        yield Collecting(process, file)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def collect(bootstrap: str, topic: str, starts: list[int], decoder: Decoder, file: Path) -> None:
    """What the process does."""
    chunks, stamps = [], []
    with reading(bootstrap, topic, starts, **{"fetch.wait.max.ms": 100}) as consumer:
        consumer.poll(0)
        gc.collect()
        gc.disable()
        print("reading", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            if chunk := next_chunk(consumer, 0.05):
                stamps.append(time.time_ns() // 1_000)
                chunks.append(chunk)
    results = decoder.decode([message for chunk in chunks for message in chunk])
    arrived = np.repeat(np.array(stamps, np.int64), [len(chunk) for chunk in chunks])
    columns = {name: getattr(results, name) for name in _COLUMNS}
    np.savez(file, arrived_us=arrived, **columns)


if __name__ == "__main__":
    _bootstrap, _topic, _starts, _model, _wire, _source, _file = sys.argv[1:]
    collect(
        _bootstrap,
        _topic,
        [int(start) for start in _starts.split(",")],
        Decoder(cast(ModelKind, _model), _wire, _source),
        Path(_file),
    )
