"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import pytest
from deployment import Deployment, make_deployment

from sluice.stack.ports import free_port


@pytest.fixture
def deployment(kafka, tmp_path) -> Iterator[Deployment]:
    """Fresh topics with four partitions; all workers are stopped afterwards."""
    made = make_deployment(kafka, tmp_path, free_port, 4)
    yield made
    made.stop_all()
