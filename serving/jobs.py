"""Work beside the stream: a worker takes a job off the control log and has a process of its own do it.

One job at a time a worker. It is claimed on the log, and the first claim counts for everybody; then `python -m
serving.replay` runs it with the worker's own settings, at low priority, and what that process prints goes to the log: how
far it is, every few seconds, and the report. A worker that stops hands its job back; the job of one that was killed is
handed on by the control API. A job may so run more than once; a correction still corrects no record twice.

Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from model_store.core.commands import ClaimJob, Command, ReportJob
from model_store.core.jobs import InvalidJobError, job_to_json
from model_store.core.jobs_state import Job, JobState
from model_store.core.jobs_verdict import read_job_spec, verdict
from model_store.core.state import Catalogue
from serving.processes import PARENT

log = structlog.get_logger(__name__)

REPORT_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 1.0
_REPORT_BYTES: Final = 8 << 20
_LINE_BYTES: Final = 16 << 20
"""A back-test's report by segment is one line."""


@dataclass(slots=True)
class Jobs:
    """See the module.

    Attributes:
        send: Puts a command on the control log; returns at once, with whether it was taken.
        worker: Worker id.
        epoch: Unique for this process.
        streams: Names of the streams that this worker serves.
        settings: The worker's settings as JSON, for the other process.
    """

    send: Callable[[Command], bool]
    worker: str
    epoch: str
    streams: frozenset[str]
    settings: Callable[[], str]
    _catalogue: Catalogue = field(default_factory=Catalogue)
    _asked_for: int = -1
    _running: int = -1
    _finished: int = -1
    _task: asyncio.Task[None] | None = None
    _process: asyncio.subprocess.Process | None = None
    _is_stopping: bool = False
    _seen: object = None

    def follow(self, catalogue: Catalogue) -> None:
        """The log goes on: take a job, start what was given to this worker, stop what was cancelled."""
        if catalogue.jobs is self._seen:
            return
        self._seen, self._catalogue = catalogue.jobs, catalogue
        mine = [job for _, job in catalogue.jobs.newest_first() if self._is_mine(job)]
        if self._running >= 0 and all(job.id != self._running for job in mine):
            self._end_process()
        if all(job.id != self._finished for job in mine):
            self._finished = -1  # the log knows that it is over
        if self._task is not None or self._finished >= 0 or self._is_stopping:
            return
        if mine:
            self._start(mine[-1])
        else:
            self._claim()

    async def stop(self) -> None:
        """End what runs and hand it back. Nothing is taken any more."""
        self._is_stopping = True
        task, job = self._task, self._running
        if task is None:
            return
        self._end_process()
        await asyncio.wait([task], timeout=_STOP_SECONDS)
        if job >= 0 and self._is_open(job):
            self._report(job, JobState.QUEUED)

    def _is_mine(self, job: Job) -> bool:
        return job.state is JobState.RUNNING and (job.worker, job.epoch) == (self.worker, self.epoch)

    def _is_open(self, job_id: int) -> bool:
        job = self._catalogue.jobs.get(job_id)
        return job is not None and self._is_mine(job)

    def _claim(self) -> None:
        """Ask for the oldest job that nobody has, of a stream that is read here."""
        queued = [job for _, job in self._catalogue.jobs.newest_first() if job.state is JobState.QUEUED]
        for job in sorted(queued, key=lambda job: job.id):
            if self._stream_of(job) in self.streams:
                key = (job.id, job.updated_at_ms)
                if self._asked_for != hash(key):
                    self._asked_for = hash(key)
                    body = ClaimJob(job.id, self.worker, self.epoch)
                    self.send(Command(secrets.token_hex(16), self.worker, "", body))
                return

    @staticmethod
    def _stream_of(job: Job) -> str:
        try:
            return str(json.loads(job.spec).get("stream", ""))
        except (ValueError, AttributeError):
            return ""

    def _start(self, job: Job) -> None:
        self._running = job.id
        self._task = asyncio.create_task(self._run_to_an_end(job), name=f"job {job.id}")
        self._task.add_done_callback(self._ended)

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._task, self._running, self._finished, self._process = None, -1, self._running, None
        self._seen = None
        self.follow(self._catalogue)

    def _end_process(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _run_to_an_end(self, job: Job) -> None:
        """Run it. What fails here fails the job: its worker lives, so nobody else would ever end it."""
        try:
            await self._run(job)
        except Exception as error:
            log.exception("job.broke", job=job.id)
            self._end_process()
            if self._is_open(job.id):
                reason = f"worker {self.worker} could not run it: {type(error).__name__}: {error}"
                await self._end(job.id, JobState.FAILED, {"reason": reason})

    async def _run(self, job: Job) -> None:
        log.info("job.started", job=job.id, kind=job.kind)
        try:
            spec, pass_if = read_job_spec(job.spec)
        except InvalidJobError as error:
            await self._end(job.id, JobState.FAILED, {"reason": str(error)})
            return
        with tempfile.TemporaryDirectory(prefix="sluice-job-") as folder:
            settings, job_file = _written(Path(folder), self.settings(), job_to_json(spec))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "serving.replay", "--config", str(settings), "--job", str(job_file),
                stdout=asyncio.subprocess.PIPE, env={**os.environ, PARENT: str(os.getpid())}, limit=_LINE_BYTES,
            )  # fmt: skip
            if self._is_stopping or not self._is_open(job.id):
                self._end_process()  # cancelled, or this worker told to stop, before there was a process to end
            last = await self._follow_output(job)
            status = await self._process.wait()
        if not self._is_open(job.id):
            log.info("job.given_up", job=job.id)
            return
        if status == 0:
            found = verdict(pass_if, last) if pass_if is not None else None
            if found is not None:
                last["verdict_why"] = list(found.why)
            await self._end(job.id, JobState.SUCCEEDED, last, found.word if found is not None else "")
        elif last.get("event") != "stopped" and not self._is_stopping:
            last.setdefault("reason", f"the process ended with status {status}; the worker's log has its last words")
            await self._end(job.id, JobState.FAILED, last)
        log.info("job.ended", job=job.id, status=status)

    async def _follow_output(self, job: Job) -> dict[str, Any]:
        """Pass progress on; returns the last line."""
        assert self._process is not None
        assert self._process.stdout is not None
        last: dict[str, Any] = {}
        reported = time.monotonic()
        async for line in self._process.stdout:
            try:
                last = json.loads(line)
            except ValueError:
                continue  # not ours: a library's own print
            if last.get("event") == "progress" and time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                self._report(job.id, JobState.RUNNING, line.decode())
        return last

    async def _end(self, job_id: int, state: JobState, said: dict[str, Any], verdict: str = "") -> None:
        """Report an end until the log takes it: nobody else ends a job whose worker lives."""
        report = json.dumps(said)
        if len(report) > _REPORT_BYTES:
            report = json.dumps({"reason": f"the report has {len(report):,} bytes, {_REPORT_BYTES:,} are allowed"})
        while self._is_open(job_id) and not self._report(job_id, state, report, verdict):
            await asyncio.sleep(_AGAIN_SECONDS)

    def _report(self, job_id: int, state: JobState, report: str = "", verdict: str = "") -> bool:
        body = ReportJob(job_id, state.value, self.worker, self.epoch, verdict, report)
        return self.send(Command(secrets.token_hex(16), self.worker, "", body))


def _written(folder: Path, settings: str, job: str) -> tuple[Path, Path]:
    """The other process's files, small, in a folder that is this user's alone. JSON is YAML."""
    settings_file, job_file = folder / "worker.yaml", folder / "job.json"
    settings_file.write_text(settings)
    job_file.write_text(job)
    return settings_file, job_file
