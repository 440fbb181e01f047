"""Every method of `secateur.Client` and every error of its is on the client's page, and every method there exists."""

import inspect
import re

import secateur
from tests.docs.markdown import ROOT, read

PAGE = read(ROOT / "docs" / "client.md")
METHODS = {name for name, _ in inspect.getmembers(secateur.Client, inspect.isfunction) if not name.startswith("_")}


def test_every_method_is_documented_and_every_documented_one_exists() -> None:
    documented = {found[1] for span in PAGE.code_spans() if (found := re.match(r"([a-z_]+)\(", span))}
    assert documented == METHODS


def test_every_documented_argument_is_one_of_the_method() -> None:
    for span in PAGE.code_spans():
        found = re.fullmatch(r"([a-z_]+)\((.*)\)", span)
        if found:
            documented = {each.split("=")[0].strip() for each in found[2].split(",") if each.strip()}
            arguments = set(inspect.signature(getattr(secateur.Client, found[1])).parameters)
            short = {"id", "ids"}  # for job_id, dataset_id, …
            assert documented - short <= arguments, span


def test_every_error_is_documented() -> None:
    raised_by_calls = {
        name
        for name in secateur.__all__
        if isinstance(kind := getattr(secateur, name), type)
        and issubclass(kind, secateur.SecateurError)
        and not issubclass(kind, secateur.EmbeddedError)
        and kind is not secateur.SecateurError
    }
    assert raised_by_calls <= PAGE.code_spans()
