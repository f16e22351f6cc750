"""The demo's processes beside this one, and the ends of topics: what must be gone again afterwards, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from sluice.demo.errors import DemoError


@dataclass(frozen=True, slots=True)
class Child:
    """A process and the pipe to it."""

    name: str
    process: BaseProcess
    pipe: Connection

    def check(self) -> None:
        """See that it lives, or has something to say.

        Raises:
            DemoError: It died.
        """
        if not self.process.is_alive() and not self.pipe.poll():
            raise DemoError(f"the demo's {self.name} died with exit status {self.process.exitcode}")


@contextmanager
def running_child(context: Any, name: str, target: Callable[..., None], plan: object, *shared: Any) -> Iterator[Child]:
    """A child process that runs `target(plan, pipe, *shared)` and is gone afterwards, whatever happens."""
    mine, its = context.Pipe()
    process = context.Process(target=target, args=(plan, its, *shared), name=f"sluice-demo-{name}", daemon=True)
    process.start()
    its.close()
    try:
        yield Child(name, process, mine)
    finally:
        mine.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def end_offsets(bootstrap: str) -> Iterator[Callable[[str], dict[int, int]]]:
    """A function from a topic to the end offset of each of its partitions.

    Raises:
        DemoError: Kafka does not answer, or there is no such topic.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "sluice-demo", "enable.auto.commit": False})

    def ends(topic: str) -> dict[int, int]:
        found = consumer.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None:
            raise DemoError(f"there is no topic {topic} at {bootstrap}: {found.error.str()}")
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for partition in found.partitions
        }

    try:
        yield ends
    except KafkaException as error:
        raise DemoError(f"Kafka at {bootstrap} does not answer: {error}") from error
    finally:
        consumer.close()
