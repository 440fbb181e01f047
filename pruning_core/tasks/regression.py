"""Regression: one number for a text or a pair of texts, as in STS-B."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from pruning_core.columns import LARGEST_NUMBER, Columns, Regression
from pruning_core.tasks.base import Batch, ColumnError, EncodedSplit, Quality, RowScores, Task
from pruning_core.tasks.holdout import Halves, random_holdout
from pruning_core.tasks.kinds import expect_numbers, expect_texts
from pruning_core.tasks.texts import EncodedTexts


def numbers_in(table: pa.Table, column: str) -> NDArray[np.float64]:
    """[rows] the numbers of a column.

    Raises:
        ColumnError: a row has none, or one that is not finite or too large; or the column holds something else.
    """
    expect_numbers(table, column)
    values = table[column].cast(pa.float64(), safe=False).to_numpy()  # nulls become NaN
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        found = "no number" if table[column][row].as_py() is None else f"{values[row]}, which is no finite number,"
        raise ColumnError(column, found, row=row)
    if len(values) and np.abs(values).max() > LARGEST_NUMBER:
        row = int(np.argmax(np.abs(values) > LARGEST_NUMBER))
        remedy = (
            f"The squared error of numbers beyond {LARGEST_NUMBER:g} is too large for fp32: divide them all, best to a "
            "range of a few units."
        )
        raise ColumnError(column, f"{values[row]:g}", row=row, remedy=remedy)
    return cast(NDArray[np.float64], values)


class RateTexts(Task):
    """Regression on texts: the model's one output is the number itself, trained by its squared error."""

    model_class = AutoModelForSequenceClassification
    primary_metric = "pearson"
    best = 0.0

    @classmethod
    def check_columns(cls, table: pa.Table, columns: Columns) -> None:
        """Texts, and numbers."""
        names = cast(Regression, columns)
        for column in filter(None, (names.text, names.text_pair)):
            expect_texts(table, column)
        expect_numbers(table, names.label)

    def head(self) -> dict[str, object]:
        """One output."""
        return {"num_labels": 1, "problem_type": "regression"}

    def encode(self, table: pa.Table, tokenizer: PreTrainedTokenizerBase, max_length: int) -> EncodedTexts:
        """Tokenise texts and read numbers.

        Raises:
            ColumnError: a text or number is missing, or a number is not finite or too large.
        """
        columns = cast(Regression, self.columns)
        numbers = numbers_in(table, columns.label)
        return EncodedTexts(table, (columns.text, columns.text_pair), numbers, tokenizer, max_length)

    def quality(self, split: EncodedSplit, device: torch.device) -> Quality:
        """Pearson's and Spearman's correlation, and the mean squared error."""
        return _Rated()

    def hold_out(self, table: pa.Table, share: float, seed: int) -> Halves:
        """By lot."""
        numbers_in(table, cast(Regression, self.columns).label)  # named by the row that the user knows
        return random_holdout(table.num_rows, share, seed)

    def metric_of(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pearson's correlation from the sums of 1, x, y, x², y² and xy."""
        n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        spread = np.sqrt(np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0))
        found: NDArray[np.float64] = np.divide(n * xy - x * y, spread, out=np.zeros_like(spread), where=spread > 1e-12)
        return found

    def useless(self, quality: float, split: EncodedSplit) -> str | None:
        """A correlation of 0, as a constant has, or below."""
        if quality > 0 or len(split) < 2:  # one number has nothing to rise with
            return None
        return (
            "The pruned model is no better than guessing: its numbers do not rise with the true ones (pearson "
            f"{quality:.3f})."
        )

    def distillation_loss(
        self, output: ModelOutput, teacher: Mapping[str, Tensor], batch: Batch, temperature: float
    ) -> Tensor:
        """(student − teacher)², the mean over items; there is no distribution that a temperature could soften."""
        return F.mse_loss(output["logits"].float(), teacher["logits"].float())


class _Rated(Quality):
    """Correlations and squared error; the numbers are few enough to be kept until the end."""

    def __init__(self) -> None:
        self._predicted: list[Tensor] = []
        self._true: list[Tensor] = []
        self._items: list[NDArray[np.int64]] = []

    def update(self, items: NDArray[np.int64], output: ModelOutput, batch: Batch) -> None:
        self._predicted.append(output["logits"].double().flatten().cpu())
        self._true.append(batch["labels"].double().flatten().cpu())
        self._items.append(items)

    def by_row(self) -> RowScores:
        order = np.argsort(np.concatenate(self._items))
        x, y = (torch.cat(side).numpy()[order] for side in (self._predicted, self._true))
        errors = -np.square(x - y)
        x, y = _standardised(x), _standardised(y)
        return RowScores(np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1), errors)

    def said(self, row: int) -> str:
        place = int(np.flatnonzero(np.concatenate(self._items) == row)[0])
        return f"{float(torch.cat(self._predicted)[place]):.4g}"

    def compute(self) -> dict[str, float]:
        predicted, true = torch.cat(self._predicted), torch.cat(self._true)
        return {
            "pearson": _correlation(pearson_corrcoef, predicted, true),
            "spearman": _correlation(spearman_corrcoef, predicted, true),
            "mse": float(F.mse_loss(predicted, true)),
        }


def _standardised(side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Around zero and of a size of one, which changes no correlation, so that sums of squares lose nothing."""
    centred = side - side.mean()
    largest = np.abs(centred).max(initial=0.0)
    return centred / largest if 0 < largest < np.inf else np.zeros_like(centred)


def _correlation(coefficient: object, predicted: Tensor, true: Tensor) -> float:
    """A correlation in [-1, 1]; 0 where a side does not vary, for then it is 0/0.

    Both sides are standardised first, which changes no correlation: torchmetrics takes small variances for none.
    """
    assert callable(coefficient)
    sides = []
    for side in (predicted, true):
        centred = side - side.mean()
        spread = centred.abs().max()
        if not 0 < spread < torch.inf:
            return 0.0
        centred = centred / spread  # before the square, which tiny and huge numbers do not survive
        sides.append(centred / centred.square().mean().sqrt())
    value = float(coefficient(*sides))
    return value if np.isfinite(value) else 0.0
