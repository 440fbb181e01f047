"""The training loop around the masks: optimizer groups, clipping, precision, divergence, and what is evaluated."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from pruning_core import evaluation, prune, training
from pruning_core.masking import MaskedWeights
from pruning_core.methods import METHODS
from pruning_core.pruner import Pruner
from pruning_core.schedule import Schedule
from pruning_core.selection import Diverged
from pruning_core.training import FineTuning, Progress
from tests.tiny import reviews, save_tiny_model, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_run, short_spec
from tests.unit.pruning_core.toys import flattened, gradient_of, score_gradient_of, set_gradient

LEARNERS = [name for name, method in METHODS.items() if method.learns_scores]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@dataclass
class Watch:
    """The phases of a run, looked at before and after each of their steps."""

    before: Callable[[FineTuning, int], None] = lambda phase, step: None
    after: Callable[[FineTuning, int], None] = lambda phase, step: None
    phases: list[FineTuning] = field(default_factory=list)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    original = FineTuning.step

    def step(self: FineTuning, number: int) -> Tensor:
        if self not in found.phases:
            found.phases.append(self)
        found.before(self, number)
        norm = original(self, number)
        found.after(self, number)
        return norm

    monkeypatch.setattr(FineTuning, "step", step)
    return found


def weights_of(phase: FineTuning) -> MaskedWeights:
    assert phase.pruner is not None
    return phase.pruner.weights


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", LEARNERS)
def test_scores_are_an_optimizer_group_of_their_own_without_decay(
    method: str, frozen: bool, watch: Watch, model_dir: Path, tmp_path: Path
) -> None:
    spec = short_spec(method, pruning={"freeze_weights": frozen}, training={"score_learning_rate": 0.02})
    short_run(model_dir, tmp_path, spec)
    [phase] = watch.phases
    masked, others = weights_of(phase), {id(parameter) for parameter in phase.others}
    first, scores = phase.optimizer.param_groups
    assert [id(parameter) for parameter in scores["params"]] == [id(part) for part in masked.trained_scores]
    assert {id(parameter) for parameter in first["params"]} == others | {id(parameter) for parameter in masked.trained}
    assert bool(masked.trained) is not frozen
    assert first["weight_decay"] == scores["weight_decay"] == 0.0
    assert scores["lr"] / first["lr"] == pytest.approx(0.02 / 1e-3)
    assert all(id(matrix.parameter) not in others for matrix in masked.matrices)


@pytest.mark.parametrize("method", METHODS)
def test_weights_scores_and_moments_stay_fp32_under_bf16_autocast(
    method: str, watch: Watch, model_dir: Path, tmp_path: Path
) -> None:
    seen: list[torch.dtype] = []

    def after(phase: FineTuning, step: int) -> None:
        masked = weights_of(phase)
        seen.extend(tensor.dtype for tensor in (masked.weight, masked.score, *masked.trained, *masked.trained_scores))
        seen.extend(tensor.dtype for tensor in masked.buffers.values())
        seen.extend(tensor.dtype for state in phase.optimizer.state.values() for tensor in state.values())
        seen.extend(parameter.dtype for parameter in phase.others)

    watch.after = after
    inside: list[bool] = []
    model_forward = torch.nn.functional.linear
    with pytest.MonkeyPatch.context() as patch:

        def linear(x: Tensor, *rest: Tensor | None) -> Tensor:
            inside.append(torch.is_autocast_enabled(x.device.type))
            return model_forward(x, *rest)  # type: ignore[arg-type]

        patch.setattr(torch.nn.functional, "linear", linear)
        short_run(model_dir, tmp_path, short_spec(method, training={"precision": "bf16"}))
    assert set(seen) == {torch.float32}
    assert any(inside), "bf16 was on"


def test_weights_and_scores_are_clipped_apart() -> None:
    pruner = Pruner(tiny_model(), short_spec("movement"), Schedule("cubic", 100, 10, 30, 0.1))
    pruner.begin()
    other = torch.nn.Parameter(torch.zeros(3))
    other.grad = torch.tensor([0.0, 3.0, 4.0])
    torch.manual_seed(0)
    gradient = torch.randn(len(pruner.weights))
    set_gradient(pruner.weights, gradient)
    scores = gradient * pruner.weights.weight
    norm = pruner.before_optimizer_step([other], max_norm=1.0)
    together = (gradient.norm() ** 2 + 25).sqrt()
    torch.testing.assert_close(norm, together)
    torch.testing.assert_close(gradient_of(pruner.weights), gradient / together, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(other.grad, torch.tensor([0.0, 3.0, 4.0]) / together, rtol=1e-4, atol=1e-7)
    expected = scores / scores.norm().clamp(min=1.0)
    torch.testing.assert_close(score_gradient_of(pruner.weights), expected, rtol=1e-4, atol=1e-9)


def test_frozen_weights_never_move_and_the_head_does(watch: Watch, model_dir: Path, tmp_path: Path) -> None:
    short_run(model_dir, tmp_path, short_spec(pruning={"freeze_weights": True}))
    before, after = (load_file(path / "model.safetensors") for path in (model_dir, tmp_path / "model"))
    for matrix in weights_of(watch.phases[0]).matrices:
        name = f"bert.{matrix.name}.weight"
        assert bool(((after[name] == before[name]) | (after[name] == 0)).all())
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_the_dense_baseline_is_fine_tuned_without_masks_from_the_same_numbers(
    watch: Watch, model_dir: Path, tmp_path: Path
) -> None:
    starts: list[dict[str, Tensor]] = []

    def before(phase: FineTuning, step: int) -> None:
        if step == 0:
            starts.append({name: p.detach().clone() for name, p in phase.model.named_parameters()})

    watch.before = before
    short_run(model_dir, tmp_path, short_spec(training={"dense_baseline": True, "start_from": "model"}))
    dense, pruned = watch.phases
    assert dense.pruner is None
    assert all(bool((p != 0).all()) for p in dense.model.parameters() if p.dim() == 2 and p.requires_grad)
    assert all(torch.equal(tensor, starts[1][name]) for name, tensor in starts[0].items())
    assert sum(weights_of(pruned).kept()) == 1638


def test_every_point_of_the_curve_is_judged_with_the_mask_of_the_moment(
    watch: Watch, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Tensor] = []
    expected: list[Tensor] = []
    original = evaluation.evaluate

    def evaluate(model: PreTrainedModel, *args: object, **kwargs: object) -> dict[str, float]:
        masked = weights_of(watch.phases[0])
        judged.append(flattened([matrix.parameter.detach().clone() for matrix in masked.matrices]))
        expected.append(masked.weight.detach() * masked.mask)
        return original(model, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "evaluate", evaluate)
    seen: list[Progress] = []
    prune(
        model_dir,
        reviews(96),
        short_spec(),
        tmp_path,
        evaluation=reviews(8, seed=1),
        on_progress=seen.append,
        illustrated=False,
    )
    assert len(judged) >= 6
    assert len({int((point != 0).sum()) for point in judged}) >= 4, "the mask changes from point to point"
    for ours, theirs in zip(judged, expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("method", "precision", "remedy"),
    [
        ("movement", "fp32", r"Lower training\.learning_rate or training\.score_learning_rate\.$"),
        ("magnitude", "fp32", r"Lower training\.learning_rate\.$"),
        ("magnitude", "bf16", r"Lower training\.learning_rate, or set training\.precision to fp32\.$"),
    ],
)
def test_a_model_that_computes_no_numbers_is_called_diverged(
    method: str, precision: str, remedy: str, tmp_path: Path
) -> None:
    """And told to change only what the run has: no scores where none are learnt, no fp32 where it computes in that."""
    broken = save_tiny_model(tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["classifier.weight"].sign_().mul_(3e38)  # finite, but no answer is
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(Diverged, match=remedy):
        short_run(broken, tmp_path / "out", short_spec(method, training={"precision": precision}))


@pytest.mark.parametrize("method", ["movement", "magnitude"])
def test_a_run_that_diverges_between_two_points_of_the_curve_is_called_diverged(
    method: str, watch: Watch, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Selection meets the NaN before the loss is looked at."""
    monkeypatch.setattr(training, "LOSS_POINTS", 1)

    def before(phase: FineTuning, step: int) -> None:
        if step == 10:
            phase.model.get_parameter("classifier.weight").data.fill_(torch.nan)

    watch.before = before
    with pytest.raises(Diverged, match="Lower"):
        short_run(model_dir, tmp_path, short_spec(method))


