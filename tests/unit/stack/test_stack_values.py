"""The pure parts of the stack: texts, versions, digests and decisions."""

import hashlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.stack import jars, kafka, logs, redis, settings_files
from sluice.stack.errors import ForeignError, MissingProgramError, SettingsFileError
from sluice.stack.keeper import Backoff
from sluice.stack.plan import Wanted
from sluice.stack.progress import describe_change
from sluice.stack.settings_files import Addresses
from sluice.stack.state import ServiceState, ServiceStatus
from sluice.stack.topics import LARGEST_MESSAGE_BYTES

ADDRESSES = Addresses("127.0.0.1:21000", "unix:///run/r.sock", 21001, Path("/data"))


def status(state: ServiceState, **changes: object) -> ServiceStatus:
    return ServiceStatus("api", state, "http://127.0.0.1:1", "/logs/api.log", since=0.0, **changes)


def server_of_version(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} bits=64'\n")
    path.chmod(0o755)
    return path


class TestKafka:
    def test_a_cluster_id_is_sixteen_bytes_and_never_looks_like_an_option(self) -> None:
        made = [kafka.new_cluster_id() for _ in range(500)]

        assert {len(one) for one in made} == {22}
        assert len(set(made)) == len(made)
        assert not any(one.startswith("-") for one in made)

    def test_the_properties_name_ports_and_folder_and_listen_on_loopback_only(self) -> None:
        lines = kafka.server_properties(21000, 21001, Path("/data dir/kafka")).splitlines()
        properties = dict(line.split("=", 1) for line in lines)

        assert properties["listeners"] == "PLAINTEXT://127.0.0.1:21000,CONTROLLER://127.0.0.1:21001"
        assert properties["controller.quorum.bootstrap.servers"] == "127.0.0.1:21001"
        assert properties["log.dirs"] == "/data dir/kafka"

    def test_a_backslash_in_the_folder_survives_the_properties_format(self) -> None:
        assert "log.dirs=/a\\\\b\n" in kafka.server_properties(1, 2, Path("/a\\b"))

    def test_a_folder_that_kafka_formatted_tells_its_cluster(self, tmp_path: Path) -> None:
        (tmp_path / "meta.properties").write_text("#\nversion=1\ncluster.id=AAAA\nnode.id=1\n")

        assert kafka.cluster_id_of_folder(tmp_path) == "AAAA"

    def test_an_absent_or_empty_folder_has_no_cluster(self, tmp_path: Path) -> None:
        assert kafka.cluster_id_of_folder(tmp_path) is None
        assert kafka.cluster_id_of_folder(tmp_path / "absent") is None

    def test_a_folder_with_other_files_is_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()

        with pytest.raises(ForeignError, match=str(tmp_path)):
            kafka.cluster_id_of_folder(tmp_path)

    def test_a_data_folder_of_another_cluster_is_refused_with_both_ids(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "meta.properties").write_text("cluster.id=THEIRS\n")
        broker = kafka.Broker(tmp_path, 21000, 21001, "OURS")

        with pytest.raises(ForeignError, match=r"THEIRS.*OURS"):
            broker.prepare()


class TestJars:
    def test_the_committed_lock_names_one_version_of_each_kafka_module(self) -> None:
        locked = jars.locked_jars()
        of_kafka = {jar.version for jar in locked if jar.group == "org.apache.kafka"}

        assert of_kafka == {jars.KAFKA_VERSION}
        assert len({jar.artifact for jar in locked}) == len(locked)
        assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size_bytes > 0 for jar in locked)

    def test_a_jar_of_the_wrong_size_counts_as_missing(self, tmp_path: Path) -> None:
        jar = jars.Jar("g", "a", "1", "00" * 32, size_bytes=4)
        (tmp_path / "a-1.jar").write_bytes(b"half")
        assert jars.missing_jars(tmp_path, [jar]) == ()

        (tmp_path / "a-1.jar").write_bytes(b"ha")
        assert jars.missing_jars(tmp_path, [jar]) == (jar,)

    def test_a_full_cache_is_left_alone(self, tmp_path: Path) -> None:
        content = b"a jar"
        jar = jars.Jar("no.such.group", "a", "1", hashlib.sha256(content).hexdigest(), len(content))
        (tmp_path / "a-1.jar").write_bytes(content)
        arrived: list[int] = []

        jars.fetch(tmp_path, [jar], arrived.append)

        assert arrived == []


class TestRedis:
    @pytest.mark.parametrize(
        ("printed", "version"),
        [
            ("Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64 build=1", (6, 2, 14)),
            ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1", (9, 1, 2)),
            ("command not found", None),
        ],
    )
    def test_the_version_is_read_from_what_the_server_prints(self, printed: str, version: object) -> None:
        assert redis.parse_version(printed) == version

    @given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=200))
    def test_a_socket_path_is_always_short_enough(self, name: str) -> None:
        assert len(os.fsencode(redis.socket_path(Path("/data") / name))) <= 104

    def test_two_deep_folders_have_different_sockets(self) -> None:
        deep = Path("/" + "x" * 120)

        assert redis.socket_path(deep / "a") != redis.socket_path(deep / "b")

    def test_a_server_that_is_too_old_is_named_and_what_to_install(self, tmp_path: Path) -> None:
        with pytest.raises(MissingProgramError, match=r"5\.0\.1.*apt-get install redis-server"):
            redis.find_program([server_of_version(tmp_path / "redis-server", "5.0.1")])

    def test_the_first_server_that_is_new_enough_is_taken(self, tmp_path: Path) -> None:
        old = server_of_version(tmp_path / "redis-server", "6.0.9")
        new = server_of_version(tmp_path / "valkey-server", "8.1.0")

        assert redis.find_program([tmp_path / "absent", old, new]) == redis.RedisProgram(new, (8, 1, 0))


