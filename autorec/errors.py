"""What can go wrong, in one sentence each: every error of this library is an AutorecError."""

from __future__ import annotations


class AutorecError(Exception):
    """Base of every error that autorec raises on purpose."""


class MXNetUnavailableError(AutorecError, ImportError):
    """MXNet is missing or cannot be loaded; the message names what to install."""


class DataUnavailableError(AutorecError):
    """A data set could be found in none of the places that were tried."""


class DataCorruptError(AutorecError):
    """A file is not what it should be: a wrong checksum, an unsafe archive, a broken table."""


class RatingsError(AutorecError, ValueError):
    """A ratings table has a row, a column or a value that cannot be used."""


class ConfigurationError(AutorecError, ValueError):
    """An option or argument has a value that cannot be used."""


class TrainingError(AutorecError, RuntimeError):
    """Training cannot go on, a loss that is not finite for example."""


class ModelError(AutorecError, ValueError):
    """A model folder is damaged, incomplete, foreign or of a newer format."""


class NotFittedError(AutorecError, ValueError, AttributeError):
    """A model is asked before it was fitted."""
