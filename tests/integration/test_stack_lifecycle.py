"""The whole local stack, as the commands bring it up and take it down: Kafka, Redis, the API and a worker, all real."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import typer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from patience import until
from typer.testing import CliRunner

from sluice.stack import StackInfo, ensure_up, take_down
from sluice.stack import kafka as kafka_module
from sluice.stack.commands import doctor, down, status, up
from sluice.stack.errors import ForeignError, SettingsFileError
from sluice.stack.plan import Wanted, make_plan, new_state
from sluice.stack.ports import free_port, is_free
from sluice.stack.redis import is_ready as redis_answers
from sluice.stack.state import Situation, StackState, read_situation
from sluice.stack.topics import LARGEST_MESSAGE_BYTES

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

app = typer.Typer()
for command in (up, down, status, doctor):
    app.command()(command)


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def state_of(folder: Path) -> StackState:
    state = read_situation(folder).state
    assert state is not None
    return state


def http_status(url: str) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    finally:
        connection.close()


def topic_setting(bootstrap: str, topic: str, setting: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    client = AdminClient({"bootstrap.servers": bootstrap})
    found = client.describe_configs([resource])[resource].result(30)
    return str(found[setting].value)


def service_processes(folder: Path) -> list[psutil.Process]:
    found = [one.identity.process() for one in state_of(folder).services if one.identity]
    return [process for process in found if process]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    folder = tmp_path_factory.mktemp("stack") / "data"
    yield ensure_up(folder)
    take_down(folder)


def test_everything_answers_where_the_stack_says(stack: StackInfo) -> None:
    assert stack.started_here
    assert http_status(f"{stack.api_url}/readyz") == 200
    assert [http_status(f"{url}/readyz") for url in stack.worker_urls] == [200]
    assert redis_answers(stack.redis_url)
    assert kafka_module.cluster_id_at(stack.bootstrap) == state_of(stack.data_dir).cluster_id


def test_the_topics_are_there_with_their_settings(stack: StackInfo) -> None:
    topics = AdminClient({"bootstrap.servers": stack.bootstrap}).list_topics(timeout=30).topics

    partitions = {name: len(topics[name].partitions) for name in ("sluice.control", "sluice.dead-letters")}
    assert partitions == {"sluice.control": 1, "sluice.dead-letters": 1}
    assert {len(topics[name].partitions) for name in ("wine.records", "wine.results")} == {4}
    assert topic_setting(stack.bootstrap, "sluice.control", "retention.ms") == "-1"
    assert topic_setting(stack.bootstrap, "sluice.control", "max.message.bytes") == str(LARGEST_MESSAGE_BYTES)


def test_a_second_up_says_that_it_is_up_and_where(stack: StackInfo) -> None:
    before = [process.pid for process in service_processes(stack.data_dir)]

    code, output = invoke("up", "--data", str(stack.data_dir))

    assert code == 0
    assert "up already" in output
    assert stack.api_url in output
    assert [process.pid for process in service_processes(stack.data_dir)] == before
    assert not ensure_up(stack.data_dir).started_here


def test_status_tells_people_and_programs_that_all_is_ready(stack: StackInfo) -> None:
    code, output = invoke("status", "--data", str(stack.data_dir), "--json")
    report = json.loads(output)

    assert (code, report["situation"], report["ready"]) == (0, "up", True)
    assert [one["name"] for one in report["services"]] == ["kafka", "redis", "api", "worker-1"]
    assert "worker-1" in invoke("status", "--data", str(stack.data_dir))[1]


def test_the_doctor_finds_nothing_wrong_with_a_stack_that_is_up(stack: StackInfo) -> None:
    _, output = invoke("doctor", "--data", str(stack.data_dir), "--json")

    # Memory and disk are this machine's affair.
    wrong = [one["what"] for one in json.loads(output)["findings"] if not one["is_fine"]]
    assert set(wrong) <= {"memory", "disk"}


def test_a_worker_that_is_killed_comes_back(stack: StackInfo) -> None:
    def worker() -> tuple[int, str]:
        (found,) = (one for one in state_of(stack.data_dir).services if one.name == "worker-1")
        return found.restarts, found.state.value

    (killed,) = (one.identity for one in state_of(stack.data_dir).services if one.name == "worker-1")
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)

    until(lambda: worker() == (1, "ready"), 200)
    assert http_status(f"{stack.worker_urls[0]}/readyz") == 200
    assert not killed.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_killed_supervisor_takes_its_services_along_and_the_next_up_has_ports_and_data(stack: StackInfo) -> None:
    before = state_of(stack.data_dir)
    services = service_processes(stack.data_dir)
    assert before.supervisor is not None

    os.kill(before.supervisor.pid, signal.SIGKILL)
    until(lambda: read_situation(stack.data_dir).situation is Situation.DOWN, 200)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in services)
    again = ensure_up(stack.data_dir)

    assert again.started_here
    assert (again.bootstrap, again.api_url) == (stack.bootstrap, stack.api_url)
    assert kafka_module.cluster_id_at(again.bootstrap) == before.cluster_id


def test_down_leaves_no_process_no_port_and_no_socket(stack: StackInfo) -> None:
    services = service_processes(stack.data_dir)

    code, output = invoke("down", "--data", str(stack.data_dir))

    assert code == 0, output
    stopped = [line.split()[2] for line in output.splitlines() if line.endswith("stopped")]
    assert set(stopped) == {"worker-1:", "api:", "redis:", "kafka:"}
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in services)
    assert all(is_free(port) for port in state_of(stack.data_dir).ports.values())
    assert list(stack.data_dir.rglob("*.sock")) == []
    assert invoke("status", "--data", str(stack.data_dir))[0] == 1
    assert take_down(stack.data_dir) is Situation.DOWN


def test_servers_that_run_already_are_used_and_left_running(kafka, redis_url: str, tmp_path: Path) -> None:
    info = ensure_up(tmp_path / "data", kafka=kafka.bootstrap, redis=redis_url)
    try:
        assert (info.bootstrap, info.redis_url) == (kafka.bootstrap, redis_url)
        assert [one.name for one in state_of(tmp_path / "data").services] == ["api", "worker-1"]
        assert http_status(f"{info.api_url}/readyz") == 200
    finally:
        take_down(tmp_path / "data")

    assert redis_answers(redis_url)
    assert kafka_module.cluster_id_at(kafka.bootstrap) is not None


def test_a_broker_of_someone_else_on_our_port_is_recognised_and_named(kafka) -> None:
    port = int(kafka.bootstrap.rpartition(":")[2])

    with pytest.raises(ForeignError, match=rf"Port {port} belongs to another Kafka \(cluster .*--kafka"):
        kafka_module.is_ready(port, kafka_module.new_cluster_id())


def test_a_port_that_someone_has_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        code, output = invoke("up", "--detach", "--data", str(tmp_path / "data"), "--api-port", str(port))

    assert code == 1
    assert f"Port {port} is not free" in output
    assert f"pid {os.getpid()}" in output
    assert read_situation(tmp_path / "data").situation is Situation.DOWN
    assert f"Port {port}" in invoke("status", "--data", str(tmp_path / "data"))[1]


def test_a_data_folder_of_someone_else_is_named_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    for name in ("up", "down", "status"):
        code, output = invoke(name, "--data", str(tmp_path))
        assert code == 1
        assert str(tmp_path) in output.replace("\n", "")

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_kafka_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    with pytest.raises(SettingsFileError, match=f"No Kafka answers at {nobody}"):
        make_plan(Wanted(tmp_path, kafka=nobody, redis="unix:///no/such/socket"), new_state())