def test_steps_beyond_and_below_an_epoch_are_taken_as_told(watch: Watch, model_dir: Path, tmp_path: Path) -> None:
    for steps in (3, 11, 50):  # of 12 in an epoch
        watch.phases.clear()
        one_shot = {"schedule": {"shape": "one_shot", "warmup": 0.5}}
        seen: list[Progress] = []
        spec = short_spec("magnitude", pruning=one_shot, training={"max_steps": steps})
        short_run(model_dir, tmp_path / str(steps), spec, on_progress=seen.append)
        *trained, delivering = seen
        assert [progress.step for progress in trained] == list(range(1, steps + 1))
        assert {"train/loss", "eval/accuracy"} <= set(trained[-1].metrics)
        assert (delivering.phase, delivering.step, delivering.metrics) == ("delivering", steps, {})


def test_a_fit_is_told_and_whoever_watches_can_end_it(model_dir: Path, tmp_path: Path) -> None:
    class Enough(Exception):  # not an error: somebody has asked to stop
        pass

    seen: list[Progress] = []
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += seen[-1].phase == "fitting"
        if ticks == 7:
            raise Enough

    spec = short_spec("movement", training={"dense_baseline": True}, pruning={"reconstruct": True})
    with pytest.raises(Enough):
        short_run(model_dir, tmp_path, spec, on_progress=seen.append, tick=tick)
    before, fitting = seen[-2:]
    assert (fitting.phase, fitting.step, fitting.total_steps) == ("fitting", before.step + 1, 48)
    assert fitting.density == pytest.approx(0.1)
    assert not fitting.metrics
    seen.clear()
    ticks = -1000
    short_run(model_dir, tmp_path, spec, on_progress=seen.append, tick=tick)
    assert ticks == -1000 + 12, "once for each of the matrices"
    assert [progress.phase for progress in seen].count("fitting") == 1
    assert [progress.step for progress in seen if progress.phase in ("dense", "pruning")] == list(range(1, 49))


