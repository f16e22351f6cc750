"""The application's edge without Kafka: faults, bodies and the document."""

from __future__ import annotations

import anyio
import httpx
import pytest
from fastapi import FastAPI

from control_api.app import create_app
from control_api.settings import Settings


@pytest.fixture
def app() -> FastAPI:
    made = create_app(Settings())

    @made.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of the server")

    return made


def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path)

    return anyio.run(asking)


def test_a_fault_is_a_problem_that_tells_no_secret(app: FastAPI) -> None:
    answer = ask(app, "GET", "/broken")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["trace_id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/v2/nowhere", "/api/v1/registered-models/"])
def test_what_is_not_there_is_a_problem_without_a_redirect(app: FastAPI, path: str) -> None:
    answer = ask(app, "DELETE" if path.endswith("/") else "GET", path)

    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("error" in answer.json()) == path.startswith("/v2")


def test_no_origin_is_allowed(app: FastAPI) -> None:
    assert "access-control-allow-origin" not in ask(app, "GET", "/healthz").headers


def test_every_operation_of_the_document_is_described_and_its_errors_are_problems(app: FastAPI) -> None:
    document = app.openapi()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path == "/broken":
                continue
            assert operation.get("description"), f"{method} {path} says nothing"
            errors = {status: r for status, r in operation["responses"].items() if status >= "400"}
            assert all(set(r["content"]) == {"application/problem+json"} for r in errors.values()), (method, path)
