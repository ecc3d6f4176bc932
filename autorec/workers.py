"""The old place of `Workers`, see `autorec.distributed`."""

from .distributed.workers import Workers as Workers
