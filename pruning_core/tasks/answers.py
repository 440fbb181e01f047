"""The answers of a row of question answering, from any of the layouts in use."""

from collections.abc import Mapping

#: The layouts, in words.
LAYOUTS = (
    'Answers are {"text": ["an oak"], "answer_start": [7]}, or {"text": "an oak", "answer_start": 7}, or a list of the '
    "latter."
)


class UnknownLayout(ValueError):
    """Answers that are laid out in a way that we do not know."""


def answers_of(value: object) -> tuple[list[str], list[int]]:
    """The texts and starts of a row's answers; a missing start is -1, and answers of blanks are left out.

    Args:
        value: `{"text": […], "answer_start": […]}`, where starts may be missing; `{"text": …, "answer_start": …}`, the
            one answer; a list of such; or None.

    Raises:
        UnknownLayout: it is none of these.
    """
    if value is None:
        return [], []
    if isinstance(value, Mapping):
        pairs = _pairs(value)
    elif isinstance(value, list) and not any(isinstance(_part(each, "text"), list) for each in value):
        pairs = [pair for each in value for pair in _pairs(each)]
    else:
        raise UnknownLayout
    given = [(text, -1 if start is None else start) for text, start in pairs if text is not None and text.strip()]
    return [text for text, _ in given], [start for _, start in given]


def _pairs(answers: Mapping[str, object]) -> list[tuple[str | None, int | None]]:
    texts, starts = _part(answers, "text"), answers.get("answer_start")
    if not isinstance(texts, list):
        return [(_text(texts), None if texts is None else _start(starts))]
    starts = [] if starts is None else starts
    if not isinstance(starts, list) or len(starts) > len(texts):
        raise UnknownLayout
    return list(zip(map(_text, texts), map(_start, starts + [None] * (len(texts) - len(starts))), strict=True))


def _part(answers: object, name: str) -> object:
    if not isinstance(answers, Mapping) or name not in answers:
        raise UnknownLayout
    return answers[name]


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise UnknownLayout


def _start(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UnknownLayout
