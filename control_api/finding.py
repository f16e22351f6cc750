"""Finding what a path names: a model, a version, a list that is filtered and ordered; or the problem that it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from control_api.core.models import kept_versions
from control_api.core.search import Attributes, Found, InvalidSearchError, compile_filter, compile_order
from control_api.core.snapshot import Snapshot
from control_api.errors import INVALID, NOT_FOUND, ApiError
from control_api.pages import Key, in_order, page
from model_store.core import versions

Item = TypeVar("Item")


def find_model(snapshot: Snapshot, name: str) -> versions.RegisteredModel:
    """The model of this name.

    Raises:
        ApiError: `NOT_FOUND` if there is none, or it was deleted.
    """
    model = snapshot.catalogue.models.get(name)
    if model is None or model.is_deleted:
        raise ApiError(NOT_FOUND, f"there is no registered model {name!r}")
    return model


def find_version(snapshot: Snapshot, name: str, number: str) -> versions.ModelVersion:
    """A version by number, or `latest`.

    Raises:
        ApiError: `NOT_FOUND` if there is none, or it was deleted.
    """
    model = find_model(snapshot, name)
    kept = kept_versions(snapshot.catalogue, model)
    found = (kept[0] if kept else None) if number == "latest" else model.versions.get(int(number))
    if found is None or (number != "latest" and found not in kept):
        newest = f"the newest is {kept[0].version}" if kept else "it has none"
        raise ApiError(NOT_FOUND, f"{model.name} has no version {number}; {newest}")
    return found


def searched(
    items: Iterable[Item],
    attributes: Attributes[Item],
    filter: str | None,
    order_by: Sequence[str],
    last: Callable[[Item], Key],
    size: int,
    token: str | None,
    filters: Mapping[str, object],
) -> tuple[list[Item], str | None]:
    """A page of the items that meet a filter, in the order that is asked for, and the token of the next page.

    Args:
        items: All of them.
        attributes: What they can be searched by.
        filter: See `search`.
        order_by: See `search`.
        last: What puts those in order that are equal otherwise; unique.
        size: Most items.
        token: Of the page before.
        filters: What the token is bound to, besides `filter` and `order_by`.

    Raises:
        ApiError: `INVALID` for a filter or an order that is none, `PAGE_TOKEN` for a wrong token.
    """
    try:
        is_wanted = compile_filter(filter or "", attributes)
        orders = compile_order(order_by, attributes)
    except InvalidSearchError as error:
        parameter = "order_by" if "order_by" in str(error) else "filter"
        pointed = ({"pointer": f"/query/{parameter}", "detail": str(error)},)
        raise ApiError(INVALID, str(error), errors=pointed) from error

    def key(item: Item) -> Key:
        return (*(_sortable(order.get(item)) for order in orders), *last(item))

    descending = [order.is_descending for order in orders]
    found = in_order((item for item in items if is_wanted(item)), key, descending)
    bound = {**filters, "filter": filter, "order_by": ",".join(order_by) or None}
    return page(found, key, size, token, bound, descending)


def _sortable(found: Found) -> str | int | float:
    if found is None:
        return ""
    return found if isinstance(found, str | int | float) else ",".join(found)
