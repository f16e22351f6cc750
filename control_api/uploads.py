"""The body of a publication, read from multipart or JSON with its size bounded while it arrives.

A file goes to disk as it comes (Starlette spools each part beyond 1 MB); the count of bytes is checked on every chunk,
so that a body without `Content-Length`, or with a wrong one, costs no more than the limit.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message, Receive

from control_api.errors import BAD_REQUEST, INVALID, TOO_LARGE, UNSUPPORTED_MEDIA, ApiError, validation_error
from control_api.schemas.publication import PublicationFields

FIELDS_BYTES = 1024 * 1024
"""Room for everything in the body but the file."""
_DRAIN_SECONDS = 3.0
_LISTS = ("input_names", "output_names")
_OBJECTS = ("feature_mapping", "references")


@dataclass(frozen=True, slots=True)
class Upload:
    """A publication as the client sent it.

    Attributes:
        fields: Everything but the file.
        data: The file's bytes; `None` if the artifact is elsewhere.
        filename: As the client named it, or empty.
    """

    fields: PublicationFields
    data: bytes | None
    filename: str

    @property
    def fingerprint(self) -> str:
        """Digest of the whole body: equal for a repeated request, whatever the multipart boundary was."""
        digest = hashlib.sha256(self.fields.model_dump_json().encode())
        digest.update(b"-" if self.data is None else hashlib.sha256(self.data).digest())
        return digest.hexdigest()


async def read_upload(request: Request, inline_bytes: int) -> Upload:
    """Read and validate the body.

    Raises:
        ApiError: `TOO_LARGE` naming both sizes, `UNSUPPORTED_MEDIA`, `BAD_REQUEST` or `INVALID`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    match kind:
        case "multipart/form-data":
            return await _read_multipart(request, inline_bytes)
        case "application/json":
            return _read_json(await _BoundedBody(request, FIELDS_BYTES, inline_bytes).request().body())
        case _:
            expected = "expected multipart/form-data (with a file) or application/json (with a source)"
            raise ApiError(UNSUPPORTED_MEDIA, f"{expected}, found {kind or 'no content type'}")


async def _read_multipart(request: Request, inline_bytes: int) -> Upload:
    bounded = _BoundedBody(request, inline_bytes + FIELDS_BYTES, inline_bytes)
    await bounded.check_declared()
    async with bounded.request().form(max_files=1, max_fields=100, max_part_size=FIELDS_BYTES) as form:
        file = form.get("file")
        if file is not None and not isinstance(file, UploadFile):
            raise _invalid("/body/file", "expected a file part, found a text field; give it a filename")
        fields = _fields(_form_members(form))
        if file is None:
            return Upload(_with_source(fields), None, "")
        if fields.source is not None:
            raise _invalid("/body/source", "send either a file or a source, not both")
        if (file.size or 0) > inline_bytes:
            _refuse_size(f"{file.size} bytes", inline_bytes)
        return Upload(fields, await file.read(), file.filename or "")


def _read_json(body: bytes) -> Upload:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(BAD_REQUEST, f"the body is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise _invalid("/body", "expected a JSON object")
    return Upload(_with_source(_fields(members)), None, "")


def _form_members(form: FormData) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name in form:
        values = [value for value in form.getlist(name) if isinstance(value, str)]
        if name in _LISTS:
            members[name] = [part for value in values for part in value.split(",") if part]
        elif name in _OBJECTS:
            members[name] = _json_member(name, values[-1]) if values else None
        elif values:
            if len(values) > 1:
                raise _invalid(f"/body/{name}", f"expected one value, found {len(values)}")
            members[name] = values[0]
        elif name != "file":
            raise _invalid(f"/body/{name}", "expected text, found a file; only `file` is one")
    return members


def _json_member(name: str, text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise _invalid(f"/body/{name}", f"expected a JSON object as text: {error}") from error


def _fields(members: dict[str, Any]) -> PublicationFields:
    try:
        return PublicationFields.model_validate(members)
    except ValidationError as error:
        raise validation_error([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error


def _with_source(fields: PublicationFields) -> PublicationFields:
    if fields.source is None:
        raise _invalid("/body/file", "a `file` part, or `source` with `sha256`, is required")
    if fields.sha256 is None:
        raise _invalid("/body/sha256", "required with `source`: the SHA-256 of the artifact, 64 hexadecimal digits")
    return fields


def _invalid(where: str, detail: str) -> ApiError:
    return ApiError(INVALID, f"{where}: {detail}", errors=({"pointer": where, "detail": detail},))


def _refuse_size(found: str, inline_bytes: int) -> NoReturn:
    detail = f"the model has {found}; at most {inline_bytes} bytes travel inside a descriptor: publish it by source"
    raise ApiError(TOO_LARGE, detail, extra={"limit_bytes": inline_bytes})


class _BoundedBody:
    """A request whose body stops with `TOO_LARGE` beyond `limit` bytes."""

    def __init__(self, request: Request, limit: int, inline_bytes: int) -> None:
        self._request = request
        self._receive: Receive = request.receive
        self._limit = limit
        self._inline_bytes = inline_bytes
        self._received = 0

    def request(self) -> Request:
        """The same request, read through the bound."""
        return Request(self._request.scope, self._bounded_receive)

    async def check_declared(self) -> None:
        """Refuse by `Content-Length` before a byte of the model is kept.

        A client that sends without waiting is listened to for a moment, because closing on it would lose the answer.
        """
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limit:
            if "expect" not in self._request.headers:
                await self._drain()
            _refuse_size(f"about {int(declared)} bytes (the whole request)", self._inline_bytes)

    async def _bounded_receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            await self._drain()
            _refuse_size(f"more than {self._limit - FIELDS_BYTES} bytes", self._inline_bytes)
        return message

    async def _drain(self) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            message = await self._receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
