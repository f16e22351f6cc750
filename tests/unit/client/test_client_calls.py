"""Requests as they are sent, and answers as they are read, without a network."""

from __future__ import annotations

import httpx
import pytest

import sluice
from sluice.client import calls, registry_calls
from sluice.client.errors import ApiError, ArtifactError, UnreachableError


def answering(respond) -> sluice.Client:
    return sluice.Client("http://api.test", transport=httpx.MockTransport(respond))


def test_the_clients_are_names_of_the_package_and_nothing_else_is():
    assert sluice.Client.__name__ == "Client"
    assert sluice.AsyncClient.__name__ == "AsyncClient"
    with pytest.raises(AttributeError, match="has no attribute 'Server'"):
        _ = sluice.Server


def test_a_problem_becomes_an_error_with_all_it_says():
    problem = {
        "type": "/problems/not-found",
        "title": "There is no such thing",
        "detail": "there is no operation 'op-7'",
        "status": 404,
        "trace_id": "t-1",
        "retryable": True,
        "errors": [{"pointer": "/path/id", "detail": "unknown"}],
        "limit_bytes": 3,
    }

    with answering(lambda request: httpx.Response(404, json=problem)) as client, pytest.raises(ApiError) as caught:
        client.operation("op-7")

    error = caught.value
    assert (error.status, error.type, error.title) == (404, "/problems/not-found", "There is no such thing")
    assert (error.trace_id, error.is_retryable) == ("t-1", True)
    assert error.errors == ({"pointer": "/path/id", "detail": "unknown"},)
    assert str(error) == "There is no such thing: there is no operation 'op-7'"


def test_an_error_of_another_server_is_shown_by_its_first_words():
    with (
        answering(lambda request: httpx.Response(502, text="<h1>Bad Gateway</h1>")) as client,
        pytest.raises(ApiError, match=r"HTTP 502 Bad Gateway: <h1>Bad Gateway</h1>"),
    ):
        client.models()


def test_an_answer_in_another_form_is_an_error_that_names_the_request():
    with (
        answering(lambda request: httpx.Response(200, json={"hello": "world"})) as client,
        pytest.raises(ApiError, match=r"GET http://api.test/api/v1/deployments.* in a form not known"),
    ):
        client.routes()


def test_a_list_is_read_to_its_last_page():
    pages = {None: (["a", "b"], "2"), "2": (["c"], None)}

    def respond(request: httpx.Request) -> httpx.Response:
        names, token = pages[request.url.params.get("page_token")]
        models = [{"name": name, "latest_version": "1"} for name in names]
        return httpx.Response(200, json={"registered_models": models, "next_page_token": token})

    with answering(respond) as client:
        assert [model.name for model in client.models()] == ["a", "b", "c"]


def test_members_that_the_client_does_not_know_are_ignored():
    body = {"name": "a", "latest_version": "1", "a_member_of_next_year": [1]}

    with answering(
        lambda request: httpx.Response(200, json={"registered_models": [body], "next_page_token": None})
    ) as client:
        assert client.models()[0].latest_version == "1"


def test_a_refused_connection_is_told_with_the_address():
    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    with (
        answering(respond) as client,
        pytest.raises(UnreachableError, match=r"http://api.test: Connection refused") as caught,
    ):
        client.workers()

    assert caught.value.url == "http://api.test"


def test_a_read_after_a_write_waits_for_the_writes_offset():
    call = calls.operation("op-42", 1.5)

    assert dict(call.params) == {"min_control_offset": "42", "wait": "1.500"}
    assert call.held_seconds == 1.5


def test_names_with_slashes_stay_one_segment():
    assert registry_calls.versions("data/wine").first.path == "/api/v1/registered-models/data%2Fwine/versions"


def test_a_publication_is_a_form_with_the_file_and_what_was_said_of_it():
    call = calls.publish(
        b"<PMML/>", "wine", "tree", {"feature_mapping": {"a": "b"}, "type": None, "input_names": ["x", "y"]}
    )

    assert call.path == "/api/v1/registered-models/tree/versions"
    assert call.file == ("model", b"<PMML/>")
    assert call.form == {"data_type": "wine", "feature_mapping": '{"a": "b"}', "input_names": ["x", "y"]}
    assert len(call.headers["Idempotency-Key"]) == 32


def test_a_publication_by_location_is_json_named_after_the_url():
    source = "https://models.test/wine/Tree%20One.pmml?x=1"

    call = calls.publish(None, "wine", None, {"source": source, "sha256": "00", "type": "PMML", "idempotency_key": "k"})

    assert call.path == "/api/v1/registered-models/tree-one/versions"
    assert call.body == {"data_type": "wine", "source": source, "sha256": "00", "type": "PMML"}
    assert dict(call.headers) == {"Idempotency-Key": "k"}
    assert call.file is None


def test_a_publication_needs_either_a_model_or_a_source():
    with pytest.raises(ArtifactError, match="not both"):
        calls.publish(None, "wine", "tree", {})
    with pytest.raises(ArtifactError, match="not both"):
        calls.publish(b"x", "wine", "tree", {"source": "file:///x"})
