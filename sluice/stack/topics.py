"""The topics of the stack, with the settings they need; made if absent, never changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from sluice.stack.errors import StackError

_TIMEOUT_SECONDS = 30.0
LARGEST_MESSAGE_BYTES = 20 * 1024 * 1024
_LARGE = {"max.message.bytes": str(LARGEST_MESSAGE_BYTES)}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that must be there; `config` are Kafka's own topic settings."""

    name: str
    partitions: int = 1
    config: tuple[tuple[str, str], ...] = ()


def control_topic(name: str) -> Topic:
    """The control log: one partition, kept for ever, models of some size inside its messages."""
    return Topic(name, 1, (("cleanup.policy", "delete"), ("retention.ms", "-1"), *_LARGE.items()))


def dead_letter_topic(name: str) -> Topic:
    """The dead letters: as large as what could not be scored."""
    return Topic(name, 1, tuple(_LARGE.items()))


def ensure(bootstrap: str, wanted: Iterable[Topic], replication_factor: int = -1) -> list[str]:
    """Make those topics that are not there and return their names; existing ones are left as they are.

    A replication factor of -1 is the default of the cluster.

    Raises:
        StackError: The broker refused or did not answer.
    """
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        present = set(client.list_topics(timeout=_TIMEOUT_SECONDS).topics)
    except KafkaException as error:
        raise StackError(f"The Kafka at {bootstrap} does not answer: {error.args[0].str()}.") from error
    absent = [topic for topic in wanted if topic.name not in present]
    if not absent:
        return []
    new = [NewTopic(topic.name, topic.partitions, replication_factor, config=dict(topic.config)) for topic in absent]
    for name, made in client.create_topics(new, operation_timeout=_TIMEOUT_SECONDS).items():
        try:
            made.result(timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StackError(f"Topic {name} could not be made at {bootstrap}: {error.args[0].str()}.") from error
    return [topic.name for topic in absent]
