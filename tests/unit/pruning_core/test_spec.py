"""The spec: what is accepted, what is refused, and with which words."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pruning_core.spec import METHODS, PruningSpec, describe_methods

TASK = {"text": "text", "label": "label"}


def test_the_smallest_spec_has_working_defaults() -> None:
    spec = PruningSpec(method="movement", target_sparsity=0.9)
    assert spec.final_density == 0.1
    assert spec.schedule(6000).total_steps == 6 * 188


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "choose one of movement, magnitude"),
        ({"target_sparsity": 0.0}, "greater than 0"),
        ({"target_sparsity": 1.0}, "less than 1"),
        ({"target_sparsity": float("nan")}, "finite"),
        ({"sparsity": 0.9}, "Extra inputs"),
        ({"training": {"epoch": 3}}, "Extra inputs"),
        ({"training": {"batch_size": 0}}, "greater than or equal to 1"),
        ({"pruning": {"params": {"temperature": 1}}}, "Parameters of 'movement': score_init"),
        ({"pruning": {"params": {"score_init": "ones"}}}, "pruning.params.score_init"),
        ({"pruning": {"modules": "("}}, "not a regular expression"),
        ({"pruning": {"modules": "(?=query)"}}, "RE2"),
        ({"pruning": {"schedule": {"shape": "step"}}}, "cubic"),
        ({"task": {"text": "a", "label": "a"}}, "different columns"),
        ({"method": "magnitude", "training": {"score_learning_rate": 0.1}}, "learns no scores"),
    ],
)
def test_a_bad_spec_is_refused_with_the_remedy(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace(".", r"\.")):
        PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9} | change)


def test_resolving_writes_every_default_out_and_changes_nothing_given() -> None:
    plain = PruningSpec(method="movement", target_sparsity=0.9).resolved()
    assert (plain.training.learning_rate, plain.training.score_learning_rate) == (1e-4, 5e-4)
    assert plain.pruning.params == {"score_init": "magnitude"}
    paper = {"pruning": {"params": {"score_init": "zeros"}}, "training": {"learning_rate": 3e-5}}
    given = PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9} | paper).resolved()
    assert (given.training.learning_rate, given.training.score_learning_rate) == (3e-5, 1e-2)
    assert PruningSpec(method="magnitude", target_sparsity=0.9).resolved().training.score_learning_rate is None
    assert given.resolved() == given


@pytest.mark.parametrize(
    ("training", "rows", "steps"),
    [
        ({"epochs": 3, "batch_size": 32}, 6000, 564),
        ({"epochs": 3, "batch_size": 32}, 33, 6),
        ({"epochs": 0.5, "batch_size": 32}, 6400, 100),
        ({"epochs": 2, "batch_size": 16, "gradient_accumulation": 4}, 640, 20),
        ({"max_steps": 7, "epochs": 100}, 6000, 7),
    ],
)
def test_steps_are_counted_per_optimizer_step(training: dict[str, float], rows: int, steps: int) -> None:
    spec = PruningSpec.model_validate({"method": "movement", "target_sparsity": 0.9, "training": training})
    assert spec.total_steps(rows) == steps


def test_every_method_is_described_with_its_source_and_parameters() -> None:
    described = {str(method["name"]): method for method in describe_methods()}
    assert set(described) == set(METHODS)
    assert all(method["summary"] and method["source"] for method in described.values())
    assert described["movement"]["parameters"]


def test_the_spec_needs_no_torch() -> None:
    code = "import pruning_core, pruning_core.spec, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
