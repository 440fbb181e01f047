"""The installed version of Secateur."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("secateur")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
