"""The worker's own HTTP port: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises it.

It runs in threads of its own, so that it answers while the event loop is busy.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector as MetricSource

log = structlog.get_logger(__name__)

_TEXT: Final = "text/plain; charset=utf-8"
_IDLE_SECONDS: Final = 10.0


class MetricsServer:
    """Serves one worker's metrics, health and readiness from `start` to `stop`."""

    def __init__(self, source: MetricSource, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen at once, so that the port is known; answer from `start` on.

        Args:
            source: What `/metrics` shows, besides the process's own numbers.
            host: Address to listen on.
            port: 0 takes a free one.

        Raises:
            OSError: The port is taken, or the address is not of this machine.
        """
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(source)
        for own in (ProcessCollector, PlatformCollector, GCCollector):
            own(registry=self._registry)
        self._unready: str | None = "starting"
        self._server = _server(host, port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)

    @property
    def url(self) -> str:
        """Where it is: `http://host:port`, without a path."""
        host, port = self._server.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def mark_ready(self) -> None:
        """The worker is caught up and scores: `/readyz` answers 200."""
        self._unready = None

    def mark_unready(self, reason: str) -> None:
        """`/readyz` answers 503 with this reason."""
        self._unready = reason

    def stop(self) -> None:
        """Stop answering and free the port. Blocks for at most about 0.1 seconds."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body for a path; called in the server's threads."""
        match urlsplit(path).path:
            case "/metrics":
                encode, content_type = choose_encoder(headers.get("Accept", ""))
                return 200, content_type, encode(self._registry)
            case "/healthz":
                return 200, _TEXT, b"ok\n"
            case "/readyz":
                reason = self._unready
                return (200, _TEXT, b"ready\n") if reason is None else (503, _TEXT, f"not ready: {reason}\n".encode())
            case _:
                return 404, _TEXT, b"there is /metrics, /healthz and /readyz\n"


def _server(host: str, port: int, metrics: MetricsServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE_SECONDS
        server_version = "sluice"
        sys_version = ""

        def do_GET(self) -> None:
            try:
                status, content_type, body = metrics.answer(self.path, dict(self.headers.items()))
            except Exception:
                log.exception("metrics.failed", path=self.path)
                status, content_type, body = 500, _TEXT, b"the worker's log has the reason\n"
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  # The base class finds methods by this name.

        def log_message(self, format: str, *arguments: object) -> None:
            """Scrapes are not worth a line each."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no concern of the worker."""

    return Server((host, port), Handler)
