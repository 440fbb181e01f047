"""Whether a model's names for its answers and a run's labels mean the same. Torch-free, for library and service."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

Label = TypeVar("Label")


def names_in(config: Mapping[str, object]) -> list[str]:
    """The labels that a model's config.json names, in the order of their ids; none where it is not clear.

    transformers writes down no names that it would fill in itself: LABEL_0 and LABEL_1.
    """
    id2label = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if not isinstance(id2label, Mapping):
        return []
    names = {str(index): str(name) for index, name in id2label.items()}
    order = [str(index) for index in range(len(names))]
    return [names[index] for index in order] if set(order) == set(names) else []


def say_nothing(names: Sequence[object]) -> bool:
    """Whether names only number the answers: LABEL_0 as transformers fills in, or 0. Such names go by their place."""
    return all(str(name) in (f"LABEL_{index}", str(index)) for index, name in enumerate(names))


def matched(names: Sequence[str], labels: Iterable[Label]) -> list[Label] | None:
    """The labels in the order of a model's names; None where they are not the same ones.

    Case and surrounding blanks count only where nothing else tells two of them apart.
    """
    labels = list(labels)
    for form in (str, _plain):
        ours = {form(str(label)): label for label in labels}
        theirs = [form(name) for name in names]
        if len(ours) == len(set(theirs)) == len(labels) == len(theirs) and set(theirs) == set(ours):
            return [ours[name] for name in theirs]
    return None


def in_another_order(names: Sequence[str], labels: Sequence[object]) -> bool:
    """Whether both are the same labels, numbered otherwise: what cannot be mended by naming them anew."""
    order = matched(names, labels)
    return order is not None and order != list(labels)


def disagreement(names: Sequence[str], labels: Sequence[object]) -> str | None:
    """Why a head whose answers have these names would answer wrongly for the labels, in their order.

    Returns:
        What follows "The model", listing both; None where they agree, or where one of them says nothing.
    """
    order = matched(names, labels)
    if order is not None:
        if order == list(labels):
            return None
        return f"has its labels in the order {_listed(order)}, and this run in the order {_listed(labels)}"
    if not labels or say_nothing(names) or say_nothing(labels):
        return None
    return f"has the labels {_listed(names)}, and this run has {_listed(labels)}"


def taken_by_place(names: Sequence[str], labels: Sequence[object]) -> str | None:
    """What is assumed where one side names the answers and the other numbers them; None where nothing is."""
    if matched(names, labels) is not None or say_nothing(names) == say_nothing(labels) or len(names) != len(labels):
        return None
    pairs = [f"{name} is {label}" for name, label in zip(names, labels, strict=True)]
    return _listed(pairs)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _listed(names: Sequence[object], most: int = 10) -> str:
    return ", ".join(map(str, names[:most])) + (" …" if len(names) > most else "")
