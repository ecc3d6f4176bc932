"""Settings files: hyperparameters as JSON, left by ``autorec tune``, for ``autorec train``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .._storage.files import replacing
from ..errors import ConfigurationError
from .presets import Parameters

_FORMAT = 1
#: Bytes; none comes near.
_LARGEST = 1 << 20

#: What belongs to a run on a machine, and not to the settings.
_OF_A_RUN = ("devices", "random_state")


@dataclass(frozen=True)
class SettingsFile:
    """What is in a settings file.

    Parameters
    ----------
    parameters : dict
        Fields of `Parameters` by name; checked.
    about : dict
        What they were chosen on, as it stands there; not checked.
    """

    parameters: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)


def write_settings(path: Path, parameters: Parameters, about: Mapping[str, Any]) -> None:
    """Write hyperparameters, all but those of a run, and what is to be said of them.

    Parameters
    ----------
    path : Path
        In a folder that exists; what is there is replaced.
    parameters : Parameters
    about : mapping
        For JSON.
    """
    chosen = {each.name: getattr(parameters, each.name) for each in fields(parameters)}
    kept = {name: value for name, value in chosen.items() if name not in _OF_A_RUN}
    content = {"format": _FORMAT, "parameters": kept, "about": dict(about)}
    text = json.dumps(content, indent=1, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_settings(path: Path) -> SettingsFile:
    """Read a settings file, which may be a stranger's.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ConfigurationError
        If there is no such file, or it is none, or a value cannot be used.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}); name a settings file."
        ) from None
    try:
        content = json.loads(text.decode()) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or "parameters" not in content:
        raise ConfigurationError(
            f"{path} is no settings file; name one that autorec tune has left."
        )
    if content.get("format") != _FORMAT:
        raise ConfigurationError(
            f"{path} is of another format than {_FORMAT}, which this release reads."
        )
    parameters, about = content["parameters"], content.get("about", {})
    if not isinstance(parameters, dict) or not isinstance(about, dict):
        raise ConfigurationError(f"{path} is damaged: it has no parameters by name.")
    known = {each.name for each in fields(Parameters)}
    for name in parameters:
        if name not in known:
            raise ConfigurationError(
                f"{path} has a parameter {name!r:.60} that this release does not know."
            )
    try:
        Parameters(**parameters)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return SettingsFile(parameters, about)
