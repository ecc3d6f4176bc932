"""What a launcher hands on, and to what."""

import pytest

from autorec.distributed import launch, roles
from autorec.errors import ConfigurationError


def test_a_job_inherits_what_is_meant_for_any_and_nothing_of_another(monkeypatch):
    for variable in [*roles.HEARTBEAT, "PS_VERBOSE", "AUTOREC_JOIN_TIMEOUT", "MXNET_SEED"]:
        monkeypatch.setenv(variable, "7")
    kept = launch._inherited()
    assert all(kept[each] == "7" for each in roles.HEARTBEAT)
    assert {"PS_VERBOSE", "AUTOREC_JOIN_TIMEOUT", "MXNET_SEED", "PATH"} <= set(kept)
    for variable in ("DMLC_ANYTHING", "DMLC_ROLE", "PS_DROP_MSG", "PORT"):
        monkeypatch.setenv(variable, "7")
    assert launch._inherited() == kept


def test_launch_is_for_training():
    for arguments in ([], ["evaluate", "run/model"]):
        with pytest.raises(ConfigurationError, match="autorec launch -- train"):
            launch.launch(arguments)
