"""Several ranks end where one would: the same masks, the same losses, whatever the method, up to rounding."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from pruning_core import PruningSpec
from pruning_core.columns import QuestionAnswering, TextClassification, TokenClassification
from pruning_core.methods import METHODS
from pruning_core.peers import Order, join
from pruning_core.ranks import ManyRanks, OneRank
from pruning_core.run import Run
from pruning_core.tasks.base import EncodedSplit
from pruning_core.tasks.registry import task_of
from pruning_core.training import Progress
from tests.tiny import BAD, GOOD, NEUTRAL, reviews, save_tiny_model, tiny_tokenizer
from tests.unit.pruning_core.runs import short_spec

CPU = torch.device("cpu")
T = TypeVar("T")


class SecondRank:
    """The process of `second_rank.py`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.unit.pruning_core.second_rank"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def begin(self, folder: Path) -> None:
        """Let it take part in the run whose order is in a folder."""
        assert self._process.stdin is not None
        print(folder, file=self._process.stdin, flush=True)

    def end(self) -> None:
        """See that its run is over."""
        self._expect("done")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word


@pytest.fixture(scope="module")
def second() -> Iterator[SecondRank]:
    started = SecondRank()
    yield started
    started.close()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@dataclass
class Ended:
    """What a run came to."""

    mask: Tensor
    weight: Tensor
    progress: list[Progress]

    def curve(self, name: str) -> list[float]:
        return [each.metrics[name] for each in self.progress if name in each.metrics]


def train(order: Order, ranks: OneRank) -> Ended:
    progress: list[Progress] = []
    pruner, _ = Run(order, ranks, on_progress=progress.append).all_phases()
    return Ended(pruner.weights.mask, pruner.weights.weight, progress)


def on_one_and_on_two(
    second: SecondRank, folder: Path, model_dir: Path, spec: PruningSpec, rows: pa.Table
) -> tuple[Ended, Ended]:
    order = Order(model_dir, rows, spec, rows.slice(0, 16), None, None, None)
    one = train(order, OneRank(CPU))
    order.write(folder)
    second.begin(folder)
    two = train(order, ManyRanks(CPU, join(folder, 0, 2)))
    second.end()
    return one, two


def assert_alike(one: Ended, two: Ended) -> None:
    """A weight at the threshold may fall to the other side; nothing more."""
    differ = int((one.mask != two.mask).sum())
    assert differ <= 4, f"{differ} of {len(one.mask)} masks differ"
    names = {name for each in one.progress for name in each.metrics}
    for name in names:
        np.testing.assert_allclose(two.curve(name), one.curve(name), rtol=2e-3, atol=2e-4, err_msg=name)
    both = one.mask & two.mask
    torch.testing.assert_close(two.weight[both], one.weight[both], rtol=1e-2, atol=1e-4)


