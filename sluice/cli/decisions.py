"""`sluice decisions`: which version scored a record, and who wanted that."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import print_fields, print_json
from sluice.client.routing import Decision, Decisions
from sluice.stack.lifecycle import DEFAULT_FOLDER


def decisions(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Data topic.")],
    partition: Annotated[int, typer.Argument(metavar="PARTITION", min=0)],
    offset: Annotated[int, typer.Argument(metavar="OFFSET", min=0, help="It may be gone, or still to come.")],
    data_type: Annotated[str, typer.Option(metavar="TYPE", help="Of the record; default: as its stream says.")] = "",
    entity: Annotated[
        str, typer.Option(metavar="KEY", help="What arms are chosen by; default: the record's, if it is still there.")
    ] = "",
    group: Annotated[str, typer.Option(metavar="GROUP", help="Only of this consumer group.")] = "",
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say which version scored a record, since when, by whose change and why, and who had approved it.

    The answer comes from the control log alone, for every record there ever was: dead letters and results name the place.
    """
    with connected(api, data) as client:
        found = client.decisions(topic, partition, offset, data_type=data_type, entity=entity, group=group)
        print_json(found) if as_json else _print_decisions(found)


def _print_decisions(found: Decisions) -> None:
    if not found.decisions:
        typer.echo(
            f"No route served {found.topic}/{found.partition} at offset {found.offset}, as far as the control log says."
        )
        return
    for number, each in enumerate(found.decisions):
        if number:
            typer.echo("")
        _print_decision(each, found)


def _print_decision(each: Decision, found: Decisions) -> None:
    how = "exactly, as promised" if each.exact else "where a worker said that it changed"
    version = f"{each.model} version {each.version}" if each.version else "only the record's fields can say: see rules"
    if not each.version and found.entity is None:
        version = "only its entity can say: --entity KEY"
    print_fields(
        [
            ("record", f"{found.topic}/{found.partition} offset {found.offset}"),
            ("version", version),
            ("arm", f"{each.arm} ({each.reason})" if each.arm else each.reason),
            ("entity", found.entity or ""),
            ("route", f"{each.route}, plan {each.plan_digest}"),
            ("group", each.group),
            ("since", f"offset {each.since_offset} of this partition, {how}"),
            ("change", f"op-{each.control_offset} by {each.actor or '-'}"),
            ("reason", each.change_reason),
            ("rollout", each.rollout or ""),
            ("approved by", ", ".join(each.approved_by)),
            *(("rule", f"{rule.when} => {rule.arm}") for rule in each.rules),
        ]
    )
