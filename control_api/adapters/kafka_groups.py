"""Consumer groups as the brokers know them: who is a member (that is, which workers live), and how far behind it is.

Answers are kept for about a second and asked for once at a time, so that any number of requests costs the brokers one
call a second, but for the few that need to know how it is now. During an outage the last answer stands, marked as not
current, and the log is told once.

Members come from librdkafka's older call for groups (`list_groups`). The newer one, `describe_consumer_groups`, asks the
group's coordinator, and where a broker goes away meanwhile it ends the whole process when the broker is back
(https://github.com/confluentinc/librdkafka/issues/4605); so it is used only for groups of the newer protocol
(`group.protocol: consumer`), which the older call does not know, and right after the brokers have answered.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
import structlog
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from control_api.core.member_assignment import assigned_partitions
from control_api.errors import KAFKA_DOWN, ApiError
from control_api.ports import Member, Membership, Position

log = structlog.get_logger(__name__)

FRESH_SECONDS = 1.0
_TIMEOUT_SECONDS = 3.0
_COUNTED_SECONDS = 2.0


class KafkaGroups:
    """See `Groups`."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._kafka = {**kafka, "reconnect.backoff.max.ms": 1000}
        self._admin = AdminClient(self._kafka)
        self._one_at_a_time = asyncio.Lock()
        self._asked: tuple[str, ...] = ()
        self._answer = Membership()
        self._asked_at = self._answered_at = float("-inf")
        self._one_counting = asyncio.Lock()
        self._counts: dict[str, int] = {}
        self._counted_at = float("-inf")

    async def membership(self, groups: Sequence[str], *, fresh: bool = False) -> Membership:
        """See `Groups.membership`."""
        wanted = tuple(sorted(set(groups)))
        if not wanted:
            return Membership(is_current=True)
        called_at = time.monotonic()
        is_outage = self._asked == wanted and not self._answer.is_current
        if is_outage and not fresh and self._one_at_a_time.locked():
            return self._answer  # whoever asks now may wait for seconds
        async with self._one_at_a_time:
            is_recent = time.monotonic() - self._answered_at < FRESH_SECONDS
            if wanted == self._asked and (self._asked_at >= called_at if fresh else is_recent):
                return self._answer
            self._asked_at = time.monotonic()
            try:
                members, stable = await anyio.to_thread.run_sync(self._describe, wanted)
                self._answer = Membership(members, True, stable)
            except KafkaException as error:
                if self._answer.is_current or not self._asked:
                    log.warning("groups.unreachable", groups=wanted, reason=str(error))
                self._answer = Membership(self._answer.members)
            self._asked, self._answered_at = wanted, time.monotonic()
            return self._answer

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, int]:
        """See `Groups.partitions`."""
        async with self._one_counting:
            is_old = time.monotonic() - self._counted_at >= _COUNTED_SECONDS
            if is_old or not self._counts.keys() >= set(topics):
                try:
                    found = await anyio.to_thread.run_sync(self._count)
                except KafkaException:
                    return {}
                self._counts = {topic: found.get(topic, 0) for topic in {*self._counts, *topics}}
                self._counted_at = time.monotonic()
            return {topic: self._counts[topic] for topic in topics}

    async def ends(self, topic: str) -> Mapping[int, int]:
        """See `Groups.ends`."""
        try:
            return await anyio.to_thread.run_sync(self._ends, topic)
        except KafkaException as error:
            detail = f"the ends of topic {topic} cannot be had: {error}"
            raise ApiError(KAFKA_DOWN, detail, retry_after_seconds=5) from error

    async def lag(self, group: str, partitions: Sequence[Position]) -> Mapping[Position, int]:
        """See `Groups.lag`."""
        if not partitions or not self._answer.is_current:  # it asks the coordinator as well: see the module
            return {}
        try:
            return await anyio.to_thread.run_sync(self._lag, group, tuple(partitions))
        except KafkaException as error:
            log.warning("groups.lag_unknown", group=group, reason=str(error))
            return {}

    def _describe(self, groups: tuple[str, ...]) -> tuple[dict[str, Member], frozenset[str]]:
        """Members, and the groups that are at rest."""
        members: dict[str, Member] = {}
        stable = set()
        for group in groups:
            found, is_stable = self._describe_one(group)
            if is_stable:
                stable.add(group)
            for member in found:
                if member.worker not in members or member.partitions:
                    members[member.worker] = member
        return members, frozenset(stable)

    def _describe_one(self, group: str) -> tuple[list[Member], bool]:
        # The client warns at each call that there is a newer one. Said again each time: once for all would cost as much.
        warnings.filterwarnings("ignore", r"list_groups\(\) is deprecated", DeprecationWarning)
        listed = self._admin.list_groups(group, timeout=_TIMEOUT_SECONDS)
        found = next((each for each in listed if each.id == group), None)
        if found is None:
            return [], False
        if found.state == "Dead":
            return self._describe_newer(group)
        members = [
            Member(each.client_id, group, each.client_host, assigned_partitions(each.assignment or b""))
            for each in found.members
        ]
        return members, found.state == "Stable"

    def _describe_newer(self, group: str) -> tuple[list[Member], bool]:
        asked = self._admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECONDS)
        try:
            found = asked[group].result(_TIMEOUT_SECONDS + 1)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return [], False
            raise
        members = []
        for each in found.members:
            held = each.assignment.topic_partitions if each.assignment is not None else None
            partitions = tuple(sorted((place.topic, place.partition) for place in held or ()))
            members.append(Member(each.client_id, group, each.host, partitions))
        return members, found.state == ConsumerGroupState.STABLE

    def _count(self) -> dict[str, int]:
        # All topics: asking for one by name would have a broker with `auto.create.topics.enable` make it.
        found = self._admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
        return {topic: len(metadata.partitions) for topic, metadata in found.items() if metadata.error is None}

    def _ends(self, topic: str) -> dict[int, int]:
        places = [TopicPartition(topic, number) for number in range(self._count().get(topic, 0))]
        ends = self._admin.list_offsets(
            {place: OffsetSpec.latest() for place in places},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_TIMEOUT_SECONDS,
        )
        return {place.partition: int(end.result(_TIMEOUT_SECONDS + 1).offset) for place, end in ends.items()}

    def _lag(self, group: str, partitions: tuple[Position, ...]) -> dict[Position, int]:
        places = [TopicPartition(topic, partition) for topic, partition in partitions]
        request = [ConsumerGroupTopicPartitions(group, places)]
        committed = self._admin.list_consumer_group_offsets(request, request_timeout=_TIMEOUT_SECONDS)
        ends = self._admin.list_offsets({p: OffsetSpec.latest() for p in places}, request_timeout=_TIMEOUT_SECONDS)
        end = {(p.topic, p.partition): f.result(_TIMEOUT_SECONDS + 1).offset for p, f in ends.items()}
        found = committed[group].result(_TIMEOUT_SECONDS + 1).topic_partitions
        return {
            (p.topic, p.partition): max(0, end[p.topic, p.partition] - p.offset)
            for p in found
            if p.error is None and p.offset >= 0 and (p.topic, p.partition) in end
        }
