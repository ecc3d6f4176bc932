"""Arrays: the types of NumPy's arrays, by what they hold; those of MXNet are in `_mxnet`."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

#: Rows, columns or codes, of any width.
Integers = NDArray[numpy.integer[Any]]
#: Ratings, predictions or vectors, of any width.
Floats = NDArray[numpy.floating[Any]]
#: Users' or items' ids: numbers, texts or other objects.
Ids = NDArray[numpy.generic]
#: Of whatever type.
AnyArray = NDArray[numpy.generic]
