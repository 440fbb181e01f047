"""Looking into jobs and inputs from a terminal and from Python."""

import csv
import io
import json
from typing import cast

import pytest

from secateur import Client, Invalid
from secateur.resources import Event, Job
from tests.service.secateur.up import Up, printed, secateur, shown

pytestmark = pytest.mark.slow


def test_what_happened_to_a_job_is_shown(service: Up, client: Client, job: Job) -> None:
    id_ = job["id"]
    assert "succeeded" in shown(service, "attempts", id_)
    assert printed(service, "attempts", id_) == client.attempts(id_)
    for follow in ([], ["--follow"]):
        lines = shown(service, "events", id_, *follow).splitlines()
        assert "submitted" in lines[0]
        assert "succeeded" in lines[-1]
    assert printed(service, "events", id_, "--after", "1") == client.events(id_, after=1)
    streamed = secateur(service.data_dir, "events", id_, "--follow", "--json").out.splitlines()
    assert [cast(Event, json.loads(line))["seq"] for line in streamed] == list(range(1, len(streamed) + 1))


def test_what_a_job_measured_and_kept_is_shown(service: Up, client: Client, job: Job) -> None:
    id_ = job["id"]
    assert "train/loss" in shown(service, "metrics", id_)
    points = client.metrics(id_, "train/loss", 5)["train/loss"]
    rows = shown(service, "metrics", id_, "--name", "train/loss", "--max-points", "5").splitlines()[1:]
    assert [int(row.split()[0]) for row in rows] == [step for step, _, _ in points]
    layer = client.masks(id_)[0]
    assert layer["name"] in shown(service, "masks", id_)
    drawn = shown(service, "masks", id_, "--layer", layer["name"]).rstrip("\n").split("\n")
    assert "█" in "".join(drawn)
    picture = client.mask_picture(id_, layer["name"], side=4)
    assert len(picture) <= 4
    assert all(0 <= cell <= 1 for row in picture for cell in row)
    with pytest.raises(Invalid, match="layer"):
        client.mask_picture(id_, "nothing")


def test_inputs_are_shown(service: Up, client: Client, spec: dict[str, object]) -> None:
    dataset, model = (str(spec[name]).removeprefix("upload://") for name in ("dataset", "model"))
    assert "label" in shown(service, "datasets", "show", dataset)
    assert printed(service, "datasets", "show", dataset) == client.dataset(dataset)
    assert "can be pruned" in shown(service, "models", "show", model)
    assert printed(service, "models", "show", model) == client.model(model)


def test_a_spec_is_checked_without_a_job(service: Up, client: Client, spec: dict[str, object]) -> None:
    before = len(list(client.jobs()))
    found = client.validate(spec)
    assert found["total_steps"] == 40
    checked = secateur(service.data_dir, "validate", "-", stdin=json.dumps(spec))
    assert (checked.code, "warm-up" in checked.out) == (0, True)
    assert "text-classification: text = text, label = label" in checked.out
    assert "40, those of the dense baseline among them" in checked.out
    assert "the dense baseline, fine-tuned first" in checked.out
    alone = spec | {"training": {"max_steps": 20, "dense_baseline": False}}
    checked = secateur(service.data_dir, "validate", "-", stdin=json.dumps(alone))
    assert "those of the dense baseline" not in checked.out
    assert "fine-tuned first" not in checked.out
    assert "fits" not in checked.out
    at_once = spec | {"method": "magnitude", "target_sparsity": 0.9}
    checked = secateur(service.data_dir, "validate", "-", stdin=json.dumps(at_once))
    assert "all at once after 0 of 20 steps" in checked.out
    assert "what is left to the dense model" in checked.out
    refused = secateur(service.data_dir, "validate", "-", stdin=json.dumps(spec | {"target_sparsity": 2}))
    assert (refused.code, "target_sparsity" in refused.err) == (1, True)
    assert len(list(client.jobs())) == before


def test_jobs_are_compared(service: Up, client: Client, job: Job, waiting_spec: dict[str, object]) -> None:
    other = client.submit(waiting_spec | {"method": "magnitude", "name": "the other"})
    client.cancel(other["id"])
    ids = [job["id"], other["id"]]
    found = client.compare(ids)
    assert found["differences"]["method"] == ["movement", "magnitude"]
    assert found["jobs"][0]["runtime_s"] > 0
    assert printed(service, "compare", *ids)["differences"] == found["differences"]
    text = shown(service, "compare", *ids)
    assert "movement" in text
    assert "(dense 0." in text
    assert text.count("the other") == 1
    without = secateur(service.data_dir, "masks", other["id"])
    assert (without.out, "has left no masks yet" in without.err) == ("", True)
    for table in (client.compare_csv(ids), shown(service, "compare", *ids, "--csv")):
        assert [row["method"] for row in csv.DictReader(io.StringIO(table))] == ["movement", "magnitude"]


def test_usage_counts_what_ran(client: Client, job: Job) -> None:
    used = client.usage()
    assert used["days"][-1]["day"] == used["to"]
    assert used["total"]["jobs"]["succeeded"] >= 1
    assert used["total"]["trainer_s"] > 0
    assert used["total"]["steps"] >= (job["progress"]["total_steps"] or 0)
    assert used["stored"]["referenced"]["artifacts"] > 0
