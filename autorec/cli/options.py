"""Options: those that commands share, and the flags of hyperparameters, made from the fields."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Callable, Optional, Union, get_args, get_origin, get_type_hints

import typer

from ..errors import ConfigurationError
from ..recommender.presets import PRESETS, Parameters
from ..training.settings import Settings, flag_of
from .help import MODEL, TRAINING, WHERE


def with_options(
    *, before: Sequence[inspect.Parameter] = (), after: Sequence[inspect.Parameter] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, in place of its ``**options``, options before and after its own."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature, hints = inspect.signature(command), get_type_hints(command)
        own = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name])
            for each in signature.parameters.values()
            if each.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        parameters = [*before, *own, *after]

        def decorated(**options: object) -> None:
            command(**options)

        decorated.__doc__, decorated.__name__ = command.__doc__, command.__name__
        decorated.__annotations__ = {each.name: each.annotation for each in parameters}
        decorated.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return decorated

    return decorate


def option(name: str, kind: object, declared: object) -> inspect.Parameter:
    """Return an option for `with_options`: its name, its type, and what typer.Option returned."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=declared, annotation=kind)


def hyperparameters(
    left_out: Callable[[Field[object]], str] | None = None,
) -> list[inspect.Parameter]:
    """Return an option for each hyperparameter.

    Parameters
    ----------
    left_out : callable, optional
        Says of a hyperparameter what it is if it is not given; that of each preset by default.
    """
    return [_option(each, left_out or _defaults) for each in _flagged()]


def given(options: Mapping[str, object]) -> dict[str, object]:
    """Return the hyperparameters that options give, by their names; the others are the preset's."""
    found = {}
    for each in _flagged():
        value = options[option_name(each)]
        if value is not None:
            parse = _TEXTS.get(each.name)
            found[each.name] = value if parse is None else parse(str(value))
    return found


def option_name(declared: Field[object]) -> str:
    """Return the name that a hyperparameter's option has in a command: that of the flag."""
    return str(flag_of(declared)).lstrip("-").replace("-", "_")


def _flagged() -> list[Field[object]]:
    return [each for each in fields(Parameters) if flag_of(each) is not None]


def _option(declared: Field[object], left_out: Callable[[Field[object]], str]) -> inspect.Parameter:
    flag = str(flag_of(declared))
    kind = get_type_hints(Parameters)[declared.name]
    if kind is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    if declared.name in _TEXTS:
        kind = str
    elif get_origin(kind) is Union:
        kind = get_args(kind)[0]
    text = f"{declared.metadata['help']}{left_out(declared)}"
    shown = typer.Option(None, flag, help=text, rich_help_panel=_group(declared))
    return option(option_name(declared), Optional[kind], shown)


def _group(declared: Field[object]) -> str:
    """Return the group that a hyperparameter has in the help."""
    usual = TRAINING if declared.name in {each.name for each in fields(Settings)} else MODEL
    return _GROUPS.get(declared.name, usual)


def _defaults(declared: Field[object]) -> str:
    """Return the default of each preset, those with one value together; nothing for no value."""
    names: dict[str, list[str]] = {}
    for name, preset in PRESETS.items():
        names.setdefault(shown_value(preset.get(declared.name, declared.default)), []).append(name)
    if len(names) == 1:
        (value,) = names
        return "" if value == "none" else f"  [default: {value}]"
    shown = (f"{', '.join(presets)}: {value}" for value, presets in names.items())
    return f"  [{'; '.join(shown)}]"


def shown_value(value: object) -> str:
    """Return a value of a hyperparameter as the help has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, float):
        return str(float(f"{value:.4g}"))
    return "none" if value is None else str(value)


def _sizes(hidden: str) -> int | list[int]:
    try:
        sizes = [int(size) for size in hidden.split(",")]
    except ValueError:
        raise ConfigurationError(
            f"--hidden {hidden} is no size; write 500, or 500,250,500 for a deep net."
        ) from None
    return sizes[0] if len(sizes) == 1 else sizes


def _own(text: str) -> dict[str, object]:
    """Return hyperparameters from a text, each by its name or its flag: lr=0.005,hidden=300,200."""
    known = {each.name: each for each in _flagged()}
    known.update({option_name(each): each for each in _flagged()})
    pairs: list[list[str]] = []
    for piece in text.split(","):
        name, is_pair, value = piece.partition("=")
        if is_pair:
            pairs.append([name.strip().replace("-", "_"), value])
        elif pairs:
            pairs[-1][1] += f",{piece}"  # sizes of several layers
        else:
            raise ConfigurationError(
                f"--user-view {text} gives no value; write lr=0.005,epochs=60 for example."
            )
    found = {}
    for name, value in pairs:
        if name not in known:
            raise ConfigurationError(f"--user-view {text}: there is no --{name}.")
        found[known[name].name] = _value(known[name], value.strip())
    return found


def _value(declared: Field[object], text: str) -> object:
    """Return the value of a hyperparameter from its text."""
    if declared.name == "num_hidden":
        return _sizes(text)
    if text == "none":
        return None
    kind = get_type_hints(Parameters)[declared.name]
    kind = get_args(kind)[0] if get_origin(kind) is Union else kind
    if kind is bool:
        return {"yes": True, "no": False}.get(text, text)
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        raise ConfigurationError(f"{declared.name} {text} is no number.") from None


#: The groups of those that are neither the net's nor of `Settings`, or both.
_GROUPS = {
    **dict.fromkeys(("holdout", "pretrain_epochs", "finetuning_rate", "random_state"), TRAINING),
    **dict.fromkeys(("compute", "devices"), WHERE),
}

#: What is parsed here from a text.
_TEXTS: dict[str, Callable[[str], object]] = {"num_hidden": _sizes, "user_view": _own}
