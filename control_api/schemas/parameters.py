"""Parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query

MaxResults = Annotated[int, Query(ge=1, le=1000, description="Most items on a page.")]
PageToken = Annotated[
    str | None, Query(max_length=4096, description="`next_page_token` of the page before, with the same filters.")
]
ModelName = Annotated[str, Path(description="Registered model name.", examples=["wine-tree"], max_length=255)]
VersionNumber = Annotated[
    str,
    Path(
        pattern=r"^([1-9][0-9]{0,17}|latest)$",
        description="Version: a positive integer, or `latest` for the newest.",
        examples=["1"],
    ),
]
DataType = Annotated[str, Path(description="Data type (route key).", examples=["wine"], max_length=255)]
WorkerId = Annotated[str, Path(description="Worker id.", examples=["worker-1"], max_length=255)]
IfNoneMatch = Annotated[
    str | None, Header(description="`ETag` of an earlier answer: 304 without a body if nothing has changed.")
]
LastEventId = Annotated[
    str | None,
    Header(max_length=8192, description="Id of the last event that was seen: go on after it."),
]
Follow = Annotated[bool, Query(description="Stream events as they come; the same as `Accept: text/event-stream`.")]
ReasonParameter = Annotated[str, Query(alias="reason", max_length=4096, description="Why, for the record.")]
AsOf = Annotated[
    str | None,
    Query(
        max_length=64,
        description="RFC 3339: as it was then, instead of now.",
        examples=["2026-03-01T12:00:00Z"],
    ),
]
Filter = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="Only what meets this, in MLflow's grammar: `name LIKE 'wine%' AND tags.team = 'a'`.",
        examples=["name LIKE 'wine%' AND tags.team = 'cellar'"],
    ),
]
OrderBy = Annotated[
    list[str],
    Query(
        max_length=10,
        description="`<attribute> [ASC|DESC]`, repeated or with commas; then by name or number.",
        examples=[["last_updated_timestamp DESC"]],
    ),
]
AliasName = Annotated[str, Path(description="Alias.", examples=["champion"], max_length=128)]
