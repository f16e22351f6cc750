"""What can go wrong over HTTP, and the one table that maps it to `application/problem+json` (RFC 9457).

Domain code raises an `ApiError` of some `Problem`; FastAPI's and Starlette's own errors are mapped here as well, so
that no answer of this process is an error in another shape. Each problem type has a page, `GET /problems/{slug}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of error: its URI is `/problems/<slug>`.

    Attributes:
        slug: Last segment of the type URI.
        status: HTTP status.
        title: The same for every occurrence.
        explanation: What it means and what to do, for the documentation page.
        is_retryable: The same request may succeed later.
    """

    slug: str
    status: int
    title: str
    explanation: str
    is_retryable: bool = False


BAD_REQUEST = Problem("bad-request", 400, "The request cannot be read", "The syntax is wrong; `detail` says where.")
PAGE_TOKEN = Problem(
    "page-token",
    400,
    "The page token does not fit the request",
    "Send a `next_page_token` back unchanged, with the same path and filters as the request that returned it.",
)
UNAUTHORIZED = Problem(
    "unauthorized",
    401,
    "A token is required",
    "Writes need `Authorization: Bearer <token>` with the API's write token.",
)
FORBIDDEN = Problem("forbidden", 403, "Not allowed", "The server understood the request and refuses it.")
NOT_FOUND = Problem("not-found", 404, "There is no such thing", "Nothing has this name; lists show what there is.")
METHOD = Problem("method-not-allowed", 405, "The method is not allowed", "`Allow` names the methods that are.")
NOT_ACCEPTABLE = Problem("not-acceptable", 406, "No acceptable form", "Ask for `application/json`.")
IN_FLIGHT = Problem(
    "request-in-flight",
    409,
    "A request with this Idempotency-Key is still at work",
    "Wait a moment and send the same request again; it then gets the stored answer.",
    is_retryable=True,
)
NOT_INLINE = Problem(
    "artifact-elsewhere",
    409,
    "The artifact is not kept here",
    "The version was announced by location: its bytes are where `detail` says.",
)
CONFLICT = Problem(
    "conflict",
    409,
    "It may not be done now",
    "Something else is under way, or something still points to what would go; `detail` names it.",
)
POLICY_NOT_MET = Problem(
    "policy-not-met",
    409,
    "The version is not allowed to serve yet",
    "The model's policy asks for approvals or a back-test; `detail` says what is missing. Dark, it may run already.",
)
STALE = Problem(
    "stale",
    412,
    "It has changed meanwhile",
    "The revision in `If-Match` is not the current one: somebody else was first. `current` is how it is now; decide again, "
    "and send its `revision`.",
)
PRECONDITION_REQUIRED = Problem(
    "precondition-required",
    428,
    "Say which revision this was decided on",
    "Send `If-Match` with the `ETag` or the `revision` of a read, or `If-None-Match: *` to make a new one.",
)
TOO_LARGE = Problem(
    "model-too-large",
    413,
    "The model is too large to travel inline",
    "Publish it by `source` and `sha256`, or raise `limits.inline_bytes` together with the topic's `max.message.bytes`.",
)
UNSUPPORTED_MEDIA = Problem(
    "unsupported-media-type", 415, "The content type is not supported", "`detail` names the types that are."
)
INVALID = Problem(
    "invalid-request", 422, "The request is not valid", "`errors` points to each wrong member or parameter."
)
PLAN_INVALID = Problem(
    "plan-invalid", 422, "The plan makes no sense", "`detail` names the part of the plan and what was expected of it."
)
CONTRADICTION = Problem(
    "content-contradicts-type",
    422,
    "The content is not of the type that was named",
    "Nothing was published. Name the type that the file has, or leave `type` out.",
)
KEY_REUSED = Problem(
    "idempotency-key-reused",
    422,
    "This Idempotency-Key belongs to another request",
    "A key names one request with one body for 24 hours; use a new key for a new request.",
)
INTERNAL = Problem("internal", 500, "Internal error", "A fault of this server; its log has the `trace_id`.")
NOT_CAUGHT_UP = Problem(
    "not-caught-up",
    503,
    "This replica has not read that far",
    "The control log is not read up to what was asked for; try again after `Retry-After`.",
    is_retryable=True,
)
KAFKA_DOWN = Problem(
    "kafka-unavailable",
    503,
    "Kafka does not answer",
    "Reads of models go on; this needs the brokers.",
    is_retryable=True,
)
STATISTICS_DOWN = Problem(
    "statistics-unavailable",
    503,
    "There are no statistics now",
    "Redis, where workers leave their statistics, is not set or does not answer. Scoring and control go on.",
    is_retryable=True,
)
BUSY = Problem(
    "too-many-followers", 503, "Too many open event streams", "Close one or try again later.", is_retryable=True
)
OTHER = Problem("http-error", 400, "HTTP error", "`detail` says what was wrong.")