class TestSettingsFiles:
    def test_the_workers_settings_are_yaml_that_says_where_everything_is(self) -> None:
        settings = yaml.safe_load(settings_files.worker_settings(ADDRESSES))

        assert settings["kafka"]["bootstrap"] == "127.0.0.1:21000"
        assert settings["redis_url"] == "unix:///run/r.sock"
        assert [stream["topic"] for stream in settings["streams"]] == ["wine.records"]
        assert len(settings["streams"][0]["features"]) == 11

    def test_the_api_takes_control_log_and_dead_letters_from_the_workers_settings(self) -> None:
        worker = {"control_topic": {"name": "c", "dialect": "pmml-1"}, "dead_letter_topic": "d", "streams": []}

        settings = yaml.safe_load(settings_files.api_settings(ADDRESSES, worker))

        assert settings["control_topic"] == {"name": "c", "dialect": "pmml-1"}
        assert settings["dead_letter_topic"] == "d"
        assert settings["port"] == 21001

    def test_the_default_topics_have_the_settings_they_need(self) -> None:
        worker = yaml.safe_load(settings_files.worker_settings(ADDRESSES))
        topics = {topic.name: topic for topic in settings_files.topics_of(worker)}

        assert {name: topic.partitions for name, topic in topics.items()} == {
            "sluice.control": 1,
            "sluice.dead-letters": 1,
            "wine.records": 4,
            "wine.results": 4,
        }
        assert dict(topics["sluice.control"].config) == {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "max.message.bytes": str(LARGEST_MESSAGE_BYTES),
        }
        assert dict(topics["sluice.dead-letters"].config) == {"max.message.bytes": str(LARGEST_MESSAGE_BYTES)}

    def test_a_stream_without_a_result_topic_is_named(self) -> None:
        with pytest.raises(SettingsFileError, match="'name': 's'"):
            settings_files.topics_of({"streams": [{"name": "s", "topic": "t"}]})

    @pytest.mark.parametrize("text", ["", "- 1", "streams: 3", "a: [", "kafka: {}"])
    def test_a_file_without_streams_is_refused_by_name(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "w.yaml"
        path.write_text(text)

        with pytest.raises(SettingsFileError, match=r"w\.yaml"):
            settings_files.read_worker_settings(path)

    def test_a_file_that_was_not_edited_is_brought_up_to_date(self, tmp_path: Path) -> None:
        path = tmp_path / "worker.yaml"
        digest = settings_files.write_unless_edited(path, "port: 1\n", "")
        digest = settings_files.write_unless_edited(path, "port: 2\n", digest)

        assert path.read_text() == "port: 2\n"
        assert settings_files.write_unless_edited(path, "port: 2\n", digest) == digest

    def test_a_file_that_was_edited_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "worker.yaml"
        digest = settings_files.write_unless_edited(path, "port: 1\n", "")
        path.write_text("port: mine\n")

        digest = settings_files.write_unless_edited(path, "port: 2\n", digest)
        settings_files.write_unless_edited(path, "port: 3\n", digest)

        assert path.read_text() == "port: mine\n"


class TestBackoff:
    @given(st.integers(1, 10_000))
    def test_a_pause_never_shrinks_and_never_passes_its_bound(self, deaths: int) -> None:
        backoff = Backoff()

        assert backoff.pause_seconds(deaths) <= backoff.pause_seconds(deaths + 1) <= backoff.longest_seconds

    def test_the_pauses_double(self) -> None:
        assert [Backoff().pause_seconds(deaths) for deaths in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


class TestLogs:
    def test_a_log_over_its_bound_is_moved_aside_while_it_is_written(self, tmp_path: Path) -> None:
        log = tmp_path / "a.log"
        with log.open("ab", buffering=0) as writer:
            writer.write(b"old " * 10)
            assert logs.bound(log, largest_bytes=20)
            writer.write(b"new")

        assert log.read_bytes() == b"new"
        assert (tmp_path / "a.log.1").read_bytes() == b"old " * 10

    def test_a_small_or_absent_log_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_bytes(b"x")

        assert not logs.bound(tmp_path / "a.log", largest_bytes=1)
        assert not logs.bound(tmp_path / "absent.log")
        assert logs.last_lines(tmp_path / "absent.log") == ""

    def test_the_end_of_a_log_is_quoted(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_text("".join(f"line {number}\n" for number in range(100_000)))

        assert logs.last_lines(tmp_path / "a.log", count=2) == "line 99998\nline 99999"


class TestDescribeChange:
    def test_a_death_is_told_with_its_reason_and_its_log(self) -> None:
        before = status(ServiceState.READY)
        now = status(ServiceState.RESTARTING, restarts=1, note="ended with status -9")

        assert describe_change(before, now) == ("api: ended with status -9; it will be restarted (log: /logs/api.log)")

    @pytest.mark.parametrize("state", list(ServiceState))
    def test_what_did_not_change_is_not_told(self, state: ServiceState) -> None:
        assert describe_change(status(state), status(state)) is None


def test_what_is_wanted_survives_the_way_to_the_supervisor() -> None:
    wanted = Wanted(Path("/data"), 3, "h:1", "redis://h", Path("/w.yaml"), 8080)

    assert wanted.arguments() == [
        *("--data", "/data", "--workers", "3", "--kafka", "h:1", "--redis", "redis://h"),
        *("--config", "/w.yaml", "--api-port", "8080"),
    ]
