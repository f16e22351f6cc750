"""The OpenAPI document is true: whatever is sent, each answer is one that it documents, and each error is a problem."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from api_processes import PMML, Replica, ThreadReplica
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from control_api.app import create_app
from control_api.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def replica(kafka: Any, redis_url: str) -> Iterator[Replica]:
    started = ThreadReplica(
        Settings(
            kafka={"bootstrap": kafka.bootstrap},
            control_topic={"name": f"test-ctl-{uuid.uuid4().hex[:8]}"},
            port=0,
            redis_url=redis_url,
            waits={"fold_seconds": 0.2, "operation_seconds": 0.1},
        )
    )
    started.publish("wine-tree", PMML)
    yield started
    started.stop()


SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
# An event stream has no end; it has tests of its own.
OPERATIONS = [o for o in (found.ok() for found in SCHEMA.get_all_operations()) if o.path != "/api/v1/events"]
CASES = [(o, GenerationMode.POSITIVE) for o in OPERATIONS] + [
    (o, GenerationMode.NEGATIVE) for o in OPERATIONS if o.query or o.body
]
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{o.label} {mode.value}" for o, mode in CASES])
def test_every_answer_is_documented(replica: Replica, session: requests.Session, operation: Any, mode: Any) -> None:
    @settings(max_examples=5, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def law(case: schemathesis.Case) -> None:
        if case.query:
            case.query.pop("follow", None)
        response = case.call(base_url=replica.url, session=session, timeout=20)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"]
            assert response.json()["status"] == response.status_code

    law()


def test_the_document_names_every_route_and_gives_examples(replica: Replica) -> None:
    document = replica.get("/openapi.json")

    paths = set(document["paths"])
    assert {
        "/api/v1/registered-models/{name}/versions",
        "/api/v1/operations/{id}",
        "/api/v1/streams/{name}/results",
        "/state/{data_type}",
        "/healthz",
        "/metrics",
    } <= paths
    assert "HTTPValidationError" not in document["components"]["schemas"]
    bodies = document["paths"]["/api/v1/registered-models/{name}/versions"]["post"]["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json"}
    assert replica.client.get("/docs").status_code == 200