def differences(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of ranks that had come to differ; their digests are compared after every step of so short a run."""
    return [record.getMessage() for record in caplog.records if record.name == "pruning_core.ranks"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_on_two_devices_as_on_one(
    method: str, second: SecondRank, model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """99 rows make a last batch of three."""
    with caplog.at_level(logging.WARNING, "pruning_core"):
        one, two = on_one_and_on_two(second, tmp_path, model_dir, short_spec(method), reviews(99))
    assert_alike(one, two)
    assert not differences(caplog)


def tagged(rows: int) -> pa.Table:
    """Words tagged by what they say of a film; rows of unlike length, so that the ranks have unlike shares of words."""
    texts = [text.split() for text in reviews(rows)["text"].to_pylist()]
    kinds = {**dict.fromkeys(GOOD, "B-GOOD"), **dict.fromkeys(BAD, "B-BAD"), **dict.fromkeys(NEUTRAL, "O")}
    return pa.table({"tokens": texts, "tags": [[kinds[word] for word in words] for words in texts]})


TAGS = TokenClassification(type="token-classification", tokens="tokens", tags="tags")


def tagging(**changes: object) -> PruningSpec:
    return short_spec(**changes).model_copy(update={"task": TAGS})  # type: ignore[arg-type]


DENSE_TOO = {"dense_baseline": True}
ANSWERS = QuestionAnswering(type="question-answering", question="question", context="context", answers="answers")


def answering() -> PruningSpec:
    return short_spec().model_copy(update={"task": ANSWERS})


def asked(rows: int) -> pa.Table:
    """Which word of a review is its third; contexts of unlike length, so that ranks pad unlike much."""
    texts = [text.split() for text in reviews(rows)["text"].to_pylist()]
    contexts = [" ".join(words * (1 + row % 3)) for row, words in enumerate(texts)]
    answers = [{"text": [words[2]], "answer_start": [len(" ".join(words[:2])) + 1]} for words in texts]
    return pa.table({"question": ["what is third"] * rows, "context": contexts, "answers": answers})


VARIANTS: dict[str, tuple[Callable[[], PruningSpec], Callable[[], pa.Table]]] = {
    "distillation": (lambda: short_spec(distillation={}, training=DENSE_TOO), lambda: reviews(99)),
    "hidden states": (lambda: short_spec(distillation={"hidden": 1.0}, training=DENSE_TOO), lambda: reviews(99)),
    "fitted to the dense baseline": (
        lambda: short_spec("magnitude", training=DENSE_TOO, pruning={"reconstruct": True}),
        lambda: reviews(99),
    ),
    "passes": (lambda: short_spec(training={"gradient_accumulation": 3, "batch_size": 3}), lambda: reviews(64)),
    "a last batch of one": (short_spec, lambda: reviews(97)),
    "frozen weights": (lambda: short_spec(pruning={"freeze_weights": True}), lambda: reviews(64)),
    "embeddings that train": (lambda: short_spec(training={"freeze_embeddings": False}), lambda: reviews(64)),
    "blocks": (lambda: short_spec("taylor", pruning={"granularity": {"block": [8, 8]}}), lambda: reviews(64)),
    "tags": (tagging, lambda: tagged(65)),
    "answers": (answering, lambda: asked(65)),
    "tags of a teacher": (
        lambda: tagging(distillation={"hidden": 0.5}, training=DENSE_TOO),
        lambda: tagged(65),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_ends_on_two_devices_as_on_one(
    variant: str, second: SecondRank, model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, rows = VARIANTS[variant]
    with caplog.at_level(logging.WARNING, "pruning_core"):
        one, two = on_one_and_on_two(second, tmp_path, model_dir, spec(), rows())
    assert_alike(one, two)
    assert not differences(caplog)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["l0", "layerdrop", "obd"])
def test_dropout_is_each_device_s_own_and_what_methods_draw_is_not(
    method: str, second: SecondRank, model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = short_spec(method, training={"dropout": 0.3})
    with caplog.at_level(logging.WARNING, "pruning_core"):
        _, two = on_one_and_on_two(second, tmp_path, model_dir, spec, reviews(99))
    assert not differences(caplog)
    assert two.curve("train/loss")[-1] < 1.0


# ── Ranks alone: two of them in threads ──────────────────────────────────────


def on_two(folder: Path, work: Callable[[ManyRanks], T]) -> list[T]:
    """What two ranks answer."""
    answers: dict[int, T] = {}
    together = threading.Barrier(2)

    def rank(number: int) -> None:
        ranks = ManyRanks(CPU, join(folder, number, 2))
        together.wait(60)
        answers[number] = work(ranks)
        together.wait(60)  # who leaves breaks the other's connection

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[0], answers[1]]


def test_sums_are_the_same_everywhere_whatever_the_tensors_are_like(tmp_path: Path) -> None:
    def work(ranks: ManyRanks) -> list[Tensor]:
        generator = torch.Generator().manual_seed(ranks.rank)
        tensors = [
            torch.randn(600_000, generator=generator),
            torch.randn(3, 5, generator=generator).T,
            torch.randn((), generator=generator),
            torch.randn(700, 800, generator=generator).T,
        ]
        before = [tensor.clone() for tensor in tensors]
        ranks.add_up(tensors)
        return [*tensors, *before]

    ours, theirs = on_two(tmp_path, work)
    for place in range(4):
        assert torch.equal(ours[place], theirs[place])
        assert torch.equal(ours[place], ours[place + 4] + theirs[place + 4])


@pytest.mark.parametrize("moved", [None, "a weight", "a mask", "two masks"])
def test_what_differs_is_found_and_brought_back_to_the_first_rank_s(
    moved: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def work(ranks: ManyRanks) -> tuple[bool, Tensor, Tensor, bool]:
        weight = torch.arange(1_500_000, dtype=torch.float32)
        mask = torch.arange(1_500_001) % 2 == 0
        if ranks.rank == 1 and moved == "a weight":
            weight[1_400_000] = torch.nextafter(weight[1_400_000], torch.tensor(0.0))
        if ranks.rank == 1 and moved == "a mask":
            mask[7] = True
        if ranks.rank == 1 and moved == "two masks":  # as many are kept as before
            mask[[10, 11, 1_000_010, 1_000_011]] = torch.tensor([False, True, True, False])
            mask[[20, 21]] = torch.tensor([False, True])
        return ranks.agree(lambda: [weight, mask]), weight, mask, ranks.agree(lambda: [weight, mask])

    (ours, weight, mask, ours_then), (theirs, their_weight, their_mask, theirs_then) = on_two(tmp_path, work)
    assert ours is theirs is (moved is None)
    assert ours_then
    assert theirs_then
    assert torch.equal(weight, torch.arange(1_500_000, dtype=torch.float32))
    assert torch.equal(weight, their_weight)
    assert torch.equal(mask, their_mask)
    assert len(differences(caplog)) == (moved is not None)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_portions_make_up_the_batch(count: int, tmp_path: Path) -> None:
    table = tagged(20)
    task = task_of(TAGS, ["B-BAD", "B-GOOD", "O"])
    split = task.encode(table, tiny_tokenizer(), 16)
    items = list(range(5, 5 + count))
    portions = on_two(tmp_path, lambda ranks: ranks.portion(items, split))
    assert sum(each.terms for each in portions) == pytest.approx(1.0)
    assert sum(each.tokens for each in portions) == pytest.approx(1.0)
    assert all(each.items for each in portions), "every rank takes part"
    assert sorted(item for each in portions if each.terms for item in each.items) == items
    for each in portions:
        words = sum(len(table["tokens"][item]) for item in each.items)
        assert each.terms in (0.0, pytest.approx(words / sum(len(table["tokens"][item]) for item in items)))


def test_one_device_has_the_whole_batch_and_whole_means() -> None:
    split: EncodedSplit = task_of(TextClassification(text="text", label="label"), ["negative", "positive"]).encode(
        reviews(8), tiny_tokenizer(), 16
    )
    whole = OneRank(CPU).portion([1, 2, 3], split)
    assert (list(whole.items), whole.terms, whole.tokens) == ([1, 2, 3], 1.0, 1.0)


def test_random_numbers_of_one_s_own_leave_the_common_ones_as_they_were(tmp_path: Path) -> None:
    drawn: list[tuple[float, float]] = []
    for ranks in on_two(tmp_path, lambda ranks: ranks):
        torch.manual_seed(1)
        with ranks.own_randomness(42, 3, 0):
            own = float(torch.rand(()))
        drawn.append((own, float(torch.rand(()))))
    torch.manual_seed(1)
    common = float(torch.rand(()))
    assert [each[1] for each in drawn] == [common, common]
    assert len({drawn[0][0], drawn[1][0], common}) == 3
