"""What serves now: the one object of a worker that changes.

A swap is one assignment of one mapping, on the event loop's thread, after the new scorer is loaded, checked and warm. A
batch takes the models it needs from the mapping once (`lease`) and gives them back when its results are made; a model
that was replaced is closed when its last lease is given back, off the loop.

`LiveModels` belongs to the event loop's thread. Scorers run where the pipeline puts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from serving.core.binding import Binding
from serving.scorers.base import Scorer


@dataclass(slots=True)
class LiveModel:
    """A loaded model in its place.

    Attributes:
        data_type: What it serves.
        model: Registered name.
        version: As every reader of the log counts it.
        sha256: Digest of the artifact, 32 bytes.
        control_offset: Position of its descriptor on the control log.
        scorer: Loaded, checked, warm.
        bindings: Stream name -> how its fields fill the model's slots. A stream that cannot fill them is not in it.
        unbound: Stream name -> why it cannot.
        turn: Held while a thread scores with it: one batch at a time.
        leases: Batches that hold it.
        is_replaced: Its last lease closes it.
    """

    data_type: str
    model: str
    version: int
    sha256: bytes
    control_offset: int
    scorer: Scorer
    bindings: Mapping[str, Binding]
    unbound: Mapping[str, str] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    leases: int = 0
    is_replaced: bool = False


class LiveModels:
    """Data type -> the model that serves it."""

    def __init__(self, close: Callable[[LiveModel], None]) -> None:
        """`close` is called on the loop's thread for each model that was replaced or retired, after its last batch."""
        self._close = close
        self._by_type: Mapping[str, LiveModel] = MappingProxyType({})

    @property
    def by_type(self) -> Mapping[str, LiveModel]:
        """A snapshot that never changes; the next swap makes another."""
        return self._by_type

    def swap_in(self, model: LiveModel) -> LiveModel | None:
        """From here on `model` serves its data type. Returns the one it replaced, if any."""
        old = self._by_type.get(model.data_type)
        self._by_type = MappingProxyType({**self._by_type, model.data_type: model})
        self._replace(old)
        return old

    def retire(self, data_type: str) -> LiveModel | None:
        """From here on nothing serves `data_type`. Returns what did, if anything."""
        old = self._by_type.get(data_type)
        self._by_type = MappingProxyType({key: model for key, model in self._by_type.items() if key != data_type})
        self._replace(old)
        return old

    def lease(self, data_type: str) -> LiveModel | None:
        """The model of a data type, kept open until it is given back."""
        model = self._by_type.get(data_type)
        if model is not None:
            model.leases += 1
        return model

    def give_back(self, model: LiveModel) -> None:
        """End a lease; the last lease of a replaced model closes it."""
        model.leases -= 1
        if model.is_replaced and model.leases == 0:
            self._close(model)

    def _replace(self, old: LiveModel | None) -> None:
        if old is None:
            return
        old.is_replaced = True
        if old.leases == 0:
            self._close(old)
