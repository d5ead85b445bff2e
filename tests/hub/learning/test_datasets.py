"""Vectors are those that a gateway computes; what is held out shares nothing with what is trained with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.learning.readings import START, series, source
from vedette_hub.learning import vectors
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.hygiene import Mark, Period
from vedette_hub.learning.sources import synthetic
from vedette_hub.learning.vectors import window_vectors
from vedette_models.features import FEATURES, WindowFeatures
from vedette_models.readings import ReadingBatch

LABELS = ((1000, Mark.ANOMALOUS), (3000, Mark.ANOMALOUS), (2000, Mark.FALSE_ALARM))


def one_by_one(part: Series, width: int) -> dict[int, np.ndarray]:
    """Vectors as a gateway has them: reading after reading."""
    channels = part.values.shape[1]
    features = WindowFeatures(channels, width, 1)
    found = {}
    for i in range(len(part)):
        batch = ReadingBatch.of([0], part.times[i : i + 1], part.values[i : i + 1])
        vector = features.update(batch)[0].reshape(channels, len(FEATURES))
        vector[np.isnan(part.values[i])] = np.nan
        if not np.isnan(vector[:, 0]).all():
            found[i] = vector.reshape(-1)
    return found


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    missing=st.floats(0.0, 0.8),
    width=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_pieces_side_by_side_give_the_vectors_of_one_reading_after_the_other(
    lengths: list[int], missing: float, width: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    parts = []
    for length in lengths:
        values = draw.normal(1013.25, 0.01, (length, 2))
        values[draw.random((length, 2)) < missing] = np.nan
        parts.append(Series("d", np.arange(float(length)), values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "PIECE", 7)
        patch.setattr(vectors, "_GROUP_VALUES", 50)
        patch.setattr(vectors, "LONGEST_LEAD", 1000)
        found, windows = window_vectors(parts, 2, width, 10**6, 1, lambda done: None)
    expected = {(s, p): vector for s, part in enumerate(parts) for p, vector in one_by_one(part, width).items()}
    keys = list(zip(found.series.tolist(), found.position.tolist(), strict=True))
    assert sorted(keys) == sorted(expected)
    assert windows == len(expected)
    for key, vector in zip(keys, found.features, strict=True):
        np.testing.assert_array_equal(vector, expected[key])


def test_what_is_held_out_shares_no_reading_with_what_is_trained_with() -> None:
    dataset = build(source(series(1, 3000), series(2, 40), series(3, 700)), width=16, at_least=200, at_most=10**6)
    readings: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    for held, one, last in zip(dataset.held_out, dataset.vectors.series, dataset.vectors.position, strict=True):
        readings[bool(held)] |= {(int(one), reading) for reading in range(int(last) - 15, int(last) + 1)}
    assert readings[True]
    assert not readings[True] & readings[False]
    assert 0.1 < dataset.held_out.mean() < 0.25


def test_a_dataset_is_named_by_what_it_holds() -> None:
    options = {"width": 16, "at_least": 200, "at_most": 10**6}
    names = [
        build(source(series(1), series(2)), **options).sha256,
        build(source(series(2), series(1)), **options).sha256,
        build(source(series(1), series(3)), **options).sha256,
        build(source(series(1), series(2)), **{**options, "width": 8}).sha256,
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_of_too_many_windows_some_are_drawn_and_that_is_said() -> None:
    dataset = build(source(series(1, 5000)), width=16, at_least=200, at_most=1000)
    assert 700 < len(dataset.vectors.series) < 1200
    assert dataset.windows == 4985
    assert any(note.what == "vectors" and "4985" in note.reason for note in dataset.notes)
    again = build(source(series(1, 5000)), width=16, at_least=200, at_most=1000)
    np.testing.assert_array_equal(dataset.vectors.position, again.vectors.position)


def test_of_too_many_windows_none_that_is_labelled_is_left_out() -> None:
    known = [Period("pump-1", START + 60.0 * at, START + 60.0 * (at + 5), mark) for at, mark in LABELS]
    found = replace(source(series(1, 5000)), periods=tuple(known))
    dataset = build(found, width=16, at_least=200, at_most=1000)
    assert (dataset.anomalous.sum(), dataset.excused.sum()) == (2 * (6 + 15), 6 + 15)
    assert 700 < len(dataset.vectors.series) < 1200


def refused(found: Source, at_least: int = 200) -> str:
    with pytest.raises(TrainingRefusedError) as caught:
        build(found, width=16, at_least=at_least, at_most=10**6)
    return str(caught.value)


def test_too_little_data_is_refused_with_what_was_seen_and_what_is_needed() -> None:
    text = refused(source(series(1, 100), series(2, 10)))
    assert "85 full windows of 16 readings in 110 of 110 readings of 2 devices; at least 200 are needed" in text
    assert "0 of 0 readings" in refused(source(series(1, 0)))


def test_too_little_is_left_when_the_rest_is_broken_and_that_is_said() -> None:
    broken = series(1, 400)
    broken.values[50:] = np.nan
    assert "350 readings: reports no channel: left out" in refused(source(broken))
    still = replace(series(1, 400), times=np.full(400, 5.0))
    assert "399 readings: its device has another reading at that time" in refused(source(still, series(2, 100)))


def test_data_in_which_nothing_changes_is_refused() -> None:
    flat = replace(series(1, 400), values=np.column_stack([np.full(400, 7.0), np.full(400, np.nan)]))
    text = refused(source(flat))
    assert "no channel of which anything can be learnt" in text
    assert "pressure always 7" in text
    assert "flow never reported" in text


def test_known_anomalies_are_judged_but_not_trained_with() -> None:
    dataset = build(synthetic.generate("s", 2000, 2), width=16, at_least=200, at_most=10**6)
    labels = dataset.source.anomalous
    assert labels is not None
    for number, last, anomalous in zip(
        dataset.vectors.series, dataset.vectors.position, dataset.anomalous, strict=True
    ):
        assert anomalous == labels[number][max(0, last - 15) : last + 1].any()
    assert dataset.anomalous.any()
    assert not (dataset.trained & dataset.anomalous).any()
