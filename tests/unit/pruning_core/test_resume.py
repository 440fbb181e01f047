"""A run that was interrupted goes on as if nothing had happened, bit for bit."""

import json
import pickletools
import resource
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from safetensors import safe_open

from pruning_core import PruningResult, PruningSpec, prune
from pruning_core.methods import METHODS
from pruning_core.run import CheckpointError, Checkpointing
from pruning_core.training import Progress
from tests.tiny import reviews, save_tiny_model
from tests.unit.pruning_core.runs import short_spec


class Interrupted(Exception):
    """What stops a run once its checkpoint is written."""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def run(
    model_dir: Path,
    output: Path,
    spec: PruningSpec,
    seen: list[Progress],
    *,
    checkpointing: Checkpointing | None = None,
    resume_from: Path | None = None,
    teacher: Path | None = None,
) -> PruningResult:
    return prune(
        model_dir,
        reviews(64),
        spec,
        output,
        evaluation=reviews(40, seed=1),
        on_progress=seen.append,
        checkpointing=checkpointing,
        resume_from=resume_from,
        teacher=teacher,
        illustrated=False,
    )


def interrupt_at(step: int, file: Path, seen: list[Progress]) -> Checkpointing:
    """Writes a checkpoint after one step, and stops there."""

    def stop(path: Path) -> None:
        raise Interrupted

    return Checkpointing(file, due=lambda: seen[-1].step == step, written=stop)


@cache
def _uninterrupted(model_dir: Path, spec: str, teacher: Path | None) -> tuple[PruningResult, Path, list[Progress]]:
    seen: list[Progress] = []
    folder = Path(mkdtemp(dir=model_dir.parent))
    result = run(model_dir, folder, PruningSpec.model_validate_json(spec), seen, teacher=teacher)
    return result, folder, seen


def uninterrupted(
    model_dir: Path, spec: PruningSpec, teacher: Path | None = None
) -> tuple[PruningResult, Path, list[Progress]]:
    """The whole run of a spec, carried out once for all cuts: its result, its files, and its progress."""
    return _uninterrupted(model_dir, spec.model_dump_json(), teacher)


def assert_resumes(model_dir: Path, folder: Path, spec: PruningSpec, cut: int, *, teacher: Path | None = None) -> None:
    """Three runs: whole; up to the cut; from the cut on."""
    expected, files, whole = uninterrupted(model_dir, spec, teacher)
    before: list[Progress] = []
    checkpoint = folder / "checkpoint.safetensors"
    stop = interrupt_at(cut, checkpoint, before)
    with pytest.raises(Interrupted):
        run(model_dir, folder / "cut", spec, before, checkpointing=stop, teacher=teacher)
    assert before == whole[: len(before)]
    assert before[-1].step == cut
    after: list[Progress] = []
    result = run(model_dir, folder / "resumed", spec, after, resume_from=checkpoint, teacher=teacher)
    assert after == whole[len(before) :]
    assert result.evaluation == expected.evaluation
    assert result.dense_evaluation == expected.dense_evaluation
    assert result.layers == expected.layers
    for part in ("comparison", "verdict", "curves", "histogram", "errors"):
        assert result.report[part] == expected.report[part], part
    for name in ("model/model.safetensors", "model/config.json", "masks.safetensors"):
        assert (folder / "resumed" / name).read_bytes() == (files / name).read_bytes(), name


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_bit_for_bit(method: str, model_dir: Path, tmp_path: Path) -> None:
    assert_resumes(model_dir, tmp_path, short_spec(method), cut=13)


@pytest.mark.parametrize("cut", [1, 6, 18])
@pytest.mark.parametrize("method", ["rewind", "obs", "l0", "layerdrop"])
def test_methods_with_moments_of_their_own_go_on_from_each_of_them(
    method: str, cut: int, model_dir: Path, tmp_path: Path
) -> None:
    changes: dict[str, object] = {"params": {"rate": 0.8}} if method == "layerdrop" else {}
    assert_resumes(model_dir, tmp_path, short_spec(method, pruning=changes), cut)


