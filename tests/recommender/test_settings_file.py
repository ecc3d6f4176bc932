"""Settings files: written, read back, and checked as a stranger's."""

import json

import pytest

from autorec import Recommender
from autorec.errors import ConfigurationError
from autorec.recommender.presets import Parameters, preset_parameters
from autorec.recommender.settings_file import read_settings, write_settings


@pytest.fixture
def path(tmp_path):
    return tmp_path / "settings.json"


def test_settings_come_back_but_for_what_belongs_to_a_run(path):
    chosen = preset_parameters(
        "best", num_hidden=[30, 20, 30], view="user", random_state=7, devices="cpu"
    )
    write_settings(path, chosen, {"validation_rmse": 0.9})
    model = Recommender.from_settings(path)
    same = {**vars(chosen), "random_state": 0, "devices": Parameters().devices}
    assert model.get_params() == same
    assert read_settings(path).about == {"validation_rmse": 0.9}
    assert Recommender.from_settings(path, dropout=0.5, random_state=3).dropout == 0.5


def test_settings_of_both_views_come_back(path):
    own = {"num_hidden": 30, "num_epochs": 12, "dropout": 0.125}
    write_settings(path, Parameters(view="both", user_view=own, user_weight=0.25, members=2), {})
    model = Recommender.from_settings(path)
    assert (model.view, model.user_view, model.user_weight, model.members) == ("both", own, 0.25, 2)
    path.write_text(path.read_text().replace('"dropout": 0.125', '"dropout": 7'))
    with pytest.raises(ConfigurationError, match="must be below 1, not 7"):
        Recommender.from_settings(path)


def test_settings_are_replaced_whole(path):
    write_settings(path, Parameters(), {})
    with pytest.raises(ValueError, match="JSON"):
        write_settings(path, Parameters(), {"rmse": float("nan")})
    assert read_settings(path).about == {}
    assert [each.name for each in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"dropout": 2}}, "dropout .* must be below 1, not 2"),
        ({"parameters": {"dropout": "0.1"}}, "must be a finite number"),
        ({"parameters": {"hidden": 5}}, "a parameter 'hidden' that this release does not know"),
        ({"parameters": {"__class__": 5}}, "a parameter '__class__' that"),
        ({"parameters": ["view"]}, "it has no parameters by name"),
        ({"format": 2}, "is of another format than 1"),
        ({"about": 3}, "it has no parameters by name"),
    ],
)
def test_settings_of_a_stranger_are_checked(path, change, said):
    path.write_text(json.dumps({"format": 1, "parameters": {}, "about": {}, **change}))
    with pytest.raises(ConfigurationError, match=said) as error:
        Recommender.from_settings(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 200_000, b'{"parameters": {}}' + b" " * 2**20],
)
def test_what_is_no_settings_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"is no settings file|no parameters"):
        read_settings(path)


def test_a_file_that_is_missing_is_said(path):
    with pytest.raises(ConfigurationError, match="cannot be read .No such file"):
        read_settings(path)
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read .Is a directory"):
        read_settings(path)
