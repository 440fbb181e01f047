"""The spec: what is accepted, what is refused, and with which words."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pruning_core.defaults import default_cooldown, default_dense_learning_rate, default_learning_rate
from pruning_core.spec import METHODS, PruningSpec, describe_methods
from tests.unit.pruning_core.runs import short_spec

TASK = {"text": "text", "label": "label"}


def test_the_smallest_spec_has_working_defaults() -> None:
    spec = PruningSpec(method="movement", target_sparsity=0.9)
    assert spec.final_density == 0.1
    assert spec.schedule(6000).total_steps == 6 * 188


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "choose one of movement, soft_movement"),
        ({"target_sparsity": 0.0}, "greater than 0"),
        ({"target_sparsity": 1.0}, "less than 1"),
        ({"target_sparsity": float("nan")}, "finite"),
        ({"sparsity": 0.9}, "Extra inputs"),
        ({"training": {"epoch": 3}}, "Extra inputs"),
        ({"training": {"batch_size": 0}}, "greater than or equal to 1"),
        ({"pruning": {"params": {"temperature": 1}}}, "Parameters of 'movement': score_init"),
        ({"pruning": {"params": {"score_init": "ones"}}}, "pruning.params.score_init"),
        ({"pruning": {"params": {"score_ini": "zeros"}}}, "no parameter of 'movement'. Did you mean 'score_init'"),
        ({"pruning": {"params": {"score_penalty": -1}}}, "score_penalty: input should be greater than or equal to 0"),
        ({"pruning": {"modules": "("}}, "not a regular expression"),
        ({"pruning": {"modules": "(?=query)"}}, "RE2"),
        ({"pruning": {"schedule": {"shape": "step"}}}, "cubic"),
        ({"task": {"text": "a", "label": "a"}}, "different columns"),
        ({"method": "magnitude", "training": {"score_learning_rate": 0.1}}, "learns no scores"),
        # so small, or so near to one, that fp32 makes NaN of them
        ({"method": "obd", "pruning": {"params": {"smoothing": 0.9999999999}}}, "less than or equal to 0.9999"),
        ({"method": "obs", "pruning": {"params": {"dampening": 1e-40}}}, "greater than or equal to 0.000000000001"),
        ({"distillation": {"temperature": 1e-45}}, "greater than or equal to 0.01"),
    ],
)
def test_a_bad_spec_is_refused_with_the_remedy(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace(".", r"\.")):
        PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9} | change)


def test_resolving_writes_every_default_out_and_changes_nothing_given() -> None:
    plain = PruningSpec(method="movement", target_sparsity=0.9).resolved(6000, 384)
    assert plain.training.learning_rate == default_learning_rate(6 * 188, 384)
    assert plain.training.score_learning_rate is not None
    assert (plain.pruning.scope, plain.pruning.granularity) == ("global", "element")
    assert (plain.pruning.schedule.shape, plain.training.epochs) == ("cubic", 6.0)
    assert plain.pruning.params == {"score_init": "magnitude", "score_penalty": 3.0}
    paper = {"pruning": {"params": {"score_init": "zeros"}}, "training": {"learning_rate": 3e-5}}
    given = PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9} | paper).resolved(6000, 384)
    assert (given.training.learning_rate, given.training.score_learning_rate) == (3e-5, 1e-2)
    magnitude = PruningSpec(method="magnitude", target_sparsity=0.9)
    assert magnitude.resolved(6000, 384).training.score_learning_rate is None
    assert given.resolved(6000, 384) == given


@pytest.mark.parametrize("method", METHODS)
def test_a_resolved_spec_is_a_valid_spec_that_resolves_to_itself(method: str) -> None:
    resolved = short_spec(method).resolved(96, 384)
    again = PruningSpec.model_validate_json(resolved.model_dump_json())
    assert again == resolved
    assert again.resolved(96, 384) == resolved
    assert again.schedule(96) == short_spec(method).schedule(96)


def test_the_default_learning_rate_falls_with_the_root_of_the_steps() -> None:
    rates = [default_learning_rate(steps, 384) for steps in (0, 60, 250, 1000, 4000, 10**6)]
    assert rates == [4e-4, 4e-4, 4e-4, 2e-4, 1e-4, 3e-5]


def test_the_default_learning_rate_falls_with_the_square_of_the_width_between_two_bounds() -> None:
    assert [default_learning_rate(1000, width) for width in (32, 192, 768, 8192)] == [1e-3, 8e-4, 5e-5, 3e-5]
    assert default_learning_rate(25_000, 768) == 3e-5, "the paper's, for BERT-base"


def test_the_dense_baseline_has_a_rate_of_its_own_unless_one_is_given_for_both() -> None:
    def rates(**training: object) -> tuple[float | None, float | None]:
        fields = {"method": "movement", "target_sparsity": 0.9, "training": {"max_steps": 60, **training}}
        resolved = PruningSpec.model_validate(fields).resolved(6000, 384).training
        return resolved.learning_rate, resolved.dense_learning_rate

    assert rates() == (2e-4, 1e-4)
    assert rates(start_from="model") == (4e-4, 1e-4)
    assert rates(learning_rate=3e-5) == (3e-5, 3e-5)
    assert rates(dense_learning_rate=2e-5) == (2e-4, 2e-5)
    assert rates(learning_rate=3e-4, dense_learning_rate=2e-5) == (3e-4, 2e-5)
    assert rates(dense_baseline=False) == (4e-4, None)
    assert [default_dense_learning_rate(width) for width in (32, 192, 768, 8192)] == [1e-3, 4e-4, 2.5e-5, 1e-5]


@pytest.mark.parametrize(
    ("method", "start", "at"),
    [
        ("movement", "dense", {20: 1e-2, 60: 3.3e-3, 100: 2e-3, 300: 6.7e-4}),
        ("soft_movement", "dense", {100: 3e-3, 300: 1e-3}),
        ("movement", "model", {60: 5e-4, 300: 5e-4, 2000: 2.5e-4}),
        ("l0", "dense", {60: 0.5, 100: 0.4}),
        ("l0", "model", {60: 0.5, 100: 0.4}),
    ],
)
def test_scores_of_a_model_that_knows_its_task_move_as_far_however_short_the_run(
    method: str, start: str, at: dict[int, float]
) -> None:
    for steps, rate in at.items():
        fields = {"method": method, "target_sparsity": 0.9, "training": {"max_steps": steps, "start_from": start}}
        assert PruningSpec.model_validate(fields).resolved(6000, 384).training.score_learning_rate == rate


@pytest.mark.parametrize(
    ("start", "density", "penalty"),
    [
        ("dense", 0.5, 3),
        ("dense", 0.1, 5),
        ("dense", 0.0625, 8),
        ("dense", 0.03, 10),
        ("dense", 0.01, 10),
        ("model", 0.03, 3),
    ],
)
def test_scores_of_a_model_that_knows_its_task_sink_the_faster_the_less_is_left(
    start: str, density: float, penalty: float
) -> None:
    def penalty_of(params: dict[str, object]) -> object:
        training = {"max_steps": 60, "start_from": start}
        fields = {"target_sparsity": 1 - density, "training": training, "pruning": {"params": params}}
        return (
            PruningSpec.model_validate({"method": "movement"} | fields)
            .resolved(6000, 384)
            .pruning.params["score_penalty"]
        )

    assert penalty_of({}) == penalty
    assert penalty_of({"score_penalty": 0}) == 0
    assert penalty_of({"score_init": "zeros"}) == 3


def test_short_runs_keep_more_of_their_steps_for_the_final_density() -> None:
    shares = [default_cooldown(steps, 0.1) for steps in (150, 387, 1000, 10**6)]
    assert shares == [0.6, 0.45, 0.3, 0.3], "387 is the geometric mean of 150 and 1,000"
    training = {"max_steps": 100, "start_from": "model"}
    short = PruningSpec(method="movement", target_sparsity=0.9, training=training)
    assert short.schedule(5000).cooldown_steps == 60
    assert short.resolved(5000, 384).pruning.schedule.cooldown == 0.6
    of_dense = PruningSpec(method="movement", target_sparsity=0.9, training=training | {"start_from": "dense"})
    assert of_dense.schedule(5000).cooldown_steps == 30, "what knows its task is pruned more slowly"
    shortest = PruningSpec(method="movement", target_sparsity=0.9, training={"max_steps": 17, "start_from": "model"})
    assert shortest.schedule(5000).cooldown_steps == 5, "a default leaves a window to prune in where there is one"
    named = PruningSpec(
        method="movement", target_sparsity=0.9, training={"max_steps": 100}, pruning={"schedule": {"cooldown": 0.2}}
    )
    assert named.schedule(5000).cooldown_steps == 20


@pytest.mark.parametrize(
    ("changes", "start", "init"),
    [
        ({"training": {"max_steps": 300}}, "dense", "sensitivity"),
        ({"training": {"max_steps": 301}}, "model", "magnitude"),
        ({"training": {"max_steps": 301, "start_from": "dense"}}, "dense", "sensitivity"),
        ({"training": {"max_steps": 60, "start_from": "model"}}, "model", "magnitude"),
        ({"training": {"max_steps": 60, "dense_baseline": False}}, "model", "magnitude"),
        ({"training": {"max_steps": 60}, "pruning": {"freeze_weights": True}}, "dense", "sensitivity"),
        (
            {"training": {"max_steps": 60, "start_from": "model"}, "pruning": {"freeze_weights": True}},
            "model",
            "sensitivity",
        ),
        (
            {"training": {"max_steps": 308}, "target_sparsity": 0.97, "pruning": {"freeze_weights": True}},
            "dense",
            "sensitivity",
        ),
        (
            {"training": {"max_steps": 501}, "target_sparsity": 0.97, "pruning": {"freeze_weights": True}},
            "model",
            "magnitude",
        ),
        ({"training": {"max_steps": 301}, "pruning": {"freeze_weights": True}}, "model", "magnitude"),
        ({"training": {"max_steps": 60}, "pruning": {"start_from_mask": True}}, "model", "magnitude"),
        ({"training": {"max_steps": 60}, "pruning": {"params": {"score_init": "zeros"}}}, "dense", "zeros"),
    ],
)
def test_short_runs_prune_the_dense_baseline(changes: dict[str, object], start: str, init: str) -> None:
    spec = PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9} | changes)
    resolved = spec.resolved(6000, 384)
    assert (resolved.training.start_from, resolved.pruning.params["score_init"]) == (start, init)
    assert resolved.resolved(6000, 384) == resolved
    assert PruningSpec.model_validate(resolved.model_dump()).resolved(6000, 384) == resolved


@pytest.mark.parametrize(
    ("method", "scope", "granularity"),
    [("movement", "global", "element"), ("wanda", "local", "element"), ("head", "global", "head"),
     ("layerdrop", "global", "layer"), ("l0", "global", "element")],
)  # fmt: skip
def test_scope_and_granularity_default_by_method(method: str, scope: str, granularity: str) -> None:
    spec = short_spec(method)
    assert (spec.scope, spec.granularity) == (scope, granularity)


@pytest.mark.parametrize(
    ("training", "rows", "steps"),
    [
        ({"epochs": 3, "batch_size": 32}, 6000, 564),
        ({"epochs": 3, "batch_size": 32}, 33, 6),
        ({"epochs": 0.5, "batch_size": 32}, 6400, 100),
        ({"epochs": 2, "batch_size": 16, "gradient_accumulation": 4}, 640, 20),
        ({"max_steps": 7, "epochs": 100}, 6000, 7),
        ({"epochs": 0.3, "batch_size": 32}, 3200, 30),
        ({"epochs": 1.1, "batch_size": 32}, 3200, 110),
        ({"epochs": 0.001, "batch_size": 32}, 64, 1),
        ({"epochs": 1e-9}, 6000, 1),
    ],
)
def test_steps_are_counted_per_optimizer_step(training: dict[str, float], rows: int, steps: int) -> None:
    spec = PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9, "training": training})
    assert spec.total_steps(rows) == steps


@pytest.mark.parametrize("training", [{"epochs": 0}, {"max_steps": 0}])
def test_a_run_without_training_has_no_steps(training: dict[str, float]) -> None:
    spec = PruningSpec.model_validate({"method": "magnitude", "target_sparsity": 0.9, "training": training})
    assert (spec.total_steps(6000), spec.trains, spec.shape) == (0, False, "one_shot")
    assert spec.schedule(6000).density(0) == 0.1
    assert spec.resolved(6000, 384).pruning.schedule.shape == "one_shot"


def test_wanda_needs_no_more_than_a_target_and_trains_only_when_told_to() -> None:
    spec = PruningSpec(method="wanda", target_sparsity=0.5)
    assert (spec.epochs, spec.trains, spec.shape) == (0.0, False, "one_shot")
    resolved = spec.resolved(6000, 384)
    assert (resolved.training.epochs, resolved.pruning.schedule.shape) == (0.0, "one_shot")
    for training, steps in (({"epochs": 1}, 188), ({"max_steps": 7}, 7)):
        trained = PruningSpec.model_validate({"method": "wanda", "target_sparsity": 0.5, "training": training})
        assert (trained.total_steps(6000), trained.shape) == (steps, "one_shot")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_takes_a_target_alone(method: str) -> None:
    spec = PruningSpec(method=method, target_sparsity=0.5)
    assert spec.shape == METHODS[method].shapes[0]
    assert spec.epochs == (0.0 if method == "wanda" else 6.0)
    assert PruningSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_schedule_that_an_older_version_wrote_out_is_still_taken() -> None:
    written = {"schedule": {"shape": "cubic", "warmup": 0.1, "cooldown": None}}
    spec = PruningSpec.model_validate({"method": "rewind", "target_sparsity": 0.9, "pruning": written})
    assert spec.schedule(6000) == PruningSpec(method="rewind", target_sparsity=0.9).schedule(6000)


def test_every_method_is_described_with_its_source_and_parameters() -> None:
    described = {str(method["name"]): method for method in describe_methods()}
    assert set(described) == set(METHODS)
    assert all(method["summary"] and method["source"] for method in described.values())
    assert described["movement"]["parameters"]


def test_the_spec_needs_no_torch() -> None:
    code = "import pruning_core, pruning_core.spec, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
