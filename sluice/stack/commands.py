"""`sluice up`, `down`, `status` and `doctor`: functions for Typer; the command-line package gives them their names."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sluice.doctor import Finding, examine
from sluice.stack.errors import StackError
from sluice.stack.lifecycle import DEFAULT_FOLDER, StackInfo, ensure_up, run_in_foreground, take_down
from sluice.stack.plan import Wanted
from sluice.stack.progress import ConsoleAnnouncer
from sluice.stack.state import Found, ServiceState, ServiceStatus, Situation, read_situation

DataOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="Data folder of the stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


def up(
    data: DataOption = DEFAULT_FOLDER,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="The workers' settings; default: DIR/worker.yaml."
        ),
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Use this Kafka instead of starting one.")
    ] = None,
    redis: Annotated[str | None, typer.Option(metavar="URL", help="Use this Redis instead of starting one.")] = None,
    api_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the REST API; default: a free one, remembered.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,
) -> None:
    """Start the local stack: Kafka, Redis, the control API and workers. Ctrl-C or `sluice down` ends it."""
    console = Console()
    announcer = ConsoleAnnouncer(console)
    with _errors_told():
        if read_situation(data.absolute()).situation is Situation.UP:
            info = ensure_up(data, announcer=announcer)
            console.print("The stack is up already.", highlight=False)
            _tell_addresses(console, info)
        elif detach:
            info = ensure_up(
                data,
                workers=workers,
                kafka=kafka,
                redis=redis,
                config=config,
                api_port=api_port,
                announcer=announcer,
            )
            _tell_addresses(console, info)
        else:
            settings = config.absolute() if config else None
            wanted = Wanted(data.absolute(), workers, kafka, redis, settings, api_port)
            run_in_foreground(wanted, announcer, lambda info: _tell_addresses(console, info, "Ctrl-C stops it."))


def down(data: DataOption = DEFAULT_FOLDER) -> None:
    """Stop the local stack: workers first, then the API, Redis and Kafka. The data stay."""
    console = Console()
    with _errors_told():
        match take_down(data, ConsoleAnnouncer(console)):
            case Situation.UP:
                console.print("The stack is down; its data stay in", str(data), highlight=False)
            case Situation.HALF_UP:
                console.print("What was left of the stack is stopped; its data stay in", str(data), highlight=False)
            case Situation.DOWN | Situation.NEW:
                console.print(f"No stack is up in {data}.", highlight=False, markup=False)


def status(data: DataOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Say what of the local stack runs, and where. The exit status is 0 if all of it is ready, 1 otherwise."""
    with _errors_told():
        found = read_situation(data.absolute())
    if as_json:
        print(json.dumps(_as_json(data, found)))
    else:
        _print_status(Console(), data, found)
    if not _is_ready(found):
        raise typer.Exit(1)


def doctor(data: DataOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Look for what is missing or wrong on this machine, and say how to mend it. The exit status is 1 if anything is."""
    findings = examine(data.absolute())
    if as_json:
        print(json.dumps({"ok": all(one.is_fine for one in findings), "findings": [asdict(one) for one in findings]}))
    else:
        _print_findings(Console(), findings)
    if not all(one.is_fine for one in findings):
        raise typer.Exit(1)


class _errors_told:  # noqa: N801  # reads as a statement: `with _errors_told():`
    """Turns a `StackError` into its message and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StackError):
            Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            sys.exit(1)


def _tell_addresses(console: Console, info: StackInfo, ending: str = "`sluice down` stops it.") -> None:
    console.print(
        f"The stack is up. {ending}\n"
        f"  REST API  {info.api_url}  (documentation: {info.api_url}/docs)\n"
        f"  Kafka     {info.bootstrap}\n"
        f"  Redis     {info.redis_url}\n"
        f"  workers   {', '.join(info.worker_urls)}\n"
        f"  data      {info.data_dir}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _is_ready(found: Found) -> bool:
    services = found.state.services if found.state else ()
    return (
        found.situation is Situation.UP and bool(services) and all(one.state is ServiceState.READY for one in services)
    )


def _as_json(data: Path, found: Found) -> dict[str, object]:
    report: dict[str, object] = {
        "situation": found.situation.value,
        "ready": _is_ready(found),
        "data": str(data.absolute()),
    }
    if found.state is not None:
        kept = ("bootstrap", "redis_url", "api_url", "worker_settings", "error")
        report |= {name: getattr(found.state, name) for name in kept}
        report |= {"phase": found.state.phase.value, "services": [asdict(one) for one in found.state.services]}
    return report


def _print_status(console: Console, data: Path, found: Found) -> None:
    match found.situation:
        case Situation.NEW:
            console.print(f"There is no stack in {data}: `sluice up` makes one.", highlight=False)
            return
        case Situation.DOWN:
            error = f" The last start failed: {found.state.error}" if found.state and found.state.error else ""
            console.print(f"The stack in {data} is down.{error}", highlight=False, markup=False, soft_wrap=True)
            return
        case Situation.HALF_UP:
            console.print(
                f"The stack in {data} is half up: its supervisor is gone, some of its processes still run. "
                "`sluice down` ends them, `sluice up` ends them and starts anew.",
                highlight=False,
                soft_wrap=True,
            )
        case Situation.UP:
            console.print(f"The stack in {data} is up.", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "since", "restarts", "pid", "address"):
        table.add_column(heading, overflow="fold")
    for service in found.state.services if found.state else ():
        table.add_row(*_row(service, found.situation))
    console.print(table)
    console.print(f"logs: {data / 'logs'}", highlight=False, markup=False, soft_wrap=True)


def _row(service: ServiceStatus, situation: Situation) -> tuple[str, ...]:
    alive = service.identity is not None and service.identity.is_alive()
    state = service.state.value if situation is Situation.UP else ("orphaned" if alive else "gone")
    return (
        service.name,
        escape(f"{state} ({service.note})" if service.note else state),
        _duration(time.time() - service.since),
        str(service.restarts),
        str(service.identity.pid) if service.identity else "",
        service.address,
    )


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def _print_findings(console: Console, findings: list[Finding]) -> None:
    for one in findings:
        mark = "[green]ok[/]  " if one.is_fine else "[bold red]no[/]  "
        console.print(f"{mark}[bold]{escape(one.what)}[/]: {escape(one.found)}", highlight=False, soft_wrap=True)
        if one.mend:
            console.print(f"      {one.mend}", highlight=False, markup=False, soft_wrap=True)
