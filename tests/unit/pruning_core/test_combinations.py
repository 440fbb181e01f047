"""What goes together: every refusal names its reason, and whatever is accepted runs."""

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from pruning_core import prune
from pruning_core.granularity import kind_of
from pruning_core.methods import METHODS
from pruning_core.spec import PruningSpec
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import SHORT

Fields = dict[str, object]

REFUSALS: list[tuple[str, Fields, str]] = [
    ("magnitude", {"training": {"score_learning_rate": 0.1}},
     "training.score_learning_rate does not apply: method 'magnitude' learns no scores"),
    ("magnitude", {"training": {"dense_learning_rate": 1e-4, "dense_baseline": False}},
     "training.dense_learning_rate does not apply: training.dense_baseline is false"),
    ("magnitude", {"pruning": {"scope": "budget"}},
     r"pruning.scope 'budget' does not go with method 'magnitude' \(it learns no scores to make budgets of\). "
     "Use 'global' or 'local'"),
    ("l0", {"pruning": {"scope": "local"}}, "pruning.scope 'local' does not go with method 'l0'. Use 'global'"),
    ("wanda", {"pruning": {"scope": "global", "schedule": {"shape": "one_shot"}}},
     "pruning.scope 'global' does not go with method 'wanda'. Use 'local'"),
    ("obs", {"pruning": {"granularity": "row"}},
     "pruning.granularity 'row' does not go with method 'obs'. Use 'element'"),
    ("obs", {"pruning": {"granularity": {"block": [4, 4]}}},
     "pruning.granularity 'block 4x4' does not go with method 'obs'"),
    ("head", {"pruning": {"granularity": "element"}}, "pruning.granularity 'element' does not go with method 'head'"),
    ("wanda", {"pruning": {"schedule": {"shape": "cubic"}}},
     "pruning.schedule.shape 'cubic' does not go with method 'wanda'. Use 'one_shot'"),
    ("soft_movement", {"pruning": {"schedule": {"shape": "one_shot"}}},
     "pruning.schedule.shape 'one_shot' does not go with method 'soft_movement'. Use 'cubic' or 'linear'"),
    ("movement", {"pruning": {"granularity": "2:4"}}, "keeps two of every four weights: set target_sparsity to 0.5"),
    ("movement", {"pruning": {"granularity": "row", "scope": "budget"}},
     "pruning.scope 'budget' is for single weights"),
    ("magnitude", {"pruning": {"granularity": "layer", "scope": "local"}},
     "pruning.scope 'local' has no meaning for whole layers"),
    ("taylor", {"pruning": {"freeze_weights": True}},
     "pruning.freeze_weights needs a method that learns scores, and 'taylor' does not. "
     "Use 'movement', 'soft_movement' or 'l0'"),
    ("wanda", {"pruning": {"start_from_mask": True}},
     "pruning.start_from_mask does not go with method 'wanda': it keeps equally many weights in each row"),
    ("layerdrop", {"pruning": {"start_from_mask": True}},
     "pruning.start_from_mask does not go with method 'layerdrop': it chooses layers by their place alone"),
    ("magnitude", {"target_sparsity": 0.5, "pruning": {"start_from_mask": True, "granularity": "2:4"}},
     "pruning.start_from_mask does not go with pruning.granularity '2:4'"),
    ("movement", {"distillation": {}, "training": {"dense_baseline": False}},
     "training.dense_baseline false leaves out the dense model"),
    ("movement", {"training": {"epochs": 0}},
     "training.epochs 0 trains nothing, and method 'movement' learns by training. Use 'magnitude' or 'wanda', or "
     "train"),
    ("rewind", {"pruning": {"schedule": {"warmup": 0.3}}},
     "pruning.schedule does not apply: method 'rewind' has a schedule of its own"),
    ("rewind", {"training": {"max_steps": 0}}, "training.max_steps 0 trains nothing, and method 'rewind'"),
    ("magnitude", {"training": {"epochs": 0}, "pruning": {"schedule": {"shape": "cubic"}}},
     "shape must be 'one_shot' with training.epochs 0: without steps there is nothing gradual. Leave it out"),
    ("magnitude", {"training": {"epochs": 0}, "distillation": {}}, "training.epochs 0 trains nothing, so there is "
     "nothing to distil"),
    ("layerdrop", {"pruning": {"reconstruct": True}},
     r"pruning.reconstruct does not go with whole layers \(pruning.granularity 'layer'\), of which those that stay"),
    ("movement", {"pruning": {"reconstruct": True, "granularity": "layer"}},
     "pruning.reconstruct does not go with whole layers"),
    ("movement", {"pruning": {"reconstruct": True, "freeze_weights": True}},
     "pruning.reconstruct chooses weights anew, which pruning.freeze_weights leaves as they are"),
    ("magnitude", {"pruning": {"reconstruct": True}, "training": {"dense_baseline": False}},
     "pruning.reconstruct fits what is left to the dense model, which training.dense_baseline false leaves out"),
    ("magnitude", {"pruning": {"reconstruct": True}, "training": {"start_from": "model"}},
     "pruning.reconstruct fits what is left of the dense baseline to it, and training.start_from 'model' prunes the "),
    ("magnitude", {"pruning": {"reconstruct": True, "start_from_mask": True}},
     "pruning.reconstruct fits what is left of the dense baseline to it, and pruning.start_from_mask prunes the given"),
    ("movement", {"export": {"structured": True}}, "export.structured takes out whole heads and neurons, and "
     "pruning.granularity 'element' leaves none dead. Use granularity 'structured', 'hybrid' or 'head', or leave it"),
    ("movement", {"export": {"structured": True}, "pruning": {"granularity": {"block": [1, 1]}}},
     "export.structured takes out whole heads and neurons, and pruning.granularity 'block 1x1' leaves none dead."),
    ("movement", {"export": {"int8": True}}, "export.int8 quantises model.onnx: set export.onnx to true, too"),
    ("wanda", {"distillation": {}}, r"training.epochs 0 \(the default of method 'wanda'\) trains nothing, so there is"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "changes", "words"), REFUSALS)
