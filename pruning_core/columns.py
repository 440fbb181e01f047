"""Which columns of a dataset hold what, for each task. Torch-free: library, HTTP service and worker share it."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

#: Largest number that regression predicts: the squared error, and the squares of its gradients, are finite in fp32
#: with room to spare.
LARGEST_NUMBER = 1e15


class Part(BaseModel):
    """A part of the spec: unknown fields are refused, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> Self:
        """Itself: what does not change needs no copies, and pydantic makes one of a default for each instance."""
        return self


class Columns(Part):
    """The columns a task reads; no two of them are the same."""

    def names(self) -> dict[str, str]:
        """Field → column, without the fields left out."""
        return {field: column for field, column in self if field != "type" and column is not None}

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = self.names()
        if len(set(names.values())) != len(names):
            raise ValueError(f"{', '.join(names)} must name different columns.")
        return self


Column = Annotated[str, Field(min_length=1)]


class TextClassification(Columns):
    """One label for a text or a pair of texts."""

    type: Literal["text-classification"] = "text-classification"
    text: Column = Field(description="Column with the text, or the first text of a pair.")
    text_pair: Column | None = Field(default=None, description="Column with the second text of a pair.")
    label: Column = Field(description="Column with the label: strings, integers or booleans.")


class Regression(Columns):
    """One number for a text or a pair of texts, as in STS-B."""

    type: Literal["regression"] = "regression"
    text: Column = Field(description="Column with the text, or the first text of a pair.")
    text_pair: Column | None = Field(default=None, description="Column with the second text of a pair.")
    label: Column = Field(description="Column with the number to predict.")


class QuestionAnswering(Columns):
    """The span of a context that answers a question, as in SQuAD 1.1."""

    type: Literal["question-answering"] = "question-answering"
    question: Column = Field(default="question", description="Column with the question.")
    context: Column = Field(default="context", description="Column with the text that holds the answer.")
    answers: Column = Field(default="answers", description="Column with the answers: their texts and starts.")


class TokenClassification(Columns):
    """One tag for each word, as in named-entity recognition; tags in the IOB2 scheme (`B-PER`, `I-PER`, `O`)."""

    type: Literal["token-classification"] = "token-classification"
    tokens: Column = Field(default="tokens", description="Column with the words, a list of strings.")
    tags: Column = Field(default="tags", description="Column with one tag per word, a list of strings or integers.")


def _type_of(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("type", "text-classification"))
    return str(getattr(value, "type", "text-classification"))


TaskColumns = Annotated[
    Annotated[TextClassification, Tag("text-classification")]
    | Annotated[Regression, Tag("regression")]
    | Annotated[QuestionAnswering, Tag("question-answering")]
    | Annotated[TokenClassification, Tag("token-classification")],
    Discriminator(_type_of),
]

#: The columns of each task, by its name.
TASKS: dict[str, type[TextClassification | Regression | QuestionAnswering | TokenClassification]] = {
    "text-classification": TextClassification,
    "regression": Regression,
    "question-answering": QuestionAnswering,
    "token-classification": TokenClassification,
}
