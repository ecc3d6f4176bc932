"""A hyperparameter is declared once: from its field comes every place where it is named."""

import re
from dataclasses import fields

import pytest
from support.command_line import command_line
from support.training import learned

from autorec import AutoRec, Interactions, Recommender, fit, model
from autorec._mxnet import mx
from autorec.errors import ConfigurationError
from autorec.recommender.presets import PRESETS, Parameters
from autorec.training.settings import Settings

# Run on a copy of the library, in whose settings one field more is declared.


SENTENCES = {
    "--lr": (-1, r"learning_rate \(--lr\) must be above 0, not -1"),
    "--epochs": (0, r"num_epochs \(--epochs\) must be at least 1, not 0"),
    "--hidden": (0, r"num_hidden \(--hidden\) must be at least 1, not 0"),
    "--batch-size": (0, r"batch_size \(--batch-size\) must be at least 1, not 0"),
    "--encoder": ("tan", r"encoder_activation \(--encoder\) must be 'identity', .* not 'tan'"),
    "--optimizer": ("adamant", r"optimizer \(--optimizer\) must be .*'adam', .* not 'adamant'"),
    "--patience": (3, "--patience needs validation ratings; give --validation-ratio"),
}


@pytest.mark.parametrize("flag", SENTENCES)
def test_what_cannot_be_used_is_one_sentence_before_data_are_read(flag, monkeypatch, capsys):
    value, said = SENTENCES[flag]
    assert command_line(monkeypatch, "--ratings", "nowhere.csv", flag, value) == 2
    heard = capsys.readouterr().err
    assert re.search(said, heard), heard
    assert heard.count("\n") == 1


@pytest.mark.parametrize("flag", [flag for flag in SENTENCES if flag != "--patience"])
def test_python_says_the_same(flag):
    value, said = SENTENCES[flag]
    names = {f"{each.name} ({flag})": each.name for each in fields(Parameters)}
    (name,) = (names[key] for key in names if key in said.replace("\\", ""))
    with pytest.raises(ConfigurationError, match=said):
        Recommender(**{name: value})
    if name in {each.name for each in fields(Settings)}:
        inputs = Interactions.from_ratings(learned())
        with pytest.raises(ConfigurationError, match=said):
            fit(AutoRec(2, inputs.shape[1]), inputs, **{name: value})


def test_patience_without_validation_is_refused_in_python_too():
    with pytest.raises(ConfigurationError, match="patience needs validation ratings"):
        Recommender(patience=3, num_hidden=2, devices="cpu").fit(learned())


def test_the_names_to_choose_from_are_mxnets_and_the_models():
    known = set(mx.optimizer.Optimizer.opt_registry) - {"test", "groupadagrad"}
    choices = {each.name: each.metadata["choices"] for each in fields(Parameters)}
    assert set(choices["optimizer"]) == known
    assert choices["encoder_activation"] == choices["decoder_activation"] == (*model.ACTIVATIONS,)


def test_the_help_has_the_defaults_of_each_preset(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    assert command_line(monkeypatch, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"[section: 25; paper, best: {PRESETS['paper']['num_epochs']}]" in said
    assert "[default: 256]" in said


def test_parameters_of_presets_are_parameters():
    for preset in PRESETS.values():
        Parameters(**preset)
