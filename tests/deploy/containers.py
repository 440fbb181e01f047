"""The Dockerfile and the compose files, read as Docker reads them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dockerfile
import yaml

ROOT = Path(__file__).resolve().parents[2]

# What compose substitutes: $$, ${NAME}, ${NAME:-default} and ${NAME:?message}.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


class MissingVariable(Exception):
    """A variable that the compose file requires is not set; the message is the one compose would print."""


@dataclass
class Stage:
    """One stage of the Dockerfile with its instructions."""

    name: str
    base: str
    instructions: list[dockerfile.Command] = field(default_factory=list)

    def values(self, instruction: str) -> Iterator[tuple[str, ...]]:
        """The arguments of each instruction of a kind, in order."""
        for command in self.instructions:
            if command.cmd == instruction:
                yield command.value


def stages() -> dict[str, Stage]:
    """The Dockerfile's stages by name, parsed by Docker's own parser."""
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for command in dockerfile.parse_file(str(ROOT / "Dockerfile")):
        if command.cmd == "FROM":
            base, _, name = command.value
            current = found[name] = Stage(name, base)
        elif current is not None:
            current.instructions.append(command)
    return found


def lineage(name: str) -> list[Stage]:
    """A stage after all the stages it is built on, the first of them first."""
    known = stages()
    chain: list[Stage] = []
    while name in known:
        chain.insert(0, known[name])
        name = known[name].base
    return chain


def last_instruction(name: str, instruction: str) -> dockerfile.Command:
    """The instruction of a kind that holds in the final image of a stage."""
    return [command for stage in lineage(name) for command in stage.instructions if command.cmd == instruction][-1]


def compose(file: str = "docker-compose.yml", environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A compose file as a mapping; variables are substituted when an environment is given.

    Raises:
        MissingVariable: A required variable is unset or empty.
    """
    document: dict[str, Any] = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    return document if environment is None else _substitute(document, environment)


def variables(file: str = "docker-compose.yml") -> dict[str, str | None]:
    """The variables a compose file reads: name to default, or None where it is required."""
    text = (ROOT / file).read_text(encoding="utf-8")
    matches = [match for match in _VARIABLE.finditer(text) if match["name"]]
    return {match["name"]: None if match["kind"] == "?" else (match["rest"] or "") for match in matches}


def _substitute(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _substitute(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute(value, environment) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        value = environment.get(match["name"], "")
        if not value and match["kind"] == "?":
            raise MissingVariable(match["rest"])
        return value or (match["rest"] or "")

    return _VARIABLE.sub(value_of, node)
