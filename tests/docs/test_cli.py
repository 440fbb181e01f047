"""Every command and option of `secateur` is documented, and nothing that is documented is missing."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from secateur.cli import app
from tests.docs.markdown import ROOT, read

PAGE = read(ROOT / "docs" / "cli.md")
BUILT_IN = {"--help", "--version", "--install-completion", "--show-completion"}


# Typer brings its own copy of Click, whose classes have no public names to write here.
def commands(command: Any, path: str) -> Iterator[tuple[str, set[str]]]:
    """Every command that does something, with its long options."""
    subcommands = getattr(command, "commands", None)
    if subcommands:
        for name, subcommand in subcommands.items():
            yield from commands(subcommand, f"{path} {name}")
    else:
        yield path, options(command)


def options(command: Any) -> set[str]:
    spelt = (option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))
    return {option for option in spelt if option.startswith("--")} - BUILT_IN


ROOT_COMMAND = get_command(app)
COMMANDS = dict(commands(ROOT_COMMAND, "secateur"))


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert {heading for heading in PAGE.headings() if heading.startswith("secateur ")} == set(COMMANDS)


def test_options_before_the_command_are_documented() -> None:
    introduction = PAGE.section("The command line")
    assert {option for option in options(ROOT_COMMAND) if f"`{option}`" not in introduction} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_documented(name: str) -> None:
    documented = set(re.findall(r"--[a-z][a-z-]*", PAGE.section(name))) | {"--json"}
    assert documented == COMMANDS[name]


@pytest.mark.parametrize("page", ["README.md", "docs/deployment.md"])
def test_commands_shown_elsewhere_exist(page: str) -> None:
    blocks = "\n".join(read(ROOT / page).blocks("console"))
    for line in re.findall(r"^secateur .*$", blocks, flags=re.MULTILINE):
        name = max((known for known in COMMANDS if line.startswith(known)), key=len, default="")
        assert name, f"{line}: there is no such command."
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= COMMANDS[name], line