def test_a_run_that_ends_while_it_is_judged_leaves_no_report_of_an_earlier_one(model_dir: Path, tmp_path: Path) -> None:
    short_run(model_dir, tmp_path, short_spec("magnitude"))
    assert (tmp_path / "report.json").is_file()
    seen: list[Progress] = []

    def tick() -> None:
        if seen[-1].phase == "delivering":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        short_run(model_dir, tmp_path, short_spec("magnitude"), on_progress=seen.append, tick=tick)
    assert (tmp_path / "model").is_dir()
    assert not (tmp_path / "report.json").exists(), "what lies there is not a run that was carried out"


@pytest.mark.parametrize("export", [{}, {"packed": "int8"}, {"onnx": True, "int8": True}], ids=str)
def test_whatever_is_judged_shows_that_work_goes_on(
    export: dict[str, object], model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches of one row: so many ticks between the last step and the end as rows are judged by each model."""
    monkeypatch.setattr(evaluation, "_MOST_PER_BATCH", 1)
    ticks: dict[str, int] = {}
    phase = "dense"

    def note(progress: Progress) -> None:
        nonlocal phase
        phase = progress.phase

    def tick() -> None:
        ticks[phase] = ticks.get(phase, 0) + 1

    spec = short_spec(training={"dense_baseline": True}, distillation={}, export=export)
    short_run(model_dir, tmp_path, spec, on_progress=note, tick=tick)
    judged = 1 + sum(name in export for name in ("packed", "onnx", "int8"))
    assert ticks["delivering"] == 40 * judged
    assert ticks["dense"] >= 40 + 96, "the baseline judged, and the rows that it teaches"


def test_the_dense_baseline_learns_at_its_own_rate(watch: Watch, model_dir: Path, tmp_path: Path) -> None:
    training = {"dense_baseline": True, "learning_rate": 1e-3, "dense_learning_rate": 1e-5}
    peaks: dict[bool, float] = {}
    watch.after = lambda phase, step: peaks.update(
        {phase.pruner is None: max(peaks.get(phase.pruner is None, 0.0), phase.optimizer.param_groups[0]["lr"])}
    )
    short_run(model_dir, tmp_path, short_spec("magnitude", training=training))
    assert peaks == {True: 1e-5, False: 1e-3}


def test_a_new_head_learns_faster_and_one_that_the_model_brings_does_not(
    watch: Watch, model_dir: Path, tmp_path: Path
) -> None:
    AutoModelForSequenceClassification.from_pretrained(model_dir).bert.save_pretrained(tmp_path / "headless")
    tiny_tokenizer().save_pretrained(tmp_path / "headless")
    training = {"dense_baseline": True, "start_from": "model", "learning_rate": 1e-3, "dense_learning_rate": 1e-4}
    groups: list[tuple[list[str], float]] = []

    def after(phase: FineTuning, step: int) -> None:
        if step == 5:  # at the peak
            names = {id(parameter): name for name, parameter in phase.model.named_parameters()}
            last = phase.optimizer.param_groups[-1]
            groups.append(([names.get(id(p), "") for p in last["params"] if p.dim() < 2], last["lr"]))

    watch.after = after
    spec = short_spec("magnitude", training={**training, "head_learning_rate_multiplier": 3})
    short_run(tmp_path / "headless", tmp_path / "out", spec)
    assert [names for names, _ in groups] == [["classifier.bias"]] * 2
    assert [rate for _, rate in groups] == [pytest.approx(3e-4), pytest.approx(3e-3)]

    groups.clear()
    short_run(tmp_path / "out" / "model", tmp_path / "again", spec)
    assert [rate for _, rate in groups] == [pytest.approx(1e-4), pytest.approx(1e-3)]
    assert all("classifier.bias" in names and len(names) > 10 for names, _ in groups)


def test_shared_layers_are_pruned_once_and_learn_from_every_use(tmp_path: Path) -> None:
    """ALBERT uses one layer's matrices in all its layers."""
    model_dir = save_tiny_model(tmp_path / "albert", "albert")
    training = {"max_steps": 150, "batch_size": 16, "learning_rate": 3e-3}
    result = prune(model_dir, reviews(480), short_spec("movement", target_sparsity=0.8, training=training),
                   tmp_path / "out", evaluation=reviews(100, seed=1),
        illustrated=False,
    )  # fmt: skip
    assert len(result.layers) == 6
    assert sum(layer.kept for layer in result.layers) == round(0.2 * sum(layer.total for layer in result.layers))
    assert result.evaluation["accuracy"] > 0.8


@pytest.fixture(scope="module")
def pretrained(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that knows its words, without a head: what fine-pruning starts from."""
    folder = tmp_path_factory.mktemp("pretrained")
    training = {"max_steps": 300, "batch_size": 16, "learning_rate": 3e-3}
    prune(
        model_dir,
        reviews(960),
        short_spec("magnitude", target_sparsity=0.01, training=training),
        folder,
        illustrated=False,
    )
    AutoModelForSequenceClassification.from_pretrained(folder / "model").bert.save_pretrained(folder / "base")
    tiny_tokenizer().save_pretrained(folder / "base")
    return folder / "base"


@pytest.mark.parametrize("method", ["movement", "magnitude", "soft_movement", "l0", "taylor", "platon"])
def test_a_short_job_ends_above_the_majority_class(method: str, pretrained: Path, tmp_path: Path) -> None:
    """One epoch of sixty steps: the textbook recipe collapses here (METHODS.md, lesson 2)."""
    training = {"max_steps": None, "epochs": 1, "batch_size": 16, "learning_rate": 3e-3}
    spec = short_spec(method, training=training)
    result = prune(pretrained, reviews(960, seed=2), spec, tmp_path, evaluation=reviews(200, seed=1), illustrated=False)
    assert result.report["data"]["steps"] == 60  # type: ignore[index]  # the report is JSON data
    assert result.evaluation["accuracy"] > 0.7, "the majority class has half"
