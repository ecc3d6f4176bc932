"""What the tests of processes share."""

from pathlib import Path

import pytest
from support.training import SMALL, films

from autorec import Recommender


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that was saved, to be copied."""
    model = Recommender(**SMALL).fit(films())
    return model.save(tmp_path_factory.mktemp("saved") / "model")
