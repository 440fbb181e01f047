"""Each extra brings all that its part of the code imports, and the API's brings no torch."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.containers import ROOT

HEAVY = {"torch", "transformers", "torchmetrics", "onnx", "onnxruntime"}
ENTRANCES = {
    "": ["secateur", "secateur.cli"],
    "packed": ["pruning_core.packed.packing", "pruning_core.packed.unpacking"],
    "api": ["api.app", "store.migrate", "store.first_key", "store.make_key", "store.team_limits", "worker.reconciler"],
}
OUR_PACKAGES = {"secateur", "api", "worker", "store", "pruning_core", "migrations"}


def closure(name: str, extras: frozenset[str]) -> set[str]:
    """Every distribution that installing a requirement brings, itself included."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for line in distribution(current[0]).requires or []:
            requirement = Requirement(line)
            chosen = current[1] or {""}
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in chosen):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {found_name for found_name, _ in found}


def loaded_by(modules: list[str]) -> dict[str, str | None]:
    """Everything a fresh process has loaded after importing these modules: name to file."""
    program = "import importlib, json, sys; [importlib.import_module(name) for name in sys.argv[1:]]; "
    program += "print(json.dumps({name: getattr(it, '__file__', None) for name, it in sys.modules.items()}))"
    done = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return files


class ImportsWhenLoaded(ast.NodeVisitor):
    """Collects the top-level names that a module imports when it is itself imported."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:  # the name that ast calls
        self.names |= {alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.names.add(node.module.partition(".")[0])

    def visit_If(self, node: ast.If) -> None:
        for_types_only = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.orelse if for_types_only else node.body + node.orelse:
            self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A late import runs only when its function does."""


def third_party_imports(files: Iterable[Path]) -> set[str]:
    """What these modules import that is neither ours nor Python's."""
    visitor = ImportsWhenLoaded()
    for file in files:
        visitor.visit(ast.parse(file.read_text(encoding="utf-8")))
    return visitor.names - OUR_PACKAGES - sys.stdlib_module_names


def modules_of(extra: str) -> list[Path]:
    """The modules that an installation with this extra runs."""
    if extra == "worker":  # all of them, read and not imported: torch takes seconds to load
        return [file for package in ("worker", "store", "pruning_core") for file in (ROOT / package).rglob("*.py")]
    loaded = loaded_by(ENTRANCES[extra])
    return [Path(file) for name, file in loaded.items() if file and name.partition(".")[0] in OUR_PACKAGES]


def test_the_api_extra_brings_no_torch() -> None:
    assert HEAVY & closure("secateur", frozenset({"api"})) == set()


def test_the_base_install_is_small() -> None:
    ours = closure("secateur", frozenset())
    assert {"fastapi", "celery", "sqlalchemy", "numpy", "pyarrow", *HEAVY} & ours == set()


@pytest.mark.parametrize("extra", ["", "packed", "api", "worker"])
def test_an_extra_brings_whatever_its_code_imports(extra: str) -> None:
    brought = closure("secateur", frozenset({extra} if extra else ()))
    owners = packages_distributions()
    imported = third_party_imports(modules_of(extra))
    assert imported, "The code of each part uses some library."
    missing = {name for name in imported if not {canonicalize_name(owner) for owner in owners[name]} & brought}
    assert missing == set(), f"Add what these belong to, to the extra '{extra or 'base'}' in pyproject.toml."


@pytest.mark.parametrize("module", ["api.app", "store.migrate", "worker.app", "worker.supervisor", "worker.reconciler"])
def test_no_process_but_the_trainer_imports_torch(module: str) -> None:
    assert HEAVY & loaded_by([module]).keys() == set()
