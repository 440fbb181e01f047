"""Why a source cannot be had."""

from api.problems import Unavailable


class SourceRefused(Exception):
    """It cannot be taken as it is; the message says what to do."""


class Fetching(Unavailable):
    """It is still on its way here: the same request again finds it."""

    slug = "fetching"
    title = "The source is still being fetched"
