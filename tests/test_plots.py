"""Plots: what can be seen in them."""

import numpy as np
import pandas as pd
import pytest

from autorec import plots
from autorec.training.history import Epoch, History


def history(train, validation=None, test=None):
    epochs = []
    for number, rmse in enumerate(train):
        held_out = (None if each is None else each[number] for each in (validation, test))
        epochs.append(Epoch(number + 1, rmse, *held_out, 1.0, 1.0, 1.0))
    return History(epochs)


def drawn(*columns):
    figure = plots.learning_curve(history(*columns))
    figure.draw_without_rendering()
    return figure


FALL = [2.4, 1.8, 1.2, 1.05, *np.linspace(1.0, 0.84, 21)]
OVERFIT = [1.7, 1.1, 1.2, 1.04, *np.linspace(1.0, 0.9, 11), *np.linspace(0.91, 0.95, 10)]


def test_what_comes_after_the_first_epochs_fills_the_picture():
    (axes,) = drawn(FALL, None, OVERFIT).axes
    bottom, top = axes.get_ylim()
    later = np.concatenate([FALL[4:], OVERFIT[4:]])
    assert bottom < later.min() < later.max() < top
    assert np.ptp(later) > 0.8 * (top - bottom)
    assert "epoch 1: train 2.40, test 1.70" in axes.texts[0].get_text()


@pytest.mark.parametrize("train", [FALL[:1], FALL[:5], [1.0, 1.0, 1.0], [*FALL, 50.0, 9e3]])
def test_no_line_is_cut_off_without_need(train):
    (axes,) = drawn(train).axes
    bottom, top = axes.get_ylim()
    assert bottom < min(train) <= max(train) < top
    assert len(axes.texts) == 1


def test_the_lowest_point_of_each_line_has_a_ring():
    (axes,) = drawn(FALL, None, OVERFIT).axes
    rings = [line.get_xydata().tolist() for line in axes.lines if line.get_markersize() > 3]
    assert rings == [[[25, 0.84]], [[15, 0.9]]]
    assert "test 0.950\nlowest 0.900\nin epoch 15" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    "columns",
    [(FALL, FALL, FALL), (FALL, OVERFIT, OVERFIT), (OVERFIT, None, FALL), ([1.0], [1.0], [1.0])],
)
def test_the_names_stand_beside_the_lines_apart_and_in_the_picture(columns):
    figure = drawn(*columns)
    (axes,) = figure.axes
    names = [text for text in axes.texts if "above" not in text.get_text()]
    boxes = [text.get_window_extent() for text in names]
    assert len(boxes) == sum(column is not None for column in columns)
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
    for box in boxes:
        assert axes.bbox.x1 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_models_that_met_the_same_ratings_share_a_panel_and_each_source_its_mark():
    table = pd.DataFrame(
        [
            ["MF", 0.92, 0.01, "0.93, a paper", "random"],
            ["AutoRec", 0.90, 0.02, "0.89, another, with a comma", "random"],
            ["AutoRec", 0.91, np.nan, "", "u1"],
            ["MF, again", 0.94, np.nan, "0.95, a paper", "u1"],
        ],
        columns=["model", "rmse", "interval", "published", "panel"],
    )
    figure = plots.rmse_by_model(table, "Films")
    figure.draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["random", "u1"]
    found = {}
    for axes in figure.axes:
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first model is at the top"
        names = [tick.get_text() for tick in axes.get_yticklabels()]
        for line in axes.lines:
            for x, y in line.get_xydata():
                found.setdefault(line.get_marker(), []).append((names[round(y - 0.1)], x))
    assert found["o"] == [("MF", 0.92), ("AutoRec", 0.9), ("AutoRec", 0.91), ("MF, again", 0.94)]
    assert found["D"] == [("MF", 0.93), ("MF, again", 0.95)]
    assert found["s"] == [("AutoRec", 0.89)]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["here, with the 95 % interval", "a paper", "another, with a comma"]
    assert len(plots.rmse_by_model(table.drop(columns="panel"), "Films").axes) == 1
