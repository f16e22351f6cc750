"""Commands, claims, promises and snapshots on the wire. Part of `wire`, which is what others import."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message
from modelserving.v1 import commands_pb2, control_pb2

from model_store.core import commands, control_records
from model_store.core.commands import Command, CommandBody, RegisterVersion
from model_store.core.messages import read, write

BODIES: Final[dict[str, type[CommandBody]]] = {
    "register_model": commands.RegisterModel,
    "set_policy": commands.SetPolicy,
    "register_version": commands.RegisterVersion,
    "update_version": commands.UpdateVersion,
    "set_alias": commands.SetAlias,
    "set_stage": commands.SetStage,
    "approve": commands.Approve,
    "change_route": commands.ChangeRoute,
    "propose_change": commands.ProposeChange,
    "abort_change": commands.AbortChange,
    "start_rollout": commands.StartRollout,
    "steer_rollout": commands.SteerRollout,
    "request_job": commands.RequestJob,
    "claim_job": commands.ClaimJob,
    "report_job": commands.ReportJob,
}
"""Field of `Command.body` -> what it is; `register_version` carries its descriptor as bytes and is read by `wire`."""

_FIELDS: Final = {kind: field for field, kind in BODIES.items()}

WORKER_RECORDS: Final[dict[str, tuple[type[Any], type[Message]]]] = {
    control_records.PARTITIONS_CLAIMED: (control_records.PartitionsClaimed, control_pb2.PartitionsClaimed),
    control_records.CHANGE_READY: (control_records.ChangeReady, control_pb2.ChangeReady),
    control_records.CUTS_PROMISED: (control_records.CutsPromised, control_pb2.CutsPromised),
    control_records.ROUTE_APPLIED: (control_records.RouteApplied, control_pb2.RouteApplied),
    control_records.SNAPSHOT: (control_records.Snapshot, control_pb2.Snapshot),
}
"""Record type -> its value's class and its message."""


def command_message(command: Command, descriptor: bytes | None) -> commands_pb2.Command:
    """A command as its message.

    Args:
        command: The command.
        descriptor: The serialised `ModelDescriptor` of a `RegisterVersion`, with its payload; else `None`.
    """
    message = commands_pb2.Command(id=command.id, actor=command.actor, reason=command.reason)
    if command.expected_revision is not None:
        message.expected_revision = command.expected_revision
    body = getattr(message, _FIELDS[type(command.body)])
    body.SetInParent()
    if isinstance(command.body, RegisterVersion):
        body.descriptor = descriptor or b""
        body.references.update(dict(command.body.references))
        body.mode, body.deadline_ms = command.body.mode, command.body.deadline_ms
    else:
        write(command.body, body)
    return message


def command_body(message: commands_pb2.Command) -> CommandBody | None:
    """The body of a command, of any kind but `RegisterVersion`; `None` if this version does not know it."""
    name = message.WhichOneof("body")
    if name is None or name not in BODIES:
        return None
    return read(BODIES[name], getattr(message, name))


def key_of(command: Command) -> str:
    """The Kafka key of a command: the route's or the model's name, for people who look at the topic."""
    body = command.body
    if isinstance(body, RegisterVersion):
        return body.descriptor.name
    return str(getattr(body, "key", "") or getattr(body, "model", "") or "")
