"""The calls of the API as values: what to send, and what the answer is read as. Nothing here touches the network."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
import msgspec

from sluice.client import answers
from sluice.client.artifacts import model_name, read_artifact
from sluice.client.errors import (
    ApiError,
    ArtifactError,
    ConflictError,
    InvalidPlanError,
    PolicyError,
    StaleError,
    UnreachableError,
)
from sluice.client.server_events import Followed

Answer = TypeVar("Answer")

API = "/api/v1"
PAGE_SIZE = 500
# The longest that the API holds a request for an operation; longer waits ask again.
HELD_SECONDS = 20.0
# An event stream is given up when nothing was heard for so long; the API sends a comment every 15 s.
GIVE_UP_SECONDS = 40.0


class PublishOptions(TypedDict, total=False):
    """What may be said of a model that is published.

    Attributes:
        type: `TENSORFLOW`, `TENSORFLOWSAVED`, `PMML` or the name of another engine; left out, the API looks at the file.
        description: A sentence for people.
        publisher: Who publishes it.
        use_case: The business use case it belongs to.
        source: Where it is, instead of a file: a `file:` or `http(s):` URL within what the workers allow.
        sha256: Its digest, hexadecimal; required with `source`.
        feature_mapping: Record field for each feature of the model, in the model's order.
        signature_name: SavedModel signature to serve.
        input_names: Input tensors of a frozen graph.
        output_names: Output tensors of a frozen graph.
        mode: `exact` (left out): every partition at a promised offset, on all workers, or not at all. `immediate`: each
            worker when it has loaded it. `none`: it is only registered.
        references: Where it comes from: `training_data`, `code`, `run_id`, `environment` and whatever else.
        deadline_seconds: When an exact change is given up.
        reason: Why, for the record.
        idempotency_key: Names this act of publishing, so that a repeated request publishes once; else a new one.
    """

    type: str | None
    description: str
    publisher: str
    use_case: str
    source: str | None
    sha256: str | None
    feature_mapping: Mapping[str, str] | None
    signature_name: str
    input_names: Sequence[str]
    output_names: Sequence[str]
    mode: str
    references: Mapping[str, str] | None
    deadline_seconds: float | None
    reason: str
    idempotency_key: str | None


# What is read from the control log, and may be asked of a replica that has not read that far yet.
_STATE_PATHS = tuple(
    f"{API}/{path}"
    for path in ("registered-models", "deployments", "operations", "decisions", "backtests", "corrections")
)


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request.

    Attributes:
        answer: Type that the body is read as.
        member: Member of the body that holds it; empty for the body itself.
        held_seconds: How long the API may keep the request open on purpose, on top of the client's own time-out.
    """

    method: str
    path: str
    answer: type[Answer]
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str | list[str]] | None = None
    file: tuple[str, bytes] | None = None
    body: Any = None
    member: str = ""
    held_seconds: float = 0.0

    def request(self, client: httpx.Client | httpx.AsyncClient, written: int = -1) -> httpx.Request:
        """The request as httpx sends it; a read of the control log's state waits for the offset `written`."""
        params = dict(self.params)
        if self.method == "GET" and written >= 0 and self.path.startswith(_STATE_PATHS):
            params["min_control_offset"] = str(max(written, int(str(params.get("min_control_offset", -1)))))
        timeout = client.timeout.as_dict()
        if timeout["read"] is not None:
            timeout["read"] += self.held_seconds
        return client.build_request(
            self.method,
            self.path,
            params=params,
            headers={"Accept": "application/json", **self.headers},
            data=None if self.form is None else dict(self.form),
            files=None if self.file is None else {"file": self.file},
            json=self.body,
            timeout=httpx.Timeout(**timeout),
        )

    def read(self, response: httpx.Response) -> Answer:
        """The answer in `response`.

        Raises:
            ApiError: The API said that something is wrong, or answered with something that is not of this API.
        """
        return _read(response, self.answer, self.member)


@dataclass(frozen=True, slots=True)
class PagedCall(Generic[Answer]):
    """A list that comes in pages; `first` asks for the first one."""

    first: Call[list[Answer]]

    def read(self, response: httpx.Response) -> tuple[list[Answer], Call[list[Answer]] | None]:
        """The items in `response`, and the call for the next page.

        Raises:
            ApiError: See `Call.read`.
        """
        items = self.first.read(response)
        token = _read(response, _Page, "").next_page_token
        if token is None:
            return items, None
        params = {**self.first.params, "page_token": token}
        return items, Call("GET", self.first.path, self.first.answer, params, member=self.first.member)


