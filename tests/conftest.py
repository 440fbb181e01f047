"""For all tests: how they are shared out, and what the garbage collector may leave alone."""

import gc
from collections.abc import Generator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

#: Folders whose files share running services: one process takes the whole of one, or each would start its own.
_SHARED = ("tests/service/api", "tests/service/secateur")
#: What takes minutes begins first, or the last of it would keep one core busy and the others idle.
_LONGEST = ("tests/service/secateur/", "tests/service/test_several_devices.py", "tests/chaos/")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules stay once they are loaded: looking through them again and again takes seconds in every process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "Scheduling | None":
    """`--dist loadfile`, with some folders as if they were files."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            folder = str(PurePosixPath(file).parent)
            return folder if folder in _SHARED else file

    return ByFileOrFolder(config, log)
