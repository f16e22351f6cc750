"""Records at a fixed rate, from a process of its own, each stamped with the time of its sending.

It sends until its standard input closes or the time is up, then prints one line of JSON: how many, and how late the latest
was. It does little else, for it shares the machine with what is measured; what it costs in delay is in the baseline row.
"""

from __future__ import annotations

import contextlib
import gc
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from confluent_kafka import Producer

from benchmarks.records import PARTITIONS, key, wine_json, wine_values

_STEP_SECONDS = 0.001


@dataclass(slots=True)
class Sending:
    """A sender at work.

    Attributes:
        first: Number of its first record.
        begun_us: When it sent that, microseconds since 1970.
        sent: How many it sent, once it was stopped.
        latest_ms: How far behind its plan it was at worst.
    """

    first: int
    begun_us: int
    _process: subprocess.Popen[str]
    sent: int = 0
    latest_ms: float = 0.0

    def seconds(self) -> float:
        """How long ago it began."""
        return time.time() - self.begun_us / 1e6

    def wait_until(self, seconds: float) -> None:
        """Sleep until it began so long ago."""
        time.sleep(max(0.0, seconds - self.seconds()))

    def finish(self, timeout_seconds: float) -> int:
        """Wait until its time is up; returns how many records it sent.

        Raises:
            RuntimeError: It failed, or did not end in time.
        """
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the sender did not end in {timeout_seconds:g} s") from None
        assert self._process.stdout is not None
        out = self._process.stdout.read()
        if self._process.returncode:
            raise RuntimeError(f"the sender ended with status {self._process.returncode}")
        said = json.loads(out.splitlines()[-1])
        self.sent, self.latest_ms = said["sent"], said["latest_ms"]
        return self.sent

    def stop(self) -> int:
        """Let it end now; returns how many records it sent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.finish(90)


@contextmanager
def sending(
    bootstrap: str, topic: str, rate: int, seconds: float, first: int = 0, wire: str = "protobuf"
) -> Iterator[Sending]:
    """A sender that has begun; ended with the block if it was not before."""
    arguments = [bootstrap, topic, str(rate), str(seconds), str(first), wire]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sender", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the sender did not begin")
        yield Sending(first, int(line), process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def send(
    bootstrap: str, topic: str, rate: int, seconds: float, first: int, wire: str, stop: IO[str], out: IO[str]
) -> None:
    """What the process does."""
    values = wine_json() if wire == "v2-json" else wine_values()
    # Idempotent, so that a record's coordinates follow from its number whatever the network does.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "enable.idempotence": True, "log_level": 3})
    producer.list_topics(topic, timeout=30)
    gc.collect()
    gc.disable()
    total, sent, latest = int(rate * seconds), 0, 0.0
    print(time.time_ns() // 1_000, file=out, flush=True)
    begin = time.perf_counter()
    while sent < total and not select.select([stop], [], [], 0)[0]:
        now = time.perf_counter() - begin
        due = min(total, int(now * rate) + 1)
        if due > sent:
            latest = max(latest, now - sent / rate)
        for number in range(first + sent, first + due):
            _produce(producer, topic, values[number % len(values)], number)
        sent = due
        producer.poll(0)
        time.sleep(max(0.0, min(begin + max(sent / rate, now + _STEP_SECONDS) - time.perf_counter(), 0.1)))
    left = producer.flush(60)
    if left:
        raise SystemExit(f"{left} records were not written")
    print(json.dumps({"sent": sent, "latest_ms": round(latest * 1e3, 2)}), file=out, flush=True)


def _produce(producer: Producer, topic: str, value: bytes, number: int) -> None:
    while True:
        try:
            producer.produce(topic, value, key(number, time.time_ns() // 1_000), partition=number % PARTITIONS)
        except BufferError:
            producer.poll(0.05)
        else:
            return


if __name__ == "__main__":
    _bootstrap, _topic, _rate, _seconds, _first, _wire = sys.argv[1:]
    send(_bootstrap, _topic, int(_rate), float(_seconds), int(_first), _wire, sys.stdin, sys.stdout)
