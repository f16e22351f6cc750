import numpy as np
import pytest

from model_store.core.signature import FeatureSlot, Signature
from serving.core.binding import bind
from serving.core.columns import TextColumn
from serving.core.errors import SignatureError

FIELDS = ("fixed_acidity", "pH", "alcohol")


def signature(*slots: FeatureSlot) -> Signature:
    return Signature((), (), slots)


def vector(width: int) -> Signature:
    return signature(*[FeatureSlot(None)] * width)


def test_named_slots_take_fields_of_the_same_name_in_the_models_order():
    binding = bind(signature(FeatureSlot("alcohol"), FeatureSlot("pH")), FIELDS, ())

    taken = binding.features(np.array([[1.0, 2.0, 3.0]]), ())

    assert taken.matrix.tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize("name", ["fixed acidity", "Fixed-Acidity", "FIXED_ACIDITY"])
def test_case_blanks_and_dashes_do_not_matter(name):
    assert bind(signature(FeatureSlot(name)), FIELDS, ()).numbers.tolist() == [0]


def test_an_exact_name_wins_over_a_similar_one():
    assert bind(signature(FeatureSlot("ph")), ("pH", "ph"), ()).numbers.tolist() == [1]


def test_a_name_that_matches_two_fields_is_refused():
    with pytest.raises(SignatureError, match="'Ph' matches pH, ph"):
        bind(signature(FeatureSlot("Ph")), ("pH", "ph"), ())


def test_every_missing_field_is_named_with_the_fields_there_are():
    with pytest.raises(SignatureError, match=r"'colour', 'taste'; its number fields are: fixed_acidity, pH, alcohol"):
        bind(signature(FeatureSlot("colour"), FeatureSlot("pH"), FeatureSlot("taste")), FIELDS, ())


def test_a_mapping_overrules_names():
    binding = bind(signature(FeatureSlot("x1")), FIELDS, (), {"x1": "alcohol"})

    assert binding.numbers.tolist() == [2]


def test_a_vector_takes_the_streams_fields_in_order():
    assert bind(vector(3), FIELDS, ()).numbers is None


def test_a_vector_takes_the_mappings_fields_in_order():
    assert bind(vector(2), FIELDS, (), ["alcohol", "pH"]).numbers.tolist() == [2, 1]


def test_a_vector_of_another_width_is_refused_with_both_widths():
    with pytest.raises(SignatureError, match="vector of 4 numbers and the stream gives 3"):
        bind(vector(4), FIELDS, ())


def test_an_optional_slot_without_a_field_is_missing_in_every_row():
    binding = bind(signature(FeatureSlot("pH"), FeatureSlot("x", is_optional=True)), FIELDS, ())

    taken = binding.features(np.ones((2, 3)), ())

    assert np.isnan(taken.matrix[:, 1]).all()
    assert taken.matrix[:, 0].tolist() == [1.0, 1.0]


def test_text_slots_take_text_fields():
    colours = TextColumn(np.array([0, 1]), ["red", "white"])
    binding = bind(signature(FeatureSlot("colour", is_text=True)), FIELDS, ("kind", "colour"))

    taken = binding.features(np.ones((2, 3)), (TextColumn(np.zeros(2, np.int64), ["a"]), colours))

    assert taken.texts == (colours,)
