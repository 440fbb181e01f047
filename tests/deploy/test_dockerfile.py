"""The images: what goes in, what stays out, who runs them and how."""

import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.deploy.containers import ROOT, last_instruction, lineage, stages

IMAGES = ["api", "worker"]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_an_unprivileged_user(image: str) -> None:
    user, _, group = last_instruction(image, "USER").value[0].partition(":")
    assert int(user) >= 10000
    assert int(group) >= 10000


@pytest.mark.parametrize("image", IMAGES)
def test_the_main_process_gets_sigterm_itself(image: str) -> None:
    assert last_instruction(image, "CMD").json, "CMD in shell form makes a shell the main process."
    assert last_instruction(image, "STOPSIGNAL").value == ("SIGTERM",)


@pytest.mark.parametrize("image", IMAGES)
def test_each_image_installs_its_own_extra_under_constraints(image: str) -> None:
    installs = [
        value[0] for stage in lineage(f"build-{image}") for value in stage.values("RUN") if "pip install" in value[0]
    ]
    assert all("--constraint constraints.txt" in install for install in installs)
    extras = {"worker": "worker,onnx"}.get(image, image)
    assert f"'.[{extras}]'" in installs[-1]
    copied = [value for stage in lineage(image) for value in stage.values("COPY")]
    assert copied == [("/opt/venv", "/opt/venv")], "A final image takes the finished environment and nothing else."


def test_nothing_is_installed_into_the_api_image_but_its_extra() -> None:
    installs = [value[0] for stage in lineage("build-api") for value in stage.values("RUN") if "pip" in value[0]]
    assert [install for install in installs if "torch" in install or "worker" in install] == []


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_of_the_wheel_is_copied_into_the_build(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {
        source for stage in lineage(f"build-{image}") for *sources, _ in stage.values("COPY") for source in sources
    }
    assert set(packages) <= copied


def test_the_build_context_lets_through_what_is_copied_and_only_that() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages().values()
        for command in stage.instructions
        if command.cmd == "COPY" and not command.flags
        for source in command.value[:-1]
    }
    assert "*" in lines, "The context starts from nothing, so that .venv, .git and .env can never be sent."
    assert copied == allowed
    assert {name for name in copied if not (ROOT / name).exists()} == set()
