"""Methods that are made of the functions that make their calls, and look like them to people and to editors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def named_after(make: Callable[..., Any], method: Method) -> Method:
    """`method`, with the name, the documentation and the parameters of `make` behind its own `self`."""
    found = inspect.signature(make)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = make.__name__
    method.__doc__ = make.__doc__
    method.__signature__ = found.replace(  # type: ignore[attr-defined]  # functions may have one (PEP 362)
        parameters=[itself, *found.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method
