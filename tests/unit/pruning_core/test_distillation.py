"""Learning from a teacher: the formulas against torch's own, and the teacher's answers against the teacher's."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from pruning_core import ModelError, prune
from pruning_core import run as run_module
from pruning_core.columns import TextClassification
from pruning_core.distillation import DistilledLoss, Teacher, hidden_state_loss
from pruning_core.ranks import OneRank, Portion
from pruning_core.settings import Distillation
from pruning_core.tasks.base import divergence
from pruning_core.tasks.text_classification import ClassifyTexts
from pruning_core.training import FineTuning
from tests.families import built
from tests.tiny import reviews, save_tiny_model, tiny_config, tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_run, short_spec

TASK = ClassifyTexts(TextClassification(text="text", label="label"), ["negative", "positive"])


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def teacher_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same task and labels."""
    folder = tmp_path_factory.mktemp("teacher")
    short_run(model_dir, folder, short_spec("magnitude", target_sparsity=0.05))
    return folder / "model"


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_the_divergence_is_torch_s_between_probabilities_times_t_squared(temperature: float) -> None:
    student, teacher = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0)) * 3
    probabilities = torch.softmax(teacher / temperature, dim=-1)
    expected = nn.KLDivLoss(reduction="batchmean")(torch.log_softmax(student / temperature, dim=-1), probabilities)
    torch.testing.assert_close(divergence(student, teacher, temperature).mean(), expected * temperature**2)
    output = SequenceClassifierOutput(logits=student)
    found = TASK.distillation_loss(output, {"logits": teacher}, {}, temperature)
    torch.testing.assert_close(found, expected * temperature**2)


def test_a_teacher_that_says_the_same_has_nothing_to_teach() -> None:
    logits = torch.randn(4, 3)
    assert float(divergence(logits, logits.clone(), 2.0).abs().max()) < 1e-6


def test_the_loss_weighs_teacher_and_labels_by_alpha() -> None:
    split = TASK.encode(reviews(6), tiny_tokenizer(), 16)
    logits = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    loss = DistilledLoss(TASK, Distillation(alpha=0.7, temperature=3.0), Teacher(TASK, split, {"logits": logits}), None)
    student = torch.randn(3, 2)
    output = SequenceClassifierOutput(loss=torch.tensor(1.5), logits=student)
    batch = {"input_ids": torch.zeros(3, 8, dtype=torch.long)}
    soft = divergence(student, torch.from_numpy(logits[[4, 0, 5]]), 3.0).mean()
    torch.testing.assert_close(loss(output, Portion([4, 0, 5]), batch), 0.7 * soft + 0.3 * 1.5)


def test_cached_answers_equal_those_of_the_living_teacher() -> None:
    model, tokenizer = built(tiny_model), tiny_tokenizer()
    split = TASK.encode(reviews(50), tokenizer, 16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    teacher = Teacher.answer_all(model, tokenizer, TASK, split, OneRank(model.device), bf16=False)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    items = [31, 2, 17, 49]
    batch = TASK.collate(tokenizer, [split[item] for item in items])
    with torch.no_grad():
        alive = model.train(mode=False)(**batch).logits
    torch.testing.assert_close(teacher.answers(items, batch)["logits"], alive, atol=1e-5, rtol=0)


def test_the_hidden_state_loss_is_the_mean_square_over_real_tokens_and_layers() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (tuple(torch.randn(2, 4, 8, generator=generator) for _ in range(3)) for _ in range(2))
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    squares = [
        np.mean([((o[r, t] - h[r, t]) ** 2).mean() for r in range(2) for t in range(4) if mask[r, t]])
        for o, h in zip(ours[1:], theirs[1:], strict=True)  # the first are the embeddings
    ]
    student = SequenceClassifierOutput(hidden_states=ours)
    teacher = SequenceClassifierOutput(hidden_states=theirs)
    found = hidden_state_loss(student, teacher, {"attention_mask": mask})
    assert float(found) == pytest.approx(float(np.mean(squares)), rel=1e-5)


class Watched(DistilledLoss):
    """Notes whether the living teacher is in evaluation mode at every call."""

    modes: ClassVar[list[bool]] = []
    last: ClassVar["Watched | None"] = None

    def __call__(self, output: SequenceClassifierOutput, portion: Portion, batch: dict[str, Tensor]) -> Tensor:  # type: ignore[override]  # what training calls it with
        type(self).last = self
        if self.live is not None:
            self.modes.append(self.live.training)
        return super().__call__(output, portion, batch)


def test_the_living_teacher_never_drops_out_and_never_changes(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense: list[dict[str, Tensor]] = []
    original = FineTuning.run

    def watched_run(self: FineTuning, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        if self.pruner is None:
            dense.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})

    monkeypatch.setattr(FineTuning, "run", watched_run)
    monkeypatch.setattr(run_module, "DistilledLoss", Watched)
    Watched.modes.clear()
    spec = short_spec(distillation={"hidden": 0.5}, training={"dense_baseline": True, "dropout": 0.3})
    short_run(model_dir, tmp_path, spec)
    assert len(Watched.modes) == 24
    assert not any(Watched.modes)
    assert Watched.last is not None
    assert Watched.last.live is not None
    after = Watched.last.live.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in dense[0].items())


