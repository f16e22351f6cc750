"""Which engine takes which model type."""

import sys
import textwrap

import pytest

from serving.core.errors import EngineUnavailableError, UnsupportedModelError
from serving.scorers.base import Engine
from serving.scorers.registry import BUILT_IN, EngineRegistry, installed_types


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """A distribution with entry points of our group, installed for the test."""
    package = tmp_path / "shoe_size.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shoe-size\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[sluice.scorers]\nSHOES = shoe_size:ShoeEngine\nPMML = shoe_size:ShoeEngine\n"
        "BROKEN = shoe_size:Nothing\nODD = shoe_size:Odd\n"
    )
    (tmp_path / "shoe_size.py").write_text(
        textwrap.dedent("""
        class ShoeEngine:
            closed = 0
            def load(self, artifact): return artifact
            def close(self): ShoeEngine.closed += 1

        class Odd:
            pass
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("shoe_size", None)


@pytest.mark.parametrize("model_type", sorted(BUILT_IN))
def test_every_built_in_type_has_an_engine_and_always_the_same(model_type):
    registry = EngineRegistry()

    engine = registry.engine_for(model_type)

    assert isinstance(engine, Engine)
    assert registry.engine_for(model_type) is engine
    registry.close()


def test_an_unknown_type_is_refused_with_those_that_are_installed():
    with pytest.raises(UnsupportedModelError, match="'ONNX'; installed are PMML, TENSORFLOW, TENSORFLOWSAVED"):
        EngineRegistry().engine_for("ONNX")


@pytest.mark.usefixtures("third_party")
def test_an_entry_point_brings_an_engine_and_is_closed_with_the_registry():
    registry = EngineRegistry()

    engine = registry.engine_for("SHOES")
    registry.close()
    registry.close()

    assert type(engine).closed == 1
    assert "SHOES" in installed_types()


@pytest.mark.usefixtures("third_party")
def test_a_third_party_cannot_displace_a_built_in_type():
    assert type(EngineRegistry().engine_for("PMML")).__name__ == "PmmlEngine"


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(("model_type", "reason"), [("BROKEN", "Nothing"), ("ODD", "is not an engine")])
def test_an_entry_point_that_does_not_work_is_the_machines_fault(model_type, reason):
    with pytest.raises(EngineUnavailableError, match=reason):
        EngineRegistry().engine_for(model_type)
