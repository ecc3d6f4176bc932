import numpy
import pandas as pd
import pytest

from autorec import Interactions, Ratings, accuracy, evaluate, predict_cells
from autorec._mxnet import mx, nn
from autorec.errors import ConfigurationError


class Plus(nn.Block):
    """Predicts input + column + 0.5: known for every cell without training."""

    def forward(self, ratings):
        columns = mx.np.arange(ratings.shape[1], ctx=ratings.ctx)
        return ratings + columns + 0.5


def random_parts(rng, items=11, users=6):
    dense = rng.integers(-1, 4, (items, users)).astype("float32")
    kind = rng.integers(0, 3, (items, users))  # 0 unrated, 1 train, 2 test
    item, user = kind.nonzero()
    ratings = Ratings.from_frame(
        pd.DataFrame({"user": user, "item": item, "rating": dense[item, user]}),
        nonpositive="keep",
    )
    in_train = kind[item, user] == 1
    parts = [Interactions.from_ratings(ratings.take(p)) for p in (in_train, ~in_train)]
    return (*parts, dense * (kind == 1), dense, kind == 2)


def test_accuracy_by_hand():
    result = accuracy(numpy.array([1.0, 2.0, 5.0]), numpy.array([2.0, 2.0, 3.0]))
    assert result.rmse == pytest.approx((5 / 3) ** 0.5)
    assert result.mae == pytest.approx(1.0)
    assert result.count == 3


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_rmse_over_uneven_batches_and_devices_is_numpys(rng, batch_size, count):
    train, test, inputs, truth, wanted = random_parts(rng)
    predictions = inputs + numpy.arange(6) + 0.5
    errors = (predictions - truth)[wanted]
    devices = [mx.cpu(i) for i in range(count)]
    result = evaluate(Plus(), train, test, devices, batch_size)
    assert result.rmse == pytest.approx(float(numpy.sqrt((errors**2).mean())), rel=1e-6)
    assert result.mae == pytest.approx(float(abs(errors).mean()), rel=1e-6)
    assert result.count == wanted.sum()
    numpy.testing.assert_allclose(
        predict_cells(Plus(), train, test, devices, batch_size), predictions[wanted], rtol=1e-6
    )


def test_nothing_to_compare_is_an_error(rng):
    train, test, *_ = random_parts(rng)
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        accuracy(numpy.array([]), numpy.array([]))
    nothing = Interactions(test.matrix * 0)
    nothing.matrix.eliminate_zeros()
    with pytest.raises(ConfigurationError, match="0 ratings"):
        evaluate(Plus(), train, nothing)
    with pytest.raises(ConfigurationError, match="one view"):
        evaluate(Plus(), train, Interactions(test.matrix.T.tocsr(), "user"))
