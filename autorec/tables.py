"""The old place of the tables, see `autorec.experiments`."""

from .experiments.tables import SIZES as SIZES
from .experiments.tables import TABLES as TABLES
from .experiments.tables import TRIED as TRIED
