"""`python -m control_api --config api.yaml`: serve until SIGTERM or SIGINT.

On the first signal no new connection is taken, event streams and long polls end, open requests get
`waits.shutdown_seconds`; a second signal ends at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from control_api.app import create_app
from control_api.settings import Settings, SettingsError, load_settings
from control_api.telemetry import configure_logging

log = structlog.get_logger("control_api")


class Server(uvicorn.Server):
    """Ends event streams when asked to stop; uvicorn alone would wait for clients that never leave."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=settings.waits.shutdown_seconds,
            )
        )
        self._streams = app.state.streams

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `uvicorn.Server.handle_exit`."""
        log.info("api.stopping", signal=signal.Signals(sig).name)
        self._streams.stop()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """See `uvicorn.Server.startup`; says where it listens."""
        await super().startup(sockets)  # type: ignore[arg-type]
        for server in getattr(self, "servers", ()):
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                log.info("api.listening", url=f"http://{host}:{port}", host=host, port=port)


def main(arguments: list[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m control_api", description="The control API of Sluice.")
    parser.add_argument("--config", type=Path, help="settings file (YAML); the environment overrides it")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
    except SettingsError as error:
        print(f"control_api: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _exit)
    if settings.artifacts.dir is not None:
        settings.artifacts.dir.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(settings.artifacts.dir)
    server = Server(create_app(settings), settings)
    server.run()
    return 0 if server.started else 3


def _exit(number: int, frame: FrameType | None) -> None:
    """Before the server handles signals itself, and when it raises them again after it has stopped: asked to, so 0."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
