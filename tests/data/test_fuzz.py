"""Tables as strangers write them: a right answer, or a sentence of the library's own."""

import re
import warnings

import numpy
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import times

from autorec import Recommender, read_ratings
from autorec.data.reading import read_pairs
from autorec.errors import AutorecError


def examples(count):
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


IDS = st.one_of(st.integers(-3, 30), st.sampled_from(["Ann", "", "NA", "ä", "7", "1e3", "a,b"]))
VALUES = st.one_of(
    st.integers(1, 5),
    st.sampled_from([0, -1, 0.5, 1e30, 1e39, "", "x", "nan", "inf", None, "3,5", "٣"]),
)
FIELD = st.one_of(IDS.map(str), VALUES.map(str), st.text(max_size=4))
GOOD = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2.5, 5]))
ROWS = st.one_of(
    st.lists(st.tuples(IDS, IDS, VALUES), max_size=12),
    st.lists(GOOD, min_size=1, max_size=20, unique_by=lambda row: row[:2]),
)
LINES = st.one_of(
    st.lists(st.lists(FIELD, max_size=5), max_size=8),
    st.lists(GOOD, min_size=1, max_size=8, unique_by=lambda row: row[:2]).map(
        lambda rows: [[str(field) for field in row] for row in rows]
    ),
)


def one_sentence(error, naming=""):
    text = str(error)
    assert str(naming) in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert re.search(r"[.)]$", text), text


@times(60, 500)
def test_any_file_is_read_or_refused(times, tmp_path_factory, soaked):
    attack = given(lines=LINES, data=st.data())(read_or_refuse)
    examples(times)(attack)(folder=tmp_path_factory.mktemp("fuzz"))
    soaked("odd files read, or refused", times)


def read_or_refuse(lines, data, folder):
    separator = data.draw(st.sampled_from([",", "\t", "::", ";", " ", "|"]))
    path = folder / "ratings.txt"
    content = "\n".join(separator.join(line) for line in lines).encode("utf-8", "surrogatepass")
    path.write_bytes(
        content + data.draw(st.sampled_from([b"", b"\n", b"\xff", b"\x1f\x8b", b"\0"]))
    )
    for read in (read_ratings, read_pairs):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = read(path)
        except AutorecError as error:
            one_sentence(error, naming=path)
            continue
        assert len(table) > 0
        if read is read_ratings:
            assert numpy.isfinite(table.values).all()
            assert (table.values > 0).all()


@times(25, 500)
@pytest.mark.filterwarnings("ignore:Row . asks for:UserWarning")
def test_any_table_is_fitted_and_predicted_or_refused(times, soaked):
    attack = given(rows=ROWS, view=st.sampled_from(["item", "user"]), data=st.data())
    examples(times)(attack(fit_and_predict_or_refuse))()
    soaked("odd tables read, fitted and predicted, or refused", times)


def fit_and_predict_or_refuse(rows, view, data):
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    model = Recommender(
        view=view, num_hidden=3, num_epochs=2, clip=True, devices="cpu", batch_size=4
    )
    try:
        model.fit(frame)
    except AutorecError as error:
        one_sentence(error)
        return
    users, items = model.ratings_.pairs()
    predicted = model.predict(users, items)
    low, high = model.scale_
    assert predicted.shape == users.shape
    assert ((low <= predicted) & (predicted <= high)).all()
    found = model.recommend(k=3)
    assert not set(zip(found["user"], found["item"])) & set(zip(users, items))
    asked = data.draw(st.lists(IDS, min_size=1, max_size=3))
    answer = model.predict(asked, asked, unknown="fallback")
    assert ((low <= answer) & (answer <= high)).all()
    for one, expected in zip(asked, answer):  # whatever stands beside it
        numpy.testing.assert_allclose(
            model.predict([one], [one], unknown="fallback"), [expected], atol=1e-5
        )
    try:
        model.update(pd.DataFrame(data.draw(ROWS), columns=["user", "item", "rating"]))
    except AutorecError as error:
        one_sentence(error)
    assert len(model.predict(users, items)) == len(users)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"user,item,rating\n", b"1,2\n", b"\x00" * 50])
def test_nothing_much_is_refused(content, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(AutorecError, match=r"ratings\.csv"):
        read_ratings(path)
