"""Artifacts at `http(s):` locations: from configured hosts only, every redirect checked anew, bounded in size and time.

The bytes are taken as they are sent: compression is declined, so that what is counted is what arrives.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from model_store.core.errors import (
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    FetchFailedError,
    LocationRefusedError,
)
from model_store.policy import FetchPolicy

_WORTH_ANOTHER_TRY: Final = {408, 425, 429}
_REDIRECTS: Final = {301, 302, 303, 307, 308}


def check_host(location: str, policy: FetchPolicy) -> None:
    """Prove that a location names a configured host.

    Raises:
        LocationRefusedError: It does not, or it carries credentials.
    """
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LocationRefusedError(location, f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise LocationRefusedError(location, "not an `http:` or `https:` URL")
    if parts.username is not None or parts.password is not None:
        raise LocationRefusedError(location, "a location must not carry credentials: the log is read by many")
    names = {host, f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"}
    if names.isdisjoint(entry.lower() for entry in policy.http_hosts):
        allowed = ", ".join(policy.http_hosts) or "none is"
        raise LocationRefusedError(location, f"host {host} is not among the configured ones ({allowed})")


def download(location: str, policy: FetchPolicy) -> bytes:
    """The bytes at a location.

    Raises:
        LocationRefusedError: It, or a redirect, leads to a host that is not configured, or from `https:` to `http:`.
        ArtifactNotFoundError: The host does not give it out.
        ArtifactTooLargeError: It is over the limit; reading stopped there.
        FetchFailedError: The network or the host failed, or it took too long.
    """
    deadline = time.monotonic() + policy.http_seconds
    url = location
    try:
        with httpx.Client(follow_redirects=False, timeout=policy.idle_seconds) as client:
            for _ in range(policy.redirects + 1):
                check_host(url, policy)
                with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
                    if response.status_code not in _REDIRECTS:
                        return _body(location, response, policy, deadline)
                    url = _redirected(location, url, response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailedError(location, f"{type(error).__name__}: {error}") from error
    raise FetchFailedError(location, f"more than {policy.redirects} redirects")


def _redirected(location: str, url: str, response: httpx.Response) -> str:
    target = urljoin(url, str(response.headers.get("Location", "")))
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise LocationRefusedError(location, f"it redirects from https to {target}")
    return target


def _body(location: str, response: httpx.Response, policy: FetchPolicy, deadline: float) -> bytes:
    _check_status(location, response.status_code)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchFailedError(location, "the host compresses, though it was asked not to")
    what = f"the artifact at {location}"
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > policy.artifact_bytes:
        raise ArtifactTooLargeError(what, int(announced), policy.artifact_bytes)
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > policy.artifact_bytes:
            raise ArtifactTooLargeError(what, len(body), policy.artifact_bytes, is_lower_bound=True)
        if time.monotonic() > deadline:
            raise FetchFailedError(location, f"the download took longer than {policy.http_seconds:g} s")
    return bytes(body)


def _check_status(location: str, status: int) -> None:
    if status == 200:
        return
    if status >= 500 or status in _WORTH_ANOTHER_TRY:
        raise FetchFailedError(location, f"the host answered {status}")
    raise ArtifactNotFoundError(location, f"the host answered {status}")