def test_another_teacher_is_read_from_its_directory_and_left_as_it_was(
    model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    before = (teacher_dir / "model.safetensors").read_bytes()
    spec = short_spec(distillation={"teacher": "mdl_teacher", "alpha": 1.0})
    result = prune(
        model_dir, reviews(96), spec, tmp_path, evaluation=reviews(40, seed=1), teacher=teacher_dir, illustrated=False
    )
    assert result.dense_evaluation is None
    assert (teacher_dir / "model.safetensors").read_bytes() == before


def test_with_alpha_one_the_student_learns_the_teacher_and_not_the_labels(
    model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    """Labels are swapped for the student alone; it follows the teacher."""
    table = reviews(480)
    swapped = ["positive" if label == "negative" else "negative" for label in table["label"].to_pylist()]
    wrong = table.set_column(1, "label", [swapped])
    training = {"max_steps": 150, "batch_size": 16, "learning_rate": 3e-3}
    good = tmp_path / "good"
    prune(model_dir, table, short_spec("magnitude", target_sparsity=0.05, training=training), good,
          evaluation=reviews(50, seed=1),
        illustrated=False,
    )  # fmt: skip
    spec = short_spec(
        "magnitude", target_sparsity=0.3, distillation={"teacher": "mdl", "alpha": 1.0}, training=training
    )
    result = prune(
        model_dir,
        wrong,
        spec,
        tmp_path / "out",
        evaluation=reviews(100, seed=2),
        teacher=good / "model",
        illustrated=False,
    )
    assert result.evaluation["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("changes", "hidden", "words"),
    [
        ({"vocab_size": 26}, 0.0, "vocab_size is 26"),
        ({"hidden_size": 16}, 1.0, "hidden_size is 16"),
        ({"num_hidden_layers": 3}, 1.0, "num_hidden_layers is 3"),
        ({"max_position_embeddings": 12}, 0.0, "the teacher has positions for 12 tokens. Use 12 or less"),
    ],
)
def test_a_teacher_that_cannot_teach_this_student_is_refused(
    changes: dict[str, object], hidden: float, words: str, model_dir: Path, tmp_path: Path
) -> None:
    config = tiny_config("bert", num_labels=2, **changes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "teacher")
    spec = short_spec(distillation={"teacher": "mdl", "hidden": hidden})
    with pytest.raises(ModelError, match=words):
        prune(model_dir, reviews(96), spec, tmp_path / "out", teacher=tmp_path / "teacher", illustrated=False)


def test_a_teacher_without_a_head_for_the_labels_or_without_a_directory_is_refused(
    model_dir: Path, tmp_path: Path
) -> None:
    AutoModel.from_pretrained(model_dir).save_pretrained(tmp_path / "headless")
    spec = short_spec(distillation={"teacher": "mdl"})
    with pytest.raises(ModelError, match="no head"):
        prune(model_dir, reviews(96), spec, tmp_path / "out", teacher=tmp_path / "headless", illustrated=False)
    with pytest.raises(ModelError, match="give its directory"):
        prune(model_dir, reviews(96), spec, tmp_path / "out", illustrated=False)


def test_a_teacher_whose_labels_are_in_another_order_is_refused(
    model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    """Its `positive` would be learned as `negative`."""
    teacher = AutoModelForSequenceClassification.from_pretrained(teacher_dir)
    teacher.config.id2label = {0: "positive", 1: "negative"}
    teacher.config.label2id = {"positive": 0, "negative": 1}
    teacher.save_pretrained(tmp_path / "teacher")
    with pytest.raises(ModelError, match="labels in the order positive, negative"):
        prune(model_dir, reviews(96), short_spec(distillation={"teacher": "mdl"}), tmp_path / "out",
              teacher=tmp_path / "teacher",
        illustrated=False,
    )  # fmt: skip


@pytest.mark.parametrize("names", [["hate", "love"], ["no", "yes"]])
def test_a_teacher_with_other_labels_is_refused_and_both_are_listed(
    names: list[str], model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    """By place its first label may be the run's second: the student learned the inverse."""
    renamed(teacher_dir, tmp_path / "teacher", names)
    with pytest.raises(ModelError, match=f"teacher has the labels {', '.join(names)}, and this run has negative, posi"):
        prune(model_dir, reviews(96), short_spec(distillation={"teacher": "mdl"}), tmp_path / "out",
              teacher=tmp_path / "teacher",
        illustrated=False,
    )  # fmt: skip


def test_a_teacher_s_labels_are_the_run_s_whatever_their_case_and_those_that_say_nothing_go_by_place(
    model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    for number, names in enumerate((["NEGATIVE", " Positive"], ["LABEL_0", "LABEL_1"])):
        renamed(teacher_dir, tmp_path / f"teacher{number}", names)
        prune(model_dir, reviews(96), short_spec(distillation={"teacher": "mdl"}), tmp_path / f"out{number}",
              evaluation=reviews(40, seed=1), teacher=tmp_path / f"teacher{number}",
        illustrated=False,
    )  # fmt: skip


def renamed(model: Path, folder: Path, names: list[str]) -> None:
    """A copy of the model whose answers have other names."""
    copy = AutoModelForSequenceClassification.from_pretrained(model)
    copy.config.id2label = dict(enumerate(names))
    copy.config.label2id = {name: number for number, name in enumerate(names)}
    copy.save_pretrained(folder)