@dataclass(frozen=True, slots=True)
class StreamCall(Generic[Answer]):
    """A stream of server-sent events.

    Attributes:
        answer: Type that the data of each event is read as; `ServerEvent` for the event itself.
    """

    path: str
    answer: type[Answer]

    def arguments(self, last_id: str | None) -> dict[str, Any]:
        """What httpx's `stream` takes to open it behind `last_id`. The API says something at least every 15 s."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(10.0, read=GIVE_UP_SECONDS)
        return {"method": "GET", "url": self.path, "headers": headers, "timeout": timeout}

    def read(self, event: answers.ServerEvent) -> Followed[Answer]:
        """What `event` carries.

        Raises:
            ApiError: It is not of this API.
        """
        if self.answer is answers.ServerEvent:
            return Followed(event, event.id)  # type: ignore[arg-type]  # `answer` is the type of an event itself
        try:
            return Followed(msgspec.convert(event.data, type=self.answer), event.id)
        except msgspec.ValidationError as error:
            raise ApiError(200, "Not an answer of Sluice's API", f"an event of {self.path}: {error}") from error


class _Page(msgspec.Struct):
    next_page_token: str | None = None


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
    type: str = "about:blank"
    trace_id: str = ""
    retryable: bool = False
    errors: tuple[dict[str, str], ...] | None = None
    current: Any = None
    revision: int | None = None


_KINDS: Mapping[str, type[ApiError]] = {
    "/problems/stale": StaleError,
    "/problems/conflict": ConflictError,
    "/problems/policy-not-met": PolicyError,
    "/problems/plan-invalid": InvalidPlanError,
}


def _read(response: httpx.Response, answer: type[Answer], member: str) -> Answer:
    if response.is_error:
        raise problem(response)
    try:
        if not member:
            return msgspec.json.decode(response.content, type=answer)
        return msgspec.convert(msgspec.json.decode(response.content)[member], type=answer)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        text = f"{response.request.method} {response.url} answered {response.status_code} in a form not known: {error}"
        raise ApiError(response.status_code, "Not an answer of Sluice's API", text) from error


def problem(response: httpx.Response) -> ApiError:
    """The error in `response`; one that is not a problem is shown by its first words."""
    try:
        body = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.MsgspecError:
        body = _Problem(detail=response.text.strip()[:200])
    title = body.title or f"HTTP {response.status_code} {response.reason_phrase}"
    kind = _KINDS.get(urlsplit(body.type).path, ApiError)
    errors = tuple(body.errors or ())
    error = kind(response.status_code, title, body.detail, body.type, body.trace_id, body.retryable, errors)
    if isinstance(error, StaleError):
        error.current = body.current if isinstance(body.current, dict) else None
        error.revision = body.revision
    return error


def written_offset(call: Call[Any], response: httpx.Response) -> int:
    """Control offset of what a write wrote; -1 if it wrote nothing, or the API does not say."""
    offset = response.headers.get("X-Control-Offset", "")
    return int(offset) if call.method != "GET" and response.is_success and offset.isdecimal() else -1


def unreachable(base_url: httpx.URL, error: httpx.TransportError) -> UnreachableError:
    """`error` in this client's words."""
    reason = (
        "it does not answer in time"
        if isinstance(error, httpx.TimeoutException)
        else str(error) or type(error).__name__
    )
    return UnreachableError(str(base_url).rstrip("/"), reason)


def publish(
    model: str | os.PathLike[str] | bytes | None, data_type: str, name: str | None, options: PublishOptions
) -> Call[answers.Published]:
    """Publish `model`, or what is at `options["source"]`.

    Raises:
        ArtifactError: It cannot be read, or no name can be made of its file's.
    """
    source = options.get("source")
    if (model is None) == (source is None):
        raise ArtifactError("give either a model (a path or bytes) or a source, not both")
    file = None if model is None else read_artifact(model)
    path = f"{API}/registered-models/{segment(name or model_name(file[0] if file else _last_segment(source)))}/versions"
    headers = {"Idempotency-Key": options.get("idempotency_key") or uuid.uuid4().hex}
    given: dict[str, Any] = {
        "data_type": data_type,
        **{key: value for key, value in options.items() if value and key != "idempotency_key"},
    }
    if file is None:
        return Call("POST", path, answers.Published, headers=headers, body=given)
    for name_of_object in ("feature_mapping", "references"):
        if name_of_object in given:
            given[name_of_object] = json.dumps(given[name_of_object])
    if "deadline_seconds" in given:
        given["deadline_seconds"] = str(given["deadline_seconds"])
    return Call("POST", path, answers.Published, headers=headers, form=given, file=file)


