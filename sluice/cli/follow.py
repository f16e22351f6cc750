"""`sluice tail` and `sluice dead-letters`: what workers write, as it comes."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from sluice.cli.connection import ApiOption, DataOption, JsonOption, connected
from sluice.cli.output import print_json
from sluice.client import Client
from sluice.client.answers import Blob, DeadLetterRecord, Number, ResultRecord
from sluice.stack.lifecycle import DEFAULT_FOLDER

_SCORES_SHOWN = 8


def tail(
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="Stream of the workers' settings.")] = None,
    last: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Begin with the newest N.")] = 0,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after N.")] = None,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Print results as they come, until Ctrl-C. With --json: one object a line."""
    with connected(api, data) as client:
        name = stream or _only_stream(client)
        show = print_json if as_json else _print_result
        shown = 0
        for record in client.results(name, last)[:count] if last else ():
            show(record)
            shown += 1
        if count is None or shown < count:
            for followed in islice(client.tail(name), None if count is None else count - shown):
                show(followed.item)


def dead_letters(
    last: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="The newest N.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come, until Ctrl-C.")] = False,
    api: ApiOption = None,
    data: DataOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Print records that could not be scored, and why. With --json: one object a line."""
    with connected(api, data) as client:
        show = print_json if as_json else _print_dead_letter
        records = client.dead_letters(last) if last else []
        for record in records:
            show(record)
        if not records and not follow and not as_json:
            typer.echo("There are no dead letters.")
        if follow:
            for followed in client.follow_dead_letters():
                show(followed.item)


def _only_stream(client: Client) -> str:
    names = sorted({stream.name for stream in client.streams()})
    if len(names) == 1:
        return names[0]
    if not names:
        raise typer.BadParameter("no worker has declared a stream yet: `sluice up` or `sluice worker` starts one")
    raise typer.BadParameter(f"there are several streams, name one: {', '.join(names)}")


def _print_result(record: ResultRecord) -> None:
    result = record.result
    if result is None:
        typer.echo(f"{record.topic} {record.partition}@{record.offset}  {record.json_value or _text(record.value)}")
        return
    typer.echo(
        f"{result.topic} {result.partition}@{result.offset}  {result.data_type}  "
        f"{result.model} {result.model_version}  {_prediction(result.prediction, result.label, result.scores)}  {result.worker}"
    )


def _prediction(prediction: Number | None, label: str | None, scores: tuple[Number, ...]) -> str:
    parts = [] if label is None else [label]
    if prediction is not None:
        parts.append(_number(prediction))
    if scores:
        more = ", ..." if len(scores) > _SCORES_SHOWN else ""
        parts.append(f"[{', '.join(map(_number, scores[:_SCORES_SHOWN]))}{more}]")
    return " ".join(parts)


def _print_dead_letter(record: DeadLetterRecord) -> None:
    letter = record.dead_letter
    if letter is None:
        typer.echo(f"{record.topic} {record.partition}@{record.offset}  not a dead letter: {_text(record.value)}")
        return
    where = f"{letter.topic} {letter.partition}@{letter.offset}"
    typer.echo(f"{where}  {letter.stage}  {letter.reason}  (value: {_text(letter.value)})")


def _text(blob: Blob | None) -> str:
    if blob is None:
        return "none"
    return blob.text if blob.text is not None else f"base64 {blob.base64[:60]}"


def _number(value: Number) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
