"""From what is wanted and remembered to the services of one stack: ports, folders, command lines, readiness.

Nothing is started here. Folder of a stack:

    state.json  lock                  see `state`
    kafka/  redis/                    data of the servers
    logs/                             one file a process, bounded
    worker.yaml  api.yaml             settings, see `settings_files`
    artifacts/  models/  uploads/     workers' cache; where `file:` locations may point; uploads under way
"""

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sluice.stack import kafka, redis, settings_files, topics
from sluice.stack.errors import ForeignError, SettingsFileError
from sluice.stack.ports import LOOPBACK, accepts_connections, free_port, holder_of, is_free
from sluice.stack.services import HttpReady, Service
from sluice.stack.state import StackState


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for. Absolute paths; None is the stack's own."""

    folder: Path
    workers: int = 1
    kafka: str | None = None
    redis: str | None = None
    config: Path | None = None
    api_port: int | None = None

    def arguments(self) -> list[str]:
        """The same as command-line options of `python -m sluice.stack`."""
        options = ["--data", str(self.folder), "--workers", str(self.workers)]
        for name, value in (
            ("--kafka", self.kafka),
            ("--redis", self.redis),
            ("--config", self.config),
            ("--api-port", self.api_port),
        ):
            if value is not None:
                options += [name, str(value)]
        return options


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages to start in order, the state to remember, and what the user should be told."""

    stages: tuple[tuple[Service, ...], ...]
    state: StackState
    notes: tuple[str, ...] = ()


def new_state() -> StackState:
    """The state of a folder that holds no stack yet."""
    return StackState(stack_id=secrets.token_hex(4), cluster_id=kafka.new_cluster_id())


def make_plan(wanted: Wanted, state: StackState) -> Plan:
    """Choose ports, write the settings files and describe every service. Makes the folders.

    Raises:
        StackError: A server given by the user does not answer, a port asked for is taken, Redis is not installed or a
            settings file cannot be used.
    """
    for name in ("logs", "models", "artifacts", "uploads"):
        (wanted.folder / name).mkdir(parents=True, exist_ok=True)
    ports, notes = choose_ports(port_names(wanted), state.ports, wanted.api_port)
    own_kafka = _own_kafka(wanted, ports, state.cluster_id)
    own_redis = _own_redis(wanted)
    addresses = settings_files.Addresses(
        bootstrap=own_kafka.bootstrap if own_kafka else _answering_kafka(str(wanted.kafka)),
        redis_url=own_redis.url if own_redis else _answering_redis(str(wanted.redis)),
        api_port=ports["api"],
        folder=wanted.folder,
    )
    state = replace(
        state,
        ports={**state.ports, **ports},
        services=(),
        bootstrap=addresses.bootstrap,
        redis_url=addresses.redis_url,
        api_url=f"http://{LOOPBACK}:{addresses.api_port}",
        error="",
    )
    state = _with_settings_files(wanted, addresses, state)
    worker = settings_files.read_worker_settings(Path(state.worker_settings))
    wanted_topics = settings_files.topics_of(worker)
    if own_kafka is None:
        topics.ensure(addresses.bootstrap, wanted_topics)
    (wanted.folder / "api.yaml").write_text(settings_files.api_settings(addresses, worker))
    stages = (
        (_kafka_service(own_kafka, wanted_topics),) if own_kafka else (),
        (_redis_service(own_redis),) if own_redis else (),
        (_api_service(wanted, state),),
        tuple(_worker_service(wanted, state, addresses, number) for number in range(1, wanted.workers + 1)),
    )
    return Plan(tuple(stage for stage in stages if stage), state, tuple(notes))


def port_names(wanted: Wanted) -> list[str]:
    """What needs a port, in a fixed order."""
    own_kafka = [] if wanted.kafka else ["kafka", "kafka-controller"]
    return [*own_kafka, "api", *(f"worker-{number}" for number in range(1, wanted.workers + 1))]


def choose_ports(
    names: list[str], remembered: Mapping[str, int], api_port: int | None
) -> tuple[dict[str, int], list[str]]:
    """A port for each name: the remembered one if it is free, else another, with a note that names who has it.

    Raises:
        ForeignError: `api_port` was asked for and is taken.
    """
    chosen: dict[str, int] = {}
    notes = []
    if api_port is not None:
        if not is_free(api_port):
            raise ForeignError(f"Port {api_port} is not free: {holder_of(api_port)} has it. Name another --api-port.")
        chosen["api"] = api_port
    for name in names:
        if name in chosen:
            continue
        before = remembered.get(name)
        if before is not None and before not in chosen.values() and is_free(before):
            chosen[name] = before
            continue
        chosen[name] = free_port(avoid={*chosen.values(), *remembered.values()})
        if before is not None:
            notes.append(f"Port {before} of {name} is taken by {holder_of(before)}: {name} moves to {chosen[name]}.")
    return chosen, notes


def _own_kafka(wanted: Wanted, ports: Mapping[str, int], cluster_id: str) -> kafka.Broker | None:
    if wanted.kafka:
        return None
    return kafka.Broker(wanted.folder / "kafka", ports["kafka"], ports["kafka-controller"], cluster_id)


def _own_redis(wanted: Wanted) -> redis.RedisPlan | None:
    return None if wanted.redis else redis.RedisPlan(redis.find_program(), wanted.folder / "redis")


def _answering_kafka(bootstrap: str) -> str:
    # Asked first, because a Kafka client goes on trying where nobody listens.
    listens = any(_accepts_connections(address.strip()) for address in bootstrap.split(","))
    if not listens or kafka.cluster_id_at(bootstrap, timeout_seconds=10.0) is None:
        raise SettingsFileError(f"No Kafka answers at {bootstrap}: --kafka takes HOST:PORT of a running broker.")
    return bootstrap


def _accepts_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsFileError(f"--kafka {address}: HOST:PORT is needed, or several with commas between them.")
    return accepts_connections(int(port), host.strip("[]"), timeout_seconds=5.0)


def _answering_redis(url: str) -> str:
    try:
        answers = redis.is_ready(url, timeout_seconds=5.0)
    except ValueError as error:
        raise SettingsFileError(f"--redis {url}: {error}") from error
    if not answers:
        raise SettingsFileError(f"No Redis answers at {url}: --redis takes redis://HOST:PORT or unix:///PATH.")
    return url


def _with_settings_files(wanted: Wanted, addresses: settings_files.Addresses, state: StackState) -> StackState:
    if wanted.config is not None:
        return replace(state, worker_settings=str(wanted.config))
    path = wanted.folder / "worker.yaml"
    digest = settings_files.write_unless_edited(
        path, settings_files.worker_settings(addresses), state.worker_settings_sha256
    )
    return replace(state, worker_settings=str(path), worker_settings_sha256=digest)


def _kafka_service(broker: kafka.Broker, wanted_topics: list[topics.Topic]) -> Service:
    def make_topics() -> None:
        topics.ensure(broker.bootstrap, wanted_topics)

    return Service(
        name="kafka",
        command=tuple(broker.command()),
        environment=broker.environment(),
        address=broker.bootstrap,
        folder=broker.folder.parent,
        prepare=broker.prepare,
        is_ready=lambda _pid: kafka.is_ready(broker.port, broker.cluster_id),
        when_ready=make_topics,
        stop_grace_seconds=20.0,
    )


def _redis_service(plan: redis.RedisPlan) -> Service:
    return Service(
        name="redis",
        command=tuple(plan.command()),
        address=plan.url,
        folder=plan.folder.parent,
        prepare=plan.prepare,
        is_ready=lambda _pid: redis.is_ready(plan.url),
    )


def _api_service(wanted: Wanted, state: StackState) -> Service:
    return Service(
        name="api",
        command=(sys.executable, "-m", "control_api", "--config", str(wanted.folder / "api.yaml")),
        address=state.api_url,
        folder=wanted.folder,
        # The data folder has folders that are named like packages.
        environment={"PYTHONSAFEPATH": "1"},
        is_ready=HttpReady(state.ports["api"]),
    )


def _worker_service(wanted: Wanted, state: StackState, addresses: settings_files.Addresses, number: int) -> Service:
    name = f"worker-{number}"
    port = state.ports[name]
    # On a Kafka that others use too, a member of the group must not be taken for one of another stack.
    worker_id = f"{name}-{state.stack_id}" if wanted.kafka else name
    return Service(
        name=name,
        command=(sys.executable, "-m", "serving", "--config", state.worker_settings),
        environment=settings_files.worker_environment(addresses, worker_id, port),
        address=f"http://{LOOPBACK}:{port}",
        # Modules and files that the settings name are looked for beside them.
        folder=Path(state.worker_settings).parent,
        is_ready=HttpReady(port),
        stop_grace_seconds=30.0,
    )
