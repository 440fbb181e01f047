"""The compose file: valid, complete, and no more open than it must be."""

import re
import subprocess
import sys

import pytest

from store.settings import Settings
from tests.deploy.containers import ROOT, MissingVariable, compose, stages, variables

SECRETS = {"POSTGRES_PASSWORD": "p" * 48, "REDIS_PASSWORD": "r" * 48}
CONFIG = compose(environment=SECRETS)
SERVICES = CONFIG["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}
FILES = ["docker-compose.yml", "docker-compose.gpu.yml"]


@pytest.mark.parametrize("file", FILES)
def test_the_file_follows_the_compose_specification(file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("secret", SECRETS)
def test_it_does_not_start_without_its_secrets(secret: str) -> None:
    with pytest.raises(MissingVariable, match=f"Set {secret} in .env"):
        compose(environment={**SECRETS, secret: ""})


def test_no_secret_has_a_value_in_the_repository() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    required = {name for name, default in variables().items() if default is None}
    assert required == SECRETS.keys()
    assert {name for name, value in example.items() if not value} == required | {"SERVER_SECRET"}
    assert example.keys() <= variables().keys()
    assert {name: value for name, value in example.items() if value} == {
        name: variables()[name] for name, value in example.items() if value
    }, ".env.example shows the defaults."


def test_each_of_our_services_builds_a_stage_that_exists() -> None:
    assert {SERVICES[name]["build"]["target"] for name in OURS} <= stages().keys()
    assert {"api", "worker", "reconciler", "migrate"} == OURS


def test_every_setting_that_is_passed_is_one_that_is_read() -> None:
    passed = {name for service in OURS for name in SERVICES[service].get("environment", {})}
    known = {f"SECATEUR_{name.upper()}" for name in Settings.model_fields}
    assert passed <= known


def test_all_of_ours_share_one_database_and_one_broker() -> None:
    urls = {tuple(sorted(SERVICES[name]["environment"].items())) for name in OURS}
    assert len(urls) == 1
    [(broker, database)] = [
        (dict(pairs)["SECATEUR_BROKER_URL"], dict(pairs)["SECATEUR_DATABASE_URL"]) for pairs in urls
    ]
    assert broker == f"redis://:{SECRETS['REDIS_PASSWORD']}@redis:6379/0"
    assert database == f"postgresql+psycopg://secateur:{SECRETS['POSTGRES_PASSWORD']}@postgres:5432/secateur"
    assert "REDIS_PASSWORD" in " ".join(SERVICES["redis"]["command"])


def test_nothing_starts_before_the_schema_is_there() -> None:
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["restart"] == "no"


def test_whoever_is_waited_for_as_healthy_says_when_it_is() -> None:
    waited_for = {
        other
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for == {"postgres", "redis"}
    assert all("test" in SERVICES[name]["healthcheck"] for name in waited_for)


def test_only_the_api_is_reachable_and_only_from_this_host() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"]
    }


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "user", "pid", "network_mode", "cap_add", "devices"} & service.keys()


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_read_only_container_can_still_write_to_scratch(name: str) -> None:
    mounts = [*SERVICES[name].get("volumes", []), *SERVICES[name].get("tmpfs", [])]
    assert len(mounts) == 1
    assert re.search(r"(?:^|:)/scratch(?::|$)", mounts[0])


def test_every_named_volume_is_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == CONFIG["volumes"].keys()


def test_a_worker_has_time_to_hand_its_job_back() -> None:
    grace = SERVICES["worker"]["stop_grace_period"]
    assert grace == "150s"
    assert int(grace.removesuffix("s")) > Settings.model_fields["stop_grace_s"].default + 60


def test_the_gpu_file_changes_the_worker_only() -> None:
    gpu = compose("docker-compose.gpu.yml")["services"]
    assert gpu.keys() == {"worker"}
    assert gpu["worker"]["build"]["args"].keys() == SERVICES["worker"]["build"]["args"].keys()
