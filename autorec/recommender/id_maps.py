"""Id maps as JSON keeps them: ids of every type come back as they were."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Ids
from ..data.ratings import Ratings
from ..errors import RatingsError


def check_saveable(ratings: Ratings) -> None:
    """Refuse, before any training, what could not be saved afterwards.

    Parameters
    ----------
    ratings : Ratings

    Raises
    ------
    RatingsError
        If an id would not come back from a file as it is: it is not a number, text or a time.
    """
    for kind, ids in (("user", ratings.user_ids), ("item", ratings.item_ids)):
        for each in ids if _form(ids) == "object" else ids[~_is_finite(ids)]:
            if not _is_plain(each):
                raise RatingsError(
                    f"The {kind} {each!r:.60} ({type(each).__name__}) is an id that no saved model "
                    "can hold; use numbers or text, str(id) for example."
                )
        if len(set(ids.tolist())) != len(ids):
            raise RatingsError(f"A {kind} is there twice; give each an id of its own.")


def _form(ids: Ids) -> str:
    """Return the type that all ids are of, as NumPy writes it; else "object"."""
    form = ids.dtype.newbyteorder("<").str
    return form if _FORMS.fullmatch(form) else "object"


_FORMS = re.compile(r"[<|]([iu][1248]|f[248]|b1|M8\[(ns|us|ms|s|m|h|D|W|M|Y)\])")


def _is_finite(ids: Ids) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(ids)
    return finite


def _is_plain(each: Any) -> bool:
    """Return whether an id comes back from JSON as it is: a finite number, or whole text."""
    plain = each.item() if isinstance(each, np.generic) else each
    if isinstance(plain, str):
        return _is_text(plain)
    whole = type(plain) in (bool, int) or (type(plain) is float and math.isfinite(plain))
    return whole and str(plain) == str(each) and abs(plain) < 2**192


def _is_text(text: str) -> bool:
    """Return whether a text can be written, as one with half a character cannot."""
    try:
        return bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def listed(ids: Ids) -> dict[str, object]:
    """Return ids for JSON, and the type that makes them the same again."""
    form = _form(ids)
    if form != "object":
        same = ids.astype(form, copy=False)
        return {"type": form, "ids": (same.view("<i8") if "M" in form else same).tolist()}
    # An array of objects may hold NumPy's numbers, which JSON does not know.
    plain = [each.item() if isinstance(each, np.generic) else each for each in ids.tolist()]
    return {"type": form, "ids": plain}


def restored(stored: Any) -> Ids:
    """Return ids from what `listed` made of them, or from the list that 0.1.0 wrote.

    Raises
    ------
    ValueError
        If they cannot have been ids.
    """
    typed = isinstance(stored, dict)
    form, listed = (stored["type"], stored["ids"]) if typed else ("", stored)
    if not set(map(type, listed)) <= {int, float, bool, str} or len(set(listed)) != len(listed):
        raise ValueError("its ids are not numbers and text, or one is there twice")
    if not all(_is_text(each) for each in listed if isinstance(each, str)):
        raise ValueError("an id is no whole text")
    if form == "object" or (not typed and any(isinstance(each, str) for each in listed)):
        # NumPy would make text of the numbers among text.
        ids = np.empty(len(listed), dtype=object)
        ids[:] = listed
        return ids
    if not typed:
        return np.asarray(listed)
    if not isinstance(form, str) or not _FORMS.fullmatch(form):
        raise ValueError("its ids are of an unknown type")
    ids = np.array(listed, "<i8" if "M" in form else form)
    if ids.tolist() != listed:
        raise ValueError("its ids are not of their type")
    return ids.view(form) if "M" in form else ids
