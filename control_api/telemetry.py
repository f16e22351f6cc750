"""Logs, metrics and the middleware that gives each request its ids.

Log lines are JSON on standard error. They are written by one background thread behind a queue, so that a slow pipe never
holds up the event loop.
"""

from __future__ import annotations

import atexit
import logging
import logging.handlers
import queue
import re
import time
import uuid

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace-id, parent-id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def configure_logging(level: str) -> None:
    """Send structlog and the libraries' loggers to one JSON stream; called once, from `__main__`."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lines, handler)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.handlers = [_Unformatted(lines)]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


class _Unformatted(logging.handlers.QueueHandler):
    """Leaves formatting to the listener's thread: structlog's event is a mapping that must arrive as one."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


class Metrics:
    """The process's Prometheus metrics, in a registry of their own so that two apps in a process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "control_api_requests", "Answers by method, route and status.", ("method", "route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "control_api_request_seconds", "Time to the end of the answer, event streams left out.", ("route",),
            registry=self.registry,
        )  # fmt: skip
        self.followers = Gauge("control_api_followers", "Open event streams.", registry=self.registry)
        self.applied_offset = Gauge(
            "control_api_control_log_applied_offset", "Last control-log offset folded.", registry=self.registry
        )
        self.caught_up = Gauge(
            "control_api_control_log_caught_up", "1 once the log was read to its end at start.", registry=self.registry
        )
        self.live_workers = Gauge("control_api_live_workers", "Members of the workers' groups.", registry=self.registry)
        self.published = Counter("control_api_published", "Descriptors written.", registry=self.registry)


class RequestTelemetry:
    """ASGI middleware: request id, trace id, access log, metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        parent = _TRACEPARENT.fullmatch(headers.get(b"traceparent", ""))
        scope["request_id"] = request_id
        scope["trace_id"] = parent.group(1) if parent else request_id
        started = time.perf_counter()
        status = 0
        is_stream = False

        async def stamped_send(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                out = message.setdefault("headers", [])
                is_stream = any(n.lower() == b"content-type" and v.startswith(b"text/event-stream") for n, v in out)
                out.append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, stamped_send)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            if not is_stream:
                self._metrics.request_seconds.labels(route).observe(seconds)
            log.info(
                "request.answered",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 2),
                request_id=request_id,
                trace_id=scope["trace_id"],
            )
