"""Artifacts over HTTP, from real servers on this machine."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_store.cache import ArtifactCache
from model_store.core.descriptor import Descriptor
from model_store.core.errors import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    DigestMismatchError,
    FetchFailedError,
    LocationRefusedError,
)
from model_store.fetch import fetch_verified
from model_store.policy import FetchPolicy

PAYLOAD = b"<PMML/>" * 1_000
DIGEST = hashlib.sha256(PAYLOAD).digest()


class Host:
    """A web server whose paths do what a test tells them to."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.requests.append(self.path)
                host.paths[self.path](self)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.paths: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
            "/model": lambda answer: send(answer, PAYLOAD)
        }
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.name = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def send(answer: BaseHTTPRequestHandler, body: bytes, length: int | None = None, encoding: str | None = None) -> None:
    answer.send_response(200)
    answer.send_header("Content-Length", str(len(body) if length is None else length))
    if encoding is not None:
        answer.send_header("Content-Encoding", encoding)
    answer.end_headers()
    answer.wfile.write(body)


def redirect(target: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda answer: answer.send_error(code)


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()


@pytest.fixture
def other_host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()


def at(host: Host, path: str = "/model", sha256: bytes | None = DIGEST) -> Descriptor:
    return Descriptor("m", "wine", "PMML", location=f"http://{host.name}{path}", sha256=sha256)


def allowing(*hosts: str, artifact_bytes: int = 100_000, idle_seconds: float = 10.0) -> FetchPolicy:
    return FetchPolicy(http_hosts=hosts, artifact_bytes=artifact_bytes, idle_seconds=idle_seconds)


def test_a_model_of_a_configured_host_is_fetched_once_and_then_comes_from_the_cache(host: Host, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, 100_000)

    for _ in range(2):
        assert fetch_verified(at(host), allowing(host.name), cache).payload == PAYLOAD
    assert host.requests == ["/model"]


def test_a_host_is_configured_with_or_without_its_port(host: Host) -> None:
    assert fetch_verified(at(host, sha256=None), allowing("127.0.0.1")).sha256 == DIGEST
    with pytest.raises(LocationRefusedError, match="not among the configured ones"):
        fetch_verified(at(host), allowing("127.0.0.1:1", "example.org"))
    assert host.requests == ["/model"]


def test_a_host_that_is_not_configured_is_never_asked(host: Host) -> None:
    with pytest.raises(LocationRefusedError, match="none is"):
        fetch_verified(at(host), allowing())
    assert host.requests == []


def test_credentials_in_a_location_are_refused(host: Host) -> None:
    descriptor = Descriptor("m", "wine", "PMML", location=f"http://user:secret@{host.name}/model")

    with pytest.raises(LocationRefusedError, match="must not carry credentials"):
        fetch_verified(descriptor, allowing("127.0.0.1"))


def test_a_redirect_within_the_configured_hosts_is_followed(host: Host, other_host: Host) -> None:
    host.paths["/old"] = redirect("/model")
    host.paths["/moved"] = redirect(f"http://{other_host.name}/model")

    assert fetch_verified(at(host, "/old"), allowing(host.name)).payload == PAYLOAD
    assert fetch_verified(at(host, "/moved"), allowing(host.name, other_host.name)).payload == PAYLOAD


def test_a_redirect_to_another_host_is_refused_before_that_host_is_asked(host: Host, other_host: Host) -> None:
    host.paths["/moved"] = redirect(f"http://{other_host.name}/model")
    host.paths["/file"] = redirect("file:///etc/passwd")

    for path in ("/moved", "/file"):
        with pytest.raises(LocationRefusedError):
            fetch_verified(at(host, path), allowing(host.name))
    assert other_host.requests == []


def test_redirects_in_a_circle_end(host: Host) -> None:
    host.paths["/round"] = redirect("/round")

    with pytest.raises(FetchFailedError, match="more than 5 redirects"):
        fetch_verified(at(host, "/round"), allowing(host.name))


def test_a_model_over_the_limit_is_refused_by_its_announced_length(host: Host) -> None:
    with pytest.raises(ArtifactTooLargeError, match="has 7000 bytes, the limit is 6999 bytes"):
        fetch_verified(at(host), allowing(host.name, artifact_bytes=6_999))


def test_a_host_that_sends_more_than_the_limit_without_saying_so_is_cut_off(host: Host) -> None:
    def endless(answer: BaseHTTPRequestHandler) -> None:
        answer.send_response(200)
        answer.end_headers()
        try:
            while True:
                answer.wfile.write(b"x" * 10_000)
        except OSError:
            return

    host.paths["/endless"] = endless

    with pytest.raises(ArtifactTooLargeError, match=r"at least \d+ bytes, the limit is 50000 bytes"):
        fetch_verified(at(host, "/endless"), allowing(host.name, artifact_bytes=50_000))


def test_other_bytes_than_announced_are_refused_and_not_cached(host: Host, tmp_path: Path) -> None:
    host.paths["/other"] = lambda answer: send(answer, b"other")
    cache = ArtifactCache(tmp_path, 100_000)

    with pytest.raises(DigestMismatchError):
        fetch_verified(at(host, "/other"), allowing(host.name), cache)
    assert cache.stored_bytes() == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (404, ArtifactNotFoundError),
        (403, ArtifactNotFoundError),
        (500, FetchFailedError),
        (503, FetchFailedError),
        (429, FetchFailedError),
    ],
)
def test_what_the_host_answers_decides_whether_another_try_is_worth_it(
    host: Host, code: int, kind: type[ArtifactError]
) -> None:
    host.paths["/model"] = status(code)

    with pytest.raises(kind, match=f"the host answered {code}"):
        fetch_verified(at(host), allowing(host.name))


def test_a_transfer_that_breaks_off_is_worth_another_try(host: Host) -> None:
    host.paths["/half"] = lambda answer: send(answer, PAYLOAD[:100], length=len(PAYLOAD))

    with pytest.raises(FetchFailedError):
        fetch_verified(at(host, "/half"), allowing(host.name))


def test_a_compressed_answer_is_not_taken(host: Host) -> None:
    host.paths["/zip"] = lambda answer: send(answer, PAYLOAD, encoding="gzip")

    with pytest.raises(FetchFailedError, match="compresses"):
        fetch_verified(at(host, "/zip"), allowing(host.name))


def test_a_host_that_says_nothing_is_given_up(host: Host) -> None:
    release = threading.Event()

    def say_nothing(answer: BaseHTTPRequestHandler) -> None:
        release.wait(60)

    host.paths["/silent"] = say_nothing
    try:
        with pytest.raises(FetchFailedError, match="Timeout"):
            fetch_verified(at(host, "/silent"), allowing(host.name, idle_seconds=0.2))
    finally:
        release.set()


def test_a_host_that_drips_is_given_up_in_the_end(host: Host) -> None:
    release = threading.Event()

    def drip(answer: BaseHTTPRequestHandler) -> None:
        answer.send_response(200)
        answer.end_headers()
        try:
            while not release.wait(0.02):
                answer.wfile.write(b"x")
        except OSError:
            return

    host.paths["/drip"] = drip
    policy = FetchPolicy(http_hosts=(host.name,), http_seconds=0.3)
    try:
        with pytest.raises(FetchFailedError, match=r"longer than 0\.3 s"):
            fetch_verified(at(host, "/drip"), policy)
    finally:
        release.set()


def test_a_host_that_is_down_is_worth_another_try(host: Host) -> None:
    down = Host()
    down.stop()

    with pytest.raises(FetchFailedError, match="Connect"):
        fetch_verified(at(down), allowing(down.name))
