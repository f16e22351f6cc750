"""The broker and the Redis of the stack as single servers: they keep their data over every kind of end."""

import redis
from confluent_kafka import Consumer, Producer

from sluice.stack.kafka import cluster_id_at
from sluice.stack.redis import RunningRedis


def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def first_values(bootstrap: str, topic: str, count: int) -> list[bytes]:
    settings = {"bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_a_broker_has_its_records_after_a_stop_and_after_a_kill(kafka_restartable) -> None:
    topic = kafka_restartable.create_topic()
    cluster_id = cluster_id_at(kafka_restartable.bootstrap)

    produce(kafka_restartable.bootstrap, topic, b"before the stop")
    kafka_restartable.stop()
    kafka_restartable.start()
    produce(kafka_restartable.bootstrap, topic, b"before the kill")
    kafka_restartable.kill()
    kafka_restartable.start()

    assert cluster_id_at(kafka_restartable.bootstrap) == cluster_id
    assert first_values(kafka_restartable.bootstrap, topic, 2) == [b"before the stop", b"before the kill"]


def test_a_redis_has_its_keys_after_a_stop(redis_server: RunningRedis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("colour", "red")

    redis_server.stop()
    redis_server.start()

    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("colour") == b"red"


def test_the_sessions_broker_makes_topics_with_the_partitions_asked_for(kafka) -> None:
    topic = kafka.create_topic(partitions=3, config={"max.message.bytes": "20000000"})

    numbers = [b"%d" % number for number in range(30)]
    produce(kafka.bootstrap, topic, *numbers)

    assert sorted(first_values(kafka.bootstrap, topic, 30), key=int) == numbers


def test_the_sessions_redis_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
