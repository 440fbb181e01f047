"""Every pruning method, its parameters and every field of the spec are documented, with the real defaults."""

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from api.jobs.spec import JobSpec
from pruning_core.columns import TASKS
from pruning_core.spec import METHODS
from tests.docs.markdown import ROOT, read

PAGE = read(ROOT / "docs" / "methods.md")
ROWS = {row[0]: row[1] for row in PAGE.rows()}


def model_in(annotation: object) -> type[BaseModel] | None:
    """The spec's part behind a field: the model itself, or the one that is optional; not one choice among others."""
    options = [option for option in getattr(annotation, "__args__", (annotation,)) if option is not type(None)]
    only = options[0] if len(options) == 1 else None
    return only if isinstance(only, type) and issubclass(only, BaseModel) else None


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field that is written in a spec, with its dotted name and default."""
    for name, field in model.model_fields.items():
        if name == "task":
            yield "task", None
            yield "task.type", None  # each task's own, so not one default
            for columns in TASKS.values():
                yield from (leaf for leaf in leaves(columns, "task.") if leaf[0] != "task.type")
            continue
        part = model_in(field.annotation)
        if part is not None:
            yield from leaves(part, f"{prefix}{name}.")
        else:
            yield prefix + name, None if field.is_required() else field.get_default(call_default_factory=True)


SPEC = dict(leaves(JobSpec))


def test_every_field_of_the_spec_has_a_row() -> None:
    assert set(SPEC) - set(ROWS) == set()


def test_every_row_is_a_field() -> None:
    parts = {name.rpartition(".")[0] for name in SPEC}
    parameters = {name for method in METHODS.values() for name in method.Parameters.model_fields}
    assert set(ROWS) - set(SPEC) - parts - parameters == set()


@pytest.mark.parametrize("name", [name for name, default in SPEC.items() if isinstance(default, str | int | float)])
def test_documented_default_is_the_real_one(name: str) -> None:
    documented = ROWS[name].strip("`")
    assert documented == (SPEC[name] if isinstance(SPEC[name], str) else json.dumps(SPEC[name]).removesuffix(".0"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_section_with_its_parameters(method: str) -> None:
    section = PAGE.section(method)
    assert section, f"docs/methods.md needs a heading for {method}."
    assert [name for name in METHODS[method].Parameters.model_fields if f"`{name}`" not in section] == []


def test_methods_documented_are_methods_offered() -> None:
    offered = {heading for heading in PAGE.headings() if heading.isidentifier() and heading.islower()}
    assert offered == set(METHODS)
