"""What runs on CPU contexts elsewhere, on GPUs: pytest -m gpu; skipped where there is none."""

import numpy
import pytest
from scipy.sparse import csr_matrix

import autorec
from autorec._mxnet import mx

NUMBER = mx.context.num_gpus()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(NUMBER == 0, reason="there is no GPU")]


@pytest.fixture
def parts(rng):
    low_rank = 3 + rng.standard_normal((80, 2)) @ rng.standard_normal((2, 60))
    stars = low_rank.round().clip(1, 5) * (rng.random((80, 60)) < 0.4)
    return autorec.random_split(autorec.Ratings.from_sparse(csr_matrix(stars)), 0.2, seed=0)


def test_the_gpus_are_found():
    assert autorec.try_all_gpus() == [mx.gpu(number) for number in range(NUMBER)]


@pytest.mark.parametrize("preset", ["section", "best"])
@pytest.mark.parametrize("devices", [["gpu:0"], ["gpu"]])
@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_gpus_give_what_the_cpu_gives(parts, preset, devices, compute, tmp_path):
    train, test = parts
    rmse = {}
    for each in ["cpu", *devices]:
        model = autorec.Recommender.preset(
            preset,
            num_hidden=16,
            num_epochs=20,
            batch_size=16,
            dropout=0.0,
            devices=each,
            compute=compute,
        ).fit(train)
        assert model.net_.decoder.weight.list_ctx() == autorec.contexts(each)
        predicted = model.predict(*test.pairs())
        rmse[each] = autorec.accuracy(predicted, test.values).rmse
        # Saved on a GPU, loaded on the CPU.
        again = autorec.Recommender.load(model.save(tmp_path / each.replace(":", "")), "cpu")
        numpy.testing.assert_allclose(again.predict(*test.pairs()), predicted, atol=1e-3)
    assert list(rmse.values()) == pytest.approx([rmse["cpu"]] * len(rmse), abs=2e-3)