PROBLEMS: Mapping[str, Problem] = {
    problem.slug: problem
    for problem in (
        BAD_REQUEST, PAGE_TOKEN, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, METHOD, NOT_ACCEPTABLE, IN_FLIGHT, NOT_INLINE,
        CONFLICT, POLICY_NOT_MET, STALE, TOO_LARGE, UNSUPPORTED_MEDIA, INVALID, PLAN_INVALID, CONTRADICTION, KEY_REUSED,
        PRECONDITION_REQUIRED, INTERNAL, NOT_CAUGHT_UP, KAFKA_DOWN, STATISTICS_DOWN, BUSY, OTHER,
    )
}  # fmt: skip

_BY_STATUS: Mapping[int, Problem] = {
    400: BAD_REQUEST, 401: UNAUTHORIZED, 403: FORBIDDEN, 404: NOT_FOUND, 405: METHOD, 406: NOT_ACCEPTABLE,
    413: TOO_LARGE, 415: UNSUPPORTED_MEDIA, 422: INVALID, 500: INTERNAL,
}  # fmt: skip

REFUSALS: Mapping[str, Problem] = {
    "stale": STALE, "conflict": CONFLICT, "policy": POLICY_NOT_MET, "invalid": INVALID, "not-found": NOT_FOUND,
}  # fmt: skip
"""What the fold says of a command (`commands.Problem`) -> what a client is told; a plan that is invalid is `PLAN_INVALID`."""


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that is a problem.

    Attributes:
        problem: Its kind.
        detail: What happened this time: what was expected, what was found.
        extra: Further members of the body.
        errors: `{"pointer": ..., "detail": ...}` for each wrong member of the request.
        retry_after_seconds: Sent as `Retry-After`.
        headers: Further headers.
    """

    problem: Problem
    detail: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[Mapping[str, str], ...] = ()
    retry_after_seconds: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.problem.slug}: {self.detail}"


def problem_response(request: Request, error: ApiError) -> Response:
    """The body and headers of one problem."""
    problem = error.problem
    body: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        "instance": request.url.path,
        "trace_id": request.scope.get("trace_id", ""),
        "retryable": problem.is_retryable,
        **error.extra,
    }
    if error.errors:
        body["errors"] = list(error.errors)
    if request.url.path == "/v2" or request.url.path.startswith("/v2/"):
        body["error"] = error.detail
    headers = dict(error.headers)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return JSONResponse(body, problem.status, headers, media_type=PROBLEM_JSON)


def install_error_handlers(app: FastAPI) -> None:
    """Map every exception that can reach the application's edge."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)


def pointer(location: tuple[int | str, ...]) -> str:
    """JSON pointer (RFC 6901) of a Pydantic location, such as `/query/max_results`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def validation_error(details: list[Any]) -> ApiError:
    """The problem for Pydantic's list of errors."""
    errors = tuple({"pointer": pointer(tuple(each["loc"])), "detail": str(each["msg"])} for each in details)
    first = "; ".join(f"{each['pointer']}: {each['detail']}" for each in errors[:3])
    return ApiError(INVALID, first or "the request is not valid", errors=errors)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_response(request, error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = _BY_STATUS.get(error.status_code)
    if problem is None:
        title = HTTPStatus(error.status_code).phrase
        problem = Problem(OTHER.slug, error.status_code, title, OTHER.explanation)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem_response(request, ApiError(problem, detail, headers=error.headers or {}))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(request, validation_error(list(error.errors())))


async def _unexpected(request: Request, error: Exception) -> Response:
    trace_id = request.scope.get("trace_id", "")
    log.error("request.failed", path=request.url.path, trace_id=trace_id, exc_info=error)
    return problem_response(request, ApiError(INTERNAL, f"a fault of this server; its log has trace_id {trace_id}"))
