"""Reads records and writes the same bytes: what Kafka alone costs a Python program."""

from __future__ import annotations

from confluent_kafka import Message

from benchmarks.peers.python.confluent_loop import ConfluentLoop
from benchmarks.peers.python.run import this_run


def main() -> None:
    ConfluentLoop(this_run()).work(lambda records: list(map(Message.value, records)))


if __name__ == "__main__":
    main()