def publication_plan(
    model: str | os.PathLike[str] | bytes | None, data_type: str, name: str | None, options: PublishOptions
) -> Call[answers.PublicationPlan]:
    """What `publish` would do; nothing is written.

    Raises:
        ArtifactError: See `publish`.
    """
    call = publish(model, data_type, name, options)
    params = {**call.params, "dry_run": "true"}
    return Call("POST", call.path, answers.PublicationPlan, params, {}, call.form, call.file, call.body)


def operation(id: str, held_seconds: float = 0.0) -> Call[answers.Operation]:
    """One operation; the API answers when it is done, at the latest after `held_seconds` (60 at most).

    An operation's id holds its control-log offset: a replica that has not read that far is made to wait for it.
    """
    offset = id.removeprefix("op-")
    params = {"min_control_offset": offset} if offset.isdecimal() else {}
    if held_seconds > 0:
        params["wait"] = f"{held_seconds:.3f}"
    return Call("GET", f"{API}/operations/{segment(id)}", answers.Operation, params, held_seconds=held_seconds)


def workers() -> PagedCall[answers.Worker]:
    """All workers that have started, and whether they live."""
    return paged(f"{API}/workers", answers.Worker, "workers")


def stats(
    window: str | None = None, *, data_type: str | None = None, model: str | None = None
) -> Call[answers.Statistics]:
    """How models do: of one data type, of one model, or of all.

    Args:
        window: `30s`, `5m`, `24h` at most; left out, since ever.
        data_type: Only of this data type.
        model: Only of this model, where no data type is given.
    """
    path = f"{API}/stats"
    if data_type is not None:
        path += f"/keys/{segment(data_type)}"
    elif model is not None:
        path += f"/models/{segment(model)}"
    return Call("GET", path, answers.Statistics, {"window": window} if window else {})


def streams() -> Call[list[answers.Stream]]:
    """The streams that live workers serve."""
    return Call("GET", f"{API}/streams", list[answers.Stream], member="streams")


def results_of(stream: str, count: int = 20) -> Call[list[answers.ResultRecord]]:
    """The newest results of a stream, oldest first; at most 1000."""
    path = f"{API}/streams/{segment(stream)}/results"
    return Call("GET", path, list[answers.ResultRecord], {"limit": str(count)}, member="results")


def dead_letters(count: int = 20) -> Call[list[answers.DeadLetterRecord]]:
    """The newest records that could not be scored, oldest first; at most 1000."""
    params = {"limit": str(count)}
    return Call("GET", f"{API}/dead-letters", list[answers.DeadLetterRecord], params, member="dead_letters")


def tail(stream: str) -> StreamCall[answers.ResultRecord]:
    """Results of a stream as they come."""
    return StreamCall(f"{API}/streams/{segment(stream)}/results", answers.ResultRecord)


def follow_dead_letters() -> StreamCall[answers.DeadLetterRecord]:
    """Dead letters as they come."""
    return StreamCall(f"{API}/dead-letters", answers.DeadLetterRecord)


def events() -> StreamCall[answers.ServerEvent]:
    """What happens in the control log, as it happens."""
    return StreamCall(f"{API}/events", answers.ServerEvent)


def paged(
    path: str, item: type[Answer], member: str, params: Mapping[str, str | list[str] | None] | None = None
) -> PagedCall[Answer]:
    """A list of `item`s in the member `member`; parameters that are empty are left out."""
    given = {name: value for name, value in (params or {}).items() if value}
    return PagedCall(Call("GET", path, list[item], {"max_results": str(PAGE_SIZE), **given}, member=member))  # type: ignore[valid-type]


def _last_segment(url: str | None) -> str:
    return unquote(urlsplit(url or "").path.rstrip("/").rpartition("/")[2])


def segment(text: str) -> str:
    """One segment of a path, whatever is in it."""
    return quote(text, safe="")
