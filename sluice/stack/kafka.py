"""A real Apache Kafka, one node in KRaft mode, on loopback, with a data folder that outlives it.

Theory of operation: a data folder is formatted once with a cluster id that is ours and random. The broker is given its
ports in `server.properties`, which is written anew before each start, so that ports may change and data stays. It is
ready when the metadata it answers with carries *our* cluster id: that the port accepts connections proves nothing, for
another broker may hold it. `Broker` says how to run one (what a supervisor needs) and runs one itself (what tests need).
"""

import base64
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sluice.stack import jars, processes
from sluice.stack.caches import cache_folder
from sluice.stack.errors import ForeignError, NotReadyError, StackError
from sluice.stack.java import JAVA, java_options, start_up_cache
from sluice.stack.ports import LOOPBACK, accepts_connections, holder_of

_START_TIMEOUT_SECONDS = 180.0
_STOP_GRACE_SECONDS = 20.0
_PROBE_SECONDS = 0.05
_METADATA_TIMEOUT_SECONDS = 2.0

SESSION_SECONDS = 9
"""Kafka's own default (`broker.session.timeout.ms`). A node that was killed was ready again after 12 s with it (measured)."""

# Every setting here is one that a single node needs or that makes it start and rebalance sooner.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms={session}
broker.heartbeat.interval.ms=1000
"""

_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server
logger.server.level=INFO
logger.configuration.name=org.apache.kafka.common.config
logger.configuration.level=ERROR
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %c{1}: %m%n
"""


def new_cluster_id() -> str:
    """A random cluster id in Kafka's form: 16 bytes, URL-safe base64, no padding, no leading dash."""
    while (made := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return made


def server_properties(port: int, controller_port: int, data: Path, session_seconds: int = SESSION_SECONDS) -> str:
    """The text of `server.properties` for one node on loopback; see `Broker` for the session."""
    # In a properties file a backslash escapes; everything else that a path may hold stands for itself.
    escaped = str(data).replace("\\", "\\\\")
    return _PROPERTIES.format(
        host=LOOPBACK, port=port, controller_port=controller_port, data=escaped, session=session_seconds * 1_000
    )


def cluster_id_of_folder(data: Path) -> str | None:
    """The cluster id with which `data` was formatted, None if it was not.

    Raises:
        ForeignError: The folder holds files but is not one that Kafka formatted.
    """
    meta = data / "meta.properties"
    if not meta.exists():
        if data.is_dir() and any(data.iterdir()):
            raise ForeignError(f"{data} holds files that are not Kafka's: name another data folder.")
        return None
    for line in meta.read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "cluster.id":
            return value.strip()
    raise ForeignError(f"{meta} names no cluster.id: it is not the data folder of a Kafka 4 broker.")


def cluster_id_at(bootstrap: str, timeout_seconds: float = _METADATA_TIMEOUT_SECONDS) -> str | None:
    """The cluster id that the broker at `bootstrap` (`host:port`) answers with; None if no Kafka answers."""
    # Connection errors are what is being asked about here, so librdkafka need not print them.
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 2000})
    try:
        found: str | None = client.list_topics(timeout=timeout_seconds).cluster_id
    except KafkaException:
        return None
    return found


def is_ready(port: int, cluster_id: str) -> bool:
    """Whether *our* broker answers on `port`.

    Raises:
        ForeignError: Another Kafka cluster answers there.
    """
    if not accepts_connections(port):
        return False
    found = cluster_id_at(f"{LOOPBACK}:{port}")
    if found is not None and found != cluster_id:
        raise ForeignError(
            f"Port {port} belongs to another Kafka (cluster {found}, {holder_of(port)}), ours is {cluster_id}: "
            f"stop that one, or use it with --kafka {LOOPBACK}:{port}."
        )
    return found is not None