def fitted(method: str = "magnitude", *, distillation: object = None, **schedule: object) -> PruningSpec:
    pruning = {"reconstruct": True, "schedule": schedule}
    return short_spec(method, training={"dense_baseline": True}, distillation=distillation, pruning=pruning)


VARIANTS: dict[str, tuple[Callable[[], PruningSpec], int]] = {
    "frozen weights": (lambda: short_spec(pruning={"freeze_weights": True}), 9),
    "gradient accumulation": (lambda: short_spec(training={"gradient_accumulation": 3, "batch_size": 3}), 7),
    "embeddings that train": (lambda: short_spec(training={"freeze_embeddings": False}), 15),
    "dropout": (lambda: short_spec(training={"dropout": None}), 11),
    "bf16": (lambda: short_spec(training={"precision": "bf16"}), 10),
    "blocks": (lambda: short_spec("taylor", pruning={"granularity": {"block": [8, 8]}}), 10),
    "in the dense phase": (lambda: short_spec(training={"dense_baseline": True}), 14),
    "at the dense phase's end": (lambda: short_spec(training={"dense_baseline": True}), 24),
    "after the dense phase": (lambda: short_spec(training={"dense_baseline": True}), 31),
    "the dense baseline, rewound to": (
        lambda: short_spec("rewind", training={"dense_baseline": True}, pruning={"params": {"rounds": 2}}),
        31,
    ),
    "the dense baseline, which magnitude makes forget": (
        lambda: short_spec("magnitude", training={"dense_baseline": True}),
        33,
    ),
    "fitted to the dense baseline at once": (lambda: fitted(shape="one_shot", warmup=0.0), 30),
    "to be fitted at once, at the dense phase's end": (lambda: fitted(shape="one_shot", warmup=0.0), 24),
    "to be fitted to the dense baseline": (lambda: fitted(shape="cubic", cooldown=0.5), 29),
    "just fitted to the dense baseline": (lambda: fitted(shape="cubic", cooldown=0.5), 36),
    "gates, just fitted to the dense baseline": (lambda: fitted("l0", cooldown=0.5), 36),
    "gates, to be fitted to the dense baseline": (lambda: fitted("l0", cooldown=0.5), 35),
    "to be fitted, with hidden states": (lambda: fitted(distillation={"hidden": 1.0}, shape="cubic"), 27),
    "distillation": (lambda: short_spec(distillation={}, training={"dense_baseline": True}), 33),
    "distillation, in the dense phase": (lambda: short_spec(distillation={}, training={"dense_baseline": True}), 5),
    "hidden states": (lambda: short_spec(distillation={"hidden": 1.0}, training={"dense_baseline": True}), 33),
    "hidden states and dropout": (
        lambda: short_spec(distillation={"hidden": 1.0}, training={"dense_baseline": True, "dropout": None}),
        33,
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_goes_on_bit_for_bit(variant: str, model_dir: Path, tmp_path: Path) -> None:
    spec, cut = VARIANTS[variant]
    assert_resumes(model_dir, tmp_path, spec(), cut)


def test_a_run_with_another_teacher_goes_on_bit_for_bit(model_dir: Path, tmp_path: Path) -> None:
    run(model_dir, tmp_path / "teacher", short_spec("magnitude", target_sparsity=0.1), [])
    teacher = tmp_path / "teacher" / "model"
    spec = short_spec(distillation={"teacher": "mdl_1", "hidden": 0.5})
    assert_resumes(model_dir, tmp_path, spec, 9, teacher=teacher)


def test_a_resumed_run_can_be_interrupted_again(model_dir: Path, tmp_path: Path) -> None:
    spec = short_spec("soft_movement")
    _, _, whole = uninterrupted(model_dir, spec)
    resume_from = None
    for cut in (5, 11, 20):
        seen: list[Progress] = []
        stop = interrupt_at(cut, tmp_path / "checkpoint.safetensors", seen)
        with pytest.raises(Interrupted):
            run(model_dir, tmp_path / "cut", spec, seen, checkpointing=stop, resume_from=resume_from)
        resume_from = tmp_path / "checkpoint.safetensors"
    rest: list[Progress] = []
    run(model_dir, tmp_path / "resumed", spec, rest, resume_from=resume_from)
    assert rest == whole[20:]


@pytest.fixture(scope="module")
def checkpoint(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    seen: list[Progress] = []
    with pytest.raises(Interrupted):
        run(
            model_dir,
            folder / "out",
            short_spec(),
            seen,
            checkpointing=interrupt_at(3, folder / "checkpoint.safetensors", seen),
        )
    return folder / "checkpoint.safetensors"


@pytest.mark.parametrize(
    "change",
    [{"target_sparsity": 0.8}, {"training": {"seed": 1}}, {"pruning": {"scope": "local"}}, {"method": "magnitude"}],
    ids=str,
)
def test_a_checkpoint_of_another_spec_is_refused(
    change: dict[str, object], model_dir: Path, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="of another run"):
        run(model_dir, tmp_path, short_spec(**change), [], resume_from=checkpoint)  # type: ignore[arg-type]


def test_a_checkpoint_of_another_model_or_of_other_data_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="of another run"):
        run(other, tmp_path / "out", short_spec(), [], resume_from=checkpoint)


def test_a_checkpoint_of_other_rows_is_refused(model_dir: Path, checkpoint: Path, tmp_path: Path) -> None:
    """The same lengths, the same first and last row: only words in the middle differ."""
    table = reviews(64)
    texts = table["text"].to_pylist()
    texts[30] = " ".join("film" if word == "plot" else "plot" for word in texts[30].split())
    changed = table.set_column(0, "text", [texts])
    with pytest.raises(CheckpointError, match="of another run"):
        prune(
            model_dir,
            changed,
            short_spec(),
            tmp_path,
            evaluation=reviews(40, seed=1),
            resume_from=checkpoint,
            illustrated=False,
        )


def position_in(checkpoint: Path) -> dict[str, object]:
    """What the file's metadata says, read without our own code."""
    with safe_open(checkpoint, "numpy") as file:
        found = json.loads(file.metadata()["run"])
    assert isinstance(found, dict)
    return found


def test_a_checkpoint_is_tensors_and_json_and_nothing_to_unpickle(checkpoint: Path) -> None:
    position = position_in(checkpoint)
    assert (position["phase"], position["step"]) == ("pruning", 3)
    with safe_open(checkpoint, "numpy") as file:
        assert {"weights/weight", "weights/score", "random/cpu"} <= set(file.keys())
    with pytest.raises(ValueError, match=r"opcode|stack"):
        pickletools.dis(checkpoint.read_bytes())


@pytest.mark.parametrize("kept", [0, 7, 5000])
def test_a_damaged_checkpoint_is_refused(kept: int, model_dir: Path, checkpoint: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "checkpoint.safetensors"
    damaged.write_bytes(checkpoint.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="cannot be read"):
        run(model_dir, tmp_path / "out", short_spec(), [], resume_from=damaged)


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(model_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    failed: list[str] = []
    written: list[object] = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def due() -> bool:
        if not failed:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may be longer
        return True

    def note(error: OSError) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        failed.append(str(error))
        assert list(tmp_path.iterdir()) == [], "what had been written is gone, and its room with it"

    seldom = Checkpointing(file, due, lambda path: written.append(position_in(path)["step"]), note)
    run(model_dir, tmp_path / "out", short_spec(), [], checkpointing=seldom)
    [told] = failed
    assert "checkpoint.safetensors cannot be written: " in told
    assert "File too large" in told
    assert written == list(range(2, 25))


def test_the_latest_checkpoint_replaces_the_former_as_a_whole(model_dir: Path, tmp_path: Path) -> None:
    steps: list[object] = []

    def look(path: Path) -> None:
        steps.append(position_in(path)["step"])
        assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.safetensors"]

    every = Checkpointing(tmp_path / "checkpoint.safetensors", due=lambda: True, written=look)
    run(model_dir, tmp_path / "out", short_spec(), [], checkpointing=every)
    assert steps == list(range(1, 25))
