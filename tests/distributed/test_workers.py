"""What each of several workers draws."""

import pytest
from support.training import trained

from autorec.distributed.workers import Workers
from autorec.errors import ConfigurationError
from autorec.training.loop import epoch_seed


def test_workers_draw_dropout_of_their_own():
    assert epoch_seed(3, 1, 0) != epoch_seed(3, 1, 1)


def test_an_optimizer_that_draws_is_for_one_worker():
    class Two(Workers):
        count = property(lambda self: 2, lambda self, value: None)

    with pytest.raises(ConfigurationError, match="sgld draws"):
        trained(optimizer="sgld", workers=Two())