@dataclass(frozen=True, slots=True)
class Broker:
    """How one broker is run: where its data are, its ports and cluster id.

    `folder` holds everything of it (`data/`, the two settings files) and is made if absent. `cluster_id` must be the
    one `folder` was formatted with, if it was. `quick_compile` is for tests, demos and delays, not for costs.

    `session_seconds` is how long a node may stand still before its own controller thinks that it is gone, and every client
    with it: on a machine that is taken away for seconds that must be long. It is also how long a node that was killed waits
    at its next start until its former self is believed to be gone; after an orderly stop there is no wait.
    """

    folder: Path
    port: int
    controller_port: int
    cluster_id: str
    heap_megabytes: int = 512
    quick_compile: bool = False
    session_seconds: int = SESSION_SECONDS

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    def command(self, extra_java_options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs the broker in the foreground."""
        return [*self._java(), *extra_java_options, "kafka.Kafka", str(self.folder / "server.properties")]

    def environment(self) -> Mapping[str, str]:
        """Environment variables that the command needs in addition."""
        return {"CLASSPATH": _class_path()}

    def prepare(self) -> None:
        """Write the settings and format the data folder if it is new; takes a second then, nothing otherwise.

        Raises:
            ForeignError: The data folder belongs to another cluster.
            StackError: Kafka's own tool refused to format it.
        """
        data = self.folder / "data"
        found = cluster_id_of_folder(data)
        if found not in (None, self.cluster_id):
            raise ForeignError(
                f"{data} belongs to another Kafka cluster ({found}), expected {self.cluster_id}: name another folder."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        settings = self.folder / "server.properties"
        settings.write_text(server_properties(self.port, self.controller_port, data, self.session_seconds))
        if found is None:
            self._format(settings)

    def _format(self, settings: Path) -> None:
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted"]
        done = subprocess.run(
            [*self._java(), *tool, "-t", self.cluster_id, "-c", str(settings)],
            env={"CLASSPATH": _class_path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise StackError(f"Kafka could not format {self.folder}:\n{done.stdout}{done.stderr}".rstrip())

    def _java(self) -> list[str]:
        cache = start_up_cache(cache_folder(), _class_path())
        options = java_options(cache, heap_megabytes=self.heap_megabytes, quick_compile=self.quick_compile)
        return [str(JAVA), *options, f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"]


class RunningBroker:
    """A broker that this process runs, for tests and tools: `start`, `stop`, `kill`, and `start` again on its data."""

    def __init__(self, broker: Broker) -> None:
        """Take the plan of a broker; nothing runs yet. The jars must be in the cache (`jars.fetch`)."""
        self.broker = broker
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return self.broker.bootstrap

    @property
    def log(self) -> Path:
        """The file that gets the broker's output."""
        return self.broker.folder / "kafka.log"

    def start(self, timeout_seconds: float = _START_TIMEOUT_SECONDS, extra_java_options: tuple[str, ...] = ()) -> None:
        """Start the broker and return when it is ready.

        Raises:
            NotReadyError: It died or was not ready after `timeout_seconds`; the message has the end of its log.
            ForeignError: See `is_ready` and `Broker.prepare`.
        """
        self.broker.prepare()
        self._process = processes.start(
            self.broker.command(extra_java_options), self.broker.environment(), self.broker.folder, self.log
        )
        process = self._process
        try:
            _wait_until(lambda: is_ready(self.broker.port, self.broker.cluster_id), process, timeout_seconds, self.log)
        except BaseException:
            self.kill()
            raise

    def stop(self, grace_seconds: float = _STOP_GRACE_SECONDS) -> None:
        """Shut the broker down in order; half a second if all is well, killed after `grace_seconds`."""
        if self._process is not None:
            processes.stop(self._process, grace_seconds)
            self._process = None

    def kill(self) -> None:
        """End the broker as a power failure would: `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _class_path() -> str:
    return jars.class_path(jars.jar_folder(), jars.locked_jars())


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], timeout_seconds: float, log: Path) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if (status := process.poll()) is not None:
            raise NotReadyError(f"Kafka ended with status {status} before it was ready.\n{_last_lines(log)}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"Kafka was not ready after {timeout_seconds:.0f} s.\n{_last_lines(log)}")
        time.sleep(_PROBE_SECONDS)


def _last_lines(log: Path, count: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
