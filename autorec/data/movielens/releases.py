"""Releases: the MovieLens data sets as GroupLens publishes them, with their checksums."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigurationError

GROUPLENS = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True)
class Release:
    """One MovieLens release as GroupLens publishes it.

    Parameters
    ----------
    name : str
        What is asked for, "100k" for example.
    folder : str
        The folder inside the zip; it has the same name in the cache.
    ratings : str
        The ratings file in that folder: user, item, rating, timestamp.
    separator : str
        What stands between the columns of the ratings file.
    header : bool
        Whether the first line of the ratings file names the columns
        (userId, movieId, rating, timestamp).
    max_megabytes : int
        More than the release unpacks to; a larger archive is refused.
    md5 : str or None
        Checksum of the zip, where it is known.
    sha1 : str or None
        Checksum of the ratings file, where it is known.
    """

    name: str
    folder: str
    ratings: str
    separator: str
    header: bool
    max_megabytes: int
    md5: str | None = None
    sha1: str | None = None

    @property
    def url(self) -> str:
        """Address of the zip."""
        return f"{GROUPLENS}/ml-{self.name}.zip"


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release("100k", "ml-100k", "u.data", "\t", False, 64,
                md5="0e33842e24a9c977be4e0107933c0723",
                sha1="3d12bc07346b98059a31aeed4b66752e83d8d372"),
        Release("1m", "ml-1m", "ratings.dat", "::", False, 128,
                md5="c4d9eecfca2ab87c1945afe126590906"),
        Release("10m", "ml-10M100K", "ratings.dat", "::", False, 1024,
                md5="ce571fd55effeba0271552578f2648bd"),
        Release("20m", "ml-20m", "ratings.csv", ",", True, 4096,
                md5="cd245b17a1ae2cc31bb14903e1204af3"),
        Release("25m", "ml-25m", "ratings.csv", ",", True, 4096,
                md5="6b51fb2759a8657d3bfcbfc42b592ada"),
        Release("32m", "ml-32m", "ratings.csv", ",", True, 4096),
        Release("latest-small", "ml-latest-small", "ratings.csv", ",", True, 64),
    )
}  # fmt: skip


def find_release(name: str) -> Release:
    """Release of that name, with or without "ml-" in front.

    Raises
    ------
    ConfigurationError
        If there is no such release.
    """
    try:
        return RELEASES[name.lower().removeprefix("ml-")]
    except KeyError:
        raise ConfigurationError(
            f"there is no MovieLens release {name!r}; choose one of {', '.join(RELEASES)}"
        ) from None