def test_choices_that_do_not_go_together_are_refused_with_the_reason(method: str, changes: Fields, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PruningSpec.model_validate({"method": method, "target_sparsity": 0.9} | changes)


def test_a_schedule_written_out_by_default_is_not_refused() -> None:
    spec = PruningSpec(method="rewind", target_sparsity=0.9)
    assert PruningSpec.model_validate(spec.model_dump(mode="json")) == spec


# --- what is accepted, runs ----------------------------------------------------------------------------------------

SCOPES = ["global", "local", "budget"]
GRANULARITIES: list[object] = ["element", "2:4", {"block": [7, 5]}, "row", "column", "structured", "head", "layer"]
SHAPES = ["cubic", "linear", "one_shot"]
FROZEN = [False, True]
DISTILLED: list[Fields | None] = [None, {"teacher": "mdl"}]


def accepted(choice: tuple[str, str, object, str, bool, Fields | None]) -> PruningSpec | None:
    """The spec of a choice; None where it is refused."""
    method, scope, granularity, shape, frozen, distillation = choice
    fields: Fields = {
        "method": method,
        "target_sparsity": 0.5,
        "task": {"text": "text", "label": "label"},
        "training": SHORT,
        "pruning": {
            "scope": scope,
            "granularity": granularity,
            "schedule": {"shape": shape},
            "freeze_weights": frozen,
        },
        "distillation": distillation,
    }
    try:
        return PruningSpec.model_validate(fields)
    except ValidationError:
        return None


def pairwise_covering() -> list[PruningSpec]:
    """Few accepted specs that hold every pair of choices that any accepted spec holds (greedily chosen)."""
    axes = (list(METHODS), SCOPES, GRANULARITIES, SHAPES, FROZEN, DISTILLED)
    options = [(choice, spec) for choice in itertools.product(*axes) if (spec := accepted(choice))]
    pairs_of = [
        {(i, str(choice[i]), j, str(choice[j])) for i, j in itertools.combinations(range(6), 2)}
        for choice, _ in options
    ]
    open_pairs = set().union(*pairs_of)
    chosen: list[PruningSpec] = []
    while open_pairs:
        best = max(range(len(options)), key=lambda k: len(pairs_of[k] & open_pairs))
        open_pairs -= pairs_of[best]
        chosen.append(options[best][1])
    return chosen


def title(spec: PruningSpec) -> str:
    parts = [spec.method, spec.scope, str(spec.granularity), spec.shape]
    return " ".join(parts + ["frozen"] * spec.pruning.freeze_weights + ["distilled"] * (spec.distillation is not None))


COVERING = pairwise_covering()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("spec", COVERING, ids=map(title, COVERING))
def test_every_pair_of_choices_that_is_accepted_runs_to_its_target(
    spec: PruningSpec, model_dir: Path, tmp_path: Path
) -> None:
    teacher = model_dir if spec.distillation else None
    result = prune(
        model_dir, reviews(48), spec, tmp_path, evaluation=reviews(20, seed=1), teacher=teacher, illustrated=False
    )
    kept, total = sum(layer.kept for layer in result.layers), sum(layer.total for layer in result.layers)
    kind = kind_of(spec.granularity)
    head = 4 * 8 * 32
    units = {"element": 1, "2:4": 1, "block": 35, "row": 64, "column": 64, "layer": total // 2}
    unit = (units | {"structured": head, "head": head})[kind]
    families = len(result.layers) if spec.scope == "local" and unit > 1 else 1
    assert abs(kept - total / 2) <= unit / 2 * families + 1
    if kind == "2:4":
        assert all(layer.kept == layer.total / 2 for layer in result.layers)


def test_the_table_of_pairs_is_neither_empty_nor_endless() -> None:
    assert 20 < len(COVERING) < 90
    assert {spec.method for spec in COVERING} == set(METHODS)
