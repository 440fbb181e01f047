"""The command line against a running service: what it prints, where, and how it ends."""

import hashlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from secateur import Client, NotFound
from secateur.resources import Artifact, AuditEntry, Job, Key, NewKey
from store import expire_files, open_database
from tests.service.secateur.up import Finished, Up, command, environment, secateur, until

pytestmark = pytest.mark.slow


@contextmanager
def watching(service: Up, spec: dict[str, object]) -> Iterator[subprocess.Popen[str]]:
    """A job that is being submitted and watched."""
    with subprocess.Popen(
        command("submit", "-", "--watch", "--json"),
        env=environment(service.data_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        json.dump(spec, process.stdin)
        process.stdin.close()
        process.stdin = None  # communicate() would close it once more
        try:
            yield process
        except BaseException:
            process.kill()  # or a test that failed would wait for the job's end
            raise


def test_a_watched_job_ends_with_code_0_and_nothing_but_json_on_stdout(succeeded: Finished, job: Job) -> None:
    assert succeeded.code == 0, succeeded.err
    assert job["status"] == "succeeded"
    assert job["result"] is not None
    assert job["result"]["density"]["prunable"] == pytest.approx(0.1, abs=0.01)


def test_watching_tells_phases_on_stderr(succeeded: Finished, job: Job) -> None:
    assert f"Submitted {job['id']}" in succeeded.err
    assert "train/loss" in succeeded.err, "it had a line for the queue, too, unless a worker was quicker than the watch"
    assert f"{job['id']} · succeeded" in succeeded.err


def test_watching_a_job_that_has_ended_reports_it_at_once(service: Up, job: Job) -> None:
    watched = secateur(service.data_dir, "watch", job["id"])
    assert watched.code == 0
    assert "prunable" in watched.out
    assert f"secateur download {job['id']}" in watched.err


def test_status_shows_what_a_job_achieved(service: Up, job: Job) -> None:
    shown = secateur(service.data_dir, "status", job["id"])
    assert shown.code == 0
    for text in (job["id"], "(first)", "succeeded", "movement", "accuracy", "(dense 0."):
        assert text in shown.out
    assert secateur(service.data_dir, "status", job["id"], "--json").json == job


def test_a_download_is_whole_and_can_be_repeated(service: Up, job: Job, tmp_path: Path) -> None:
    target = tmp_path / "pruned"
    first = secateur(service.data_dir, "download", job["id"], str(target), "--json")
    assert first.code == 0, first.err
    artifacts = cast(list[Artifact], first.json)
    assert {"report.json", "masks.safetensors", "model/config.json", "model/model.safetensors"} <= {
        artifact["name"] for artifact in artifacts
    }
    for artifact in artifacts:
        content = (target / artifact["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (artifact["size"], artifact["sha256"])
    assert not [path for path in target.rglob("*") if path.name.endswith(".part")]

    (target / "report.json").write_text("altered")
    untouched = (target / "model" / "model.safetensors").stat().st_ino
    assert secateur(service.data_dir, "download", job["id"], str(target)).code == 0
    assert hashlib.sha256((target / "report.json").read_bytes()).hexdigest() in {
        artifact["sha256"] for artifact in artifacts
    }
    assert (target / "model" / "model.safetensors").stat().st_ino == untouched


def test_a_report_is_downloaded_to_be_looked_at(service: Up, job: Job, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    shown = secateur(service.data_dir, "report", job["id"], "--output", str(file), "--no-open")
    assert (shown.code, shown.out.strip()) == (0, str(file)), shown.err
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    told = cast(dict[str, Any], secateur(service.data_dir, "report", job["id"], "--json").json)
    assert told["verdict"]["sentence"]
    nobody = secateur(service.data_dir, "report", "job_" + "0" * 32, "--no-open")
    assert nobody.code == 1
    assert "no job" in nobody.err


def test_jobs_are_listed_by_filter(service: Up, job: Job) -> None:
    listed = secateur(service.data_dir, "jobs", "--status", "succeeded", "--search", "first", "--json")
    assert [entry["id"] for entry in cast(list[Job], listed.json)] == [job["id"]]
    assert job["id"] in secateur(service.data_dir, "jobs").out
    several = ("--status", "failed", "--status", "succeeded", "--tag", "from:the command line", "--sort", "-quality")
    found = secateur(service.data_dir, "jobs", *several, "--json")
    assert [entry["id"] for entry in cast(list[Job], found.json)] == [job["id"]]
    none = secateur(service.data_dir, "jobs", "--tag", "no:such", "--json")
    assert (none.code, none.json) == (0, [])


def test_a_job_is_pinned_and_unpinned(service: Up, job: Job) -> None:
    assert secateur(service.data_dir, "pin", job["id"]).out.strip() == f"{job['id']} is pinned."
    assert "pinned" in secateur(service.data_dir, "status", job["id"]).out
    listed = secateur(service.data_dir, "jobs", "--pinned", "--json")
    assert [entry["id"] for entry in cast(list[Job], listed.json)] == [job["id"]]
    assert secateur(service.data_dir, "unpin", job["id"]).out.strip() == f"{job['id']} is not pinned."
    assert secateur(service.data_dir, "unpin", job["id"], "--json").json == job


def test_files_that_retention_removed_are_not_downloaded(
    service: Up, client: Client, spec: dict[str, object], tmp_path: Path
) -> None:
    short = {"max_steps": 20, "batch_size": 8, "dense_baseline": False}
    old = client.wait(client.submit(spec | {"name": "old", "training": short})["id"])
    database = open_database(f"sqlite:///{service.data_dir / 'secateur.db'}")
    with database.write() as session:
        assert expire_files(session, old["id"])
    database.close()
    nothing = secateur(service.data_dir, "download", old["id"], str(tmp_path / "nothing"))
    assert nothing.code == 1
    assert "retention" in nothing.err
    assert "removed" in secateur(service.data_dir, "status", old["id"]).out
    assert "does not bring them back" in secateur(service.data_dir, "pin", old["id"]).err
    secateur(service.data_dir, "unpin", old["id"])


def test_a_job_that_fails_ends_the_watch_with_code_1(service: Up, client: Client, long_spec: dict[str, object]) -> None:
    frail = long_spec | {"name": "frail", "limits": {"max_attempts": 1}}
    with watching(service, frail) as process:
        until(lambda: [job for job in client.jobs(q="frail", status="running") if job["progress"]["step"]])
        [trainer] = [each for each in service.family() if "worker.trainer" in each.cmdline()]
        trainer.kill()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    failed = json.loads(out)
    assert failed["status"] == "failed"
    shown = secateur(service.data_dir, "status", failed["id"])
    assert shown.code == 0
    assert failed["error"]["detail"] in shown.out


def test_a_job_that_is_cancelled_ends_the_watch_with_code_3(
    service: Up, client: Client, long_spec: dict[str, object], tmp_path: Path
) -> None:
    with watching(service, long_spec | {"name": "unwanted"}) as process:
        until(lambda: list(client.jobs(q="unwanted", status="running")))
        [running] = client.jobs(q="unwanted")
        assert secateur(service.data_dir, "cancel", running["id"]).out.strip() == f"{running['id']} is cancelling."
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert json.loads(out)["status"] == "cancelled"
    nothing = secateur(service.data_dir, "download", running["id"], str(tmp_path / "nothing"))
    assert nothing.code == 1, "what waits for the files must not go on without them"
    assert "has no artifacts" in nothing.err


def test_ctrl_c_ends_the_watching_and_not_the_job(service: Up, client: Client, waiting_spec: dict[str, object]) -> None:
    job = client.submit(waiting_spec)
    with subprocess.Popen(
        command("watch", job["id"]), env=environment(service.data_dir), stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stderr is not None
        assert job["id"] in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert f"{job['id']} goes on" in err
    assert f"secateur cancel {job['id']}" in err
    assert client.job(job["id"])["status"] == "queued"
    client.cancel(job["id"])


def test_submit_prints_the_id_alone(
    service: Up, client: Client, waiting_spec: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "job.json").write_text(json.dumps(waiting_spec))
    submitted = secateur(service.data_dir, "submit", str(tmp_path / "job.json"))
    assert re.fullmatch(r"job_[0-9a-f]{32}\n", submitted.out)
    client.cancel(submitted.out.strip())


def test_a_bad_spec_is_told_field_by_field(service: Up, spec: dict[str, object]) -> None:
    bad = spec | {"target_sparsity": 1.5, "method": "scissors", "colour": "red"}
    refused = secateur(service.data_dir, "submit", "-", "--json", stdin=json.dumps(bad))
    assert (refused.code, refused.out) == (1, "")
    for field in ("target_sparsity: ", "method: ", "colour is not a field"):
        assert f"  - {field}" in refused.err
    assert "target_sparsity: target_sparsity" not in refused.err, "each field is named once"
    assert "Traceback" not in refused.err


def test_a_bad_row_is_told_with_file_and_line(service: Up, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\ngood,1\nbad\n")
    refused = secateur(service.data_dir, "datasets", "upload", "ragged", f"train={tmp_path / 'train.csv'}")
    assert refused.code == 1
    assert "train.csv" in refused.err
    assert "3" in refused.err


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize("words", [["methods"], ["datasets", "list"], ["models", "list"], ["jobs"]])
def test_every_listing_has_a_face_for_people_and_one_for_programs(
    service: Up, job: Job, words: list[str], as_json: list[str]
) -> None:
    listed = secateur(service.data_dir, *words, *as_json)
    assert listed.code == 0, listed.err
    if as_json:
        assert isinstance(listed.json, list)
    else:
        assert len(listed.out.splitlines()) >= 2


def test_no_sweep_is_an_empty_list(service: Up) -> None:
    assert secateur(service.data_dir, "sweeps", "list", "--json").json == []
    assert secateur(service.data_dir, "sweeps", "list").out.split()[:2] == ["id", "status"]


def test_usage_has_a_face_for_people_and_one_for_programs(service: Up, job: Job) -> None:
    used = secateur(service.data_dir, "usage", "--json").json
    assert isinstance(used, dict)
    assert used["total"]["jobs"]["submitted"] >= 1
    assert len(secateur(service.data_dir, "usage").out.splitlines()) >= 2


@pytest.mark.parametrize("words", [["status"], ["watch"], ["cancel"]])
def test_an_unknown_job_is_one_line(service: Up, words: list[str]) -> None:
    unknown = secateur(service.data_dir, *words, "job_" + "0" * 32)
    assert unknown.code == 1
    assert unknown.out == ""
    assert unknown.err.startswith("error: ")
    assert len(unknown.err.splitlines()) == 1


def test_keys_are_made_listed_rotated_and_revoked(service: Up) -> None:
    made = secateur(service.data_dir, "keys", "create", "builds", "--scope", "read", "--days", "30")
    assert re.fullmatch(r"sec_[0-9a-f]{32}_[0-9A-Za-z]{49}\n", made.out)
    assert "shown this once" in made.err
    assert secateur(service.data_dir, "--key", made.out.strip(), "jobs").code == 0
    listed = cast(list[Key], secateur(service.data_dir, "keys", "list", "--json").json)
    [key] = [each for each in listed if each["name"] == "builds"]
    assert (key["scopes"], key["expires_at"] is not None) == (["read"], True)
    assert key["id"] in secateur(service.data_dir, "keys", "list").out
    rotated = cast(NewKey, secateur(service.data_dir, "keys", "rotate", key["id"], "--json").json)
    assert secateur(service.data_dir, "--key", made.out.strip(), "jobs").code == 1
    assert secateur(service.data_dir, "--key", rotated["key"], "jobs").code == 0
    revoked = secateur(service.data_dir, "keys", "revoke", rotated["id"])
    assert (revoked.code, revoked.err.strip()) == (0, f"{rotated['id']} is revoked.")
    assert secateur(service.data_dir, "--key", rotated["key"], "jobs").code == 1
    gone = cast(list[Key], secateur(service.data_dir, "keys", "list", "--revoked", "--json").json)
    assert {key["id"], rotated["id"]} <= {each["id"] for each in gone}
    done = cast(list[AuditEntry], secateur(service.data_dir, "audit", "--of", key["id"], "--json").json)
    assert [(entry["route"], entry["status"]) for entry in done] == [
        ("/v1/keys/{key_id}/rotate", 201),
        ("/v1/keys", 201),
    ]
    assert "POST /v1/keys/{key_id}/rotate" in secateur(service.data_dir, "audit", "--limit", "5").out
    assert secateur(service.data_dir, "audit", "--since", "2999-01-01", "--json").json == []


def test_the_first_key_of_a_team_is_made_on_the_database(service: Up, job: Job) -> None:
    made = secateur(service.data_dir, "keys", "create", "first", "--team", "neighbours", "--scope", "admin", "--json")
    key = cast(NewKey, made.json)
    assert key["scopes"] == ["admin"]
    with Client(service.url, key["key"]) as neighbours:
        [known] = neighbours.keys()
        assert known["id"] == key["id"]
        assert list(neighbours.jobs()) == []
        with pytest.raises(NotFound):
            neighbours.job(job["id"])


def test_without_a_database_no_key_is_made(tmp_path: Path) -> None:
    refused = secateur(tmp_path, "keys", "create", "first", "--team", "nobody")
    assert refused.code == 1
    assert "SECATEUR_DATABASE_URL is not set" in refused.err


def test_a_wrong_key_is_told(service: Up) -> None:
    refused = secateur(service.data_dir, "--key", "sec_0_wrong", "jobs")
    assert refused.code == 1
    assert "key" in refused.err


def test_an_address_without_a_key_says_how_to_give_one(service: Up, tmp_path: Path) -> None:
    refused = secateur(tmp_path, "--url", service.url, "jobs")
    assert refused.code == 1
    assert "--key or SECATEUR_KEY" in refused.err


def test_no_service_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    refused = secateur(tmp_path, "--url", "http://127.0.0.1:9", "--key", "sec_a_b", "jobs")
    assert refused.code == 1
    assert "http://127.0.0.1:9" in refused.err
    assert "secateur up" in refused.err
    assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["jobs", "--status", "lost"], ["datasets", "upload", "x", "train.csv"], ["nonsense"]]
)
def test_a_wrong_command_line_ends_with_code_2(tmp_path: Path, words: list[str]) -> None:
    assert secateur(tmp_path, *words).code == 2
