"""Checks that what a spec removes is there to be removed, and that something is left of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import ceil, floor, log10, prod
from operator import attrgetter

from api.jobs.findings import Findings
from api.jobs.spec import JobSpec
from api.models.shapes import matrices_of
from pruning_core.architectures import ARCHITECTURES, missing_outputs, not_reducible
from pruning_core.granularity import HYBRID_BLOCK, MIXED, Block, Granularity, kind_of
from pruning_core.methods import METHODS
from store import Model

#: What families call the number of attention heads.
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")

#: Where the units of a family are, by what they are; `matrix` where this is not said.
_PLACES = {"head": "attention", "neuron": "feed-forward"}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Choice:
    """What of a spec decides which units there are.

    Attributes:
        granularity: what is removed.
        modules: which matrices; None for all.
        method: by its name.
    """

    granularity: Granularity
    modules: str | None
    method: str


@dataclass(frozen=True)
class _Family:
    """Units that compete with one another: of a matrix, of a layer's attention, or the layers themselves.

    Attributes:
        unit: weights of one unit, the smallest.
        units: how many there are.
        weights: weights of all of them.
        kind: what a unit is called. Those of one kind share a target.
    """

    unit: int
    units: int
    weights: int
    kind: str


@dataclass(frozen=True)
class _Kind:
    """The families of one kind, taken together.

    Attributes:
        name: what a unit is called.
        families: how many there are.
        units: how many units they have in all.
        weights: how many weights.
        smallest: weights of the smallest unit.
        one_each: weights of one unit of each family.
    """

    name: str
    families: int
    units: int
    weights: int
    smallest: int
    one_each: int


def check_matrices(spec: JobSpec, model: Model, findings: Findings) -> None:
    """Note a pattern that selects nothing, and a target that would remove nothing, or everything of something."""
    matrices = matrices_of(model, spec.pruning.modules)
    if not matrices:
        names = list(matrices_of(model))
        findings.wrong(
            ("pruning", "modules"),
            f"pruning.modules {spec.pruning.modules!r} selects none of the model's {len(names)} prunable matrices. "
            f"They are called, for example, {names[0]!r} and {names[-1]!r}.",
        )
        return
    if not findings.sound("pruning"):
        return
    if spec.export.structured:
        if reason := not_reducible(model.model_type):
            findings.wrong(("export", "structured"), f"{reason} Leave it out.")
        elif not _can_die(spec, model, matrices):
            findings.advise(
                "export.structured takes out heads and neurons that are dead, and zeros in the matrices that "
                f"pruning.modules {spec.pruning.modules!r} selects leave none dead. The smaller model will be as large "
                "as it is now."
            )
    kinds, faults = _kinds(_Choice(spec.granularity, spec.pruning.modules, spec.method), model)
    findings.add(faults)
    for kind in kinds:
        # Of units whose zeros stay nobody knows here how much is left; the worker does.
        left_to_the_worker = spec.pruning.start_from_mask and kind.smallest > 1
        if findings.sound("target_sparsity") and not left_to_the_worker:
            _check_target(spec, kind, findings)


#: What is left to do where each matrix is one unit, and one has to stay.
_SMALLER = "Take smaller units (pruning.granularity)."


@lru_cache(maxsize=64)
def _kinds(choice: _Choice, model: Model) -> tuple[Sequence[_Kind], Findings]:
    """The kinds of units that a choice leads to, and what was found on the way."""
    findings = Findings()
    families = _families(choice, model, matrices_of(model, choice.modules), findings)
    kinds = [(name, list(group)) for name, group in groupby(families, key=attrgetter("kind"))]
    return [
        _Kind(
            name,
            families=len(group),
            units=sum(each.units for each in group),
            weights=sum(each.weights for each in group),
            smallest=min(each.unit for each in group),
            one_each=sum(each.unit for each in group),
        )
        for name, group in kinds
    ], findings


def _families(choice: _Choice, model: Model, matrices: Shapes, findings: Findings) -> list[_Family]:
    kind = kind_of(choice.granularity)
    if kind == "layer":
        return _layers(choice, model, matrices, findings)
    if kind == "head":
        return _heads(choice, model, matrices, findings)
    if kind in MIXED:
        return _mixed(choice, model, matrices, findings)
    if kind == "2:4":
        odd = next((name for name, (_, inputs) in _sides(matrices).items() if inputs % 4), None)
        if odd is not None:
            findings.wrong(
                ("pruning", "granularity"),
                f"Matrix {odd!r} has {matrices[odd][1]} inputs, not a multiple of four, so '2:4' cannot cut it. Leave "
                "it out with pruning.modules.",
            )
            return []
    return _within_matrices(choice.granularity, matrices)


def _can_die(spec: JobSpec, model: Model, matrices: Shapes) -> bool:
    """Whether whole heads or neurons may end dead: by the rows of what they give, or the columns of what is read."""
    architecture = ARCHITECTURES[model.model_type]
    assert architecture.feed_forward is not None
    given = {architecture.queries[-1], architecture.feed_forward[0]}
    read = {architecture.output, architecture.feed_forward[1]}
    kind = kind_of(spec.granularity)
    deadly = given if kind == "row" else read if kind == "column" else given | read
    places = (architecture.place(name) for name in matrices)
    return any(place is not None and place[1] in deadly for place in places)


def _within_matrices(granularity: Granularity, matrices: Shapes) -> list[_Family]:
    """Each matrix for itself."""
    kind = kind_of(granularity)
    return [
        _Family(*_units(granularity, rows, columns), rows * columns, kind)
        for rows, columns in _sides(matrices).values()
    ]


def _sides(matrices: Shapes) -> dict[str, tuple[int, int]]:
    return {name: (shape[0], shape[1]) for name, shape in matrices.items()}


def _units(granularity: Granularity, rows: int, columns: int) -> tuple[int, int]:
    """Weights of a matrix's smallest unit, and how many units it has; the last blocks of a row may be cut short."""
    match granularity:
        case Block(block=(height, width)):
            smallest = (rows % height or height) * (columns % width or width)
            return smallest, ceil(rows / height) * ceil(columns / width)
        case "row":
            return columns, rows
        case "column":
            return rows, columns
        case _:
            return 1, rows * columns


def _heads(choice: _Choice, model: Model, matrices: Shapes, findings: Findings) -> list[_Family]:
    """Each layer's attention."""
    architecture = ARCHITECTURES[model.model_type]
    attention = {*architecture.queries, *architecture.positions, architecture.output}
    weights: dict[str, int] = {}
    for name, shape in matrices.items():
        block, below = architecture.place(name) or ("", "")
        if below in attention:
            weights[block] = weights.get(block, 0) + prod(shape)
        elif choice.modules is not None:
            findings.wrong(
                ("pruning", "modules"),
                f"pruning.modules selects {name!r}, which has no attention heads. Leave it out, or let it select "
                "matrices of the attention only.",
            )
            return []
    if METHODS[choice.method].reads_outputs and (missing := missing_outputs(model.model_type, matrices)):
        findings.wrong(
            ("pruning", "modules"),
            f"pruning.modules leaves out {missing[0]!r}, by which method {choice.method!r} ranks that layer's heads. "
            "Let it select each attention's output projection, too.",
        )
        return []
    count = next((value for name in _HEADS if isinstance(value := model.config.get(name), int)), 1)
    return [_Family(size // count, count, size, "head") for size in weights.values()]


def _mixed(choice: _Choice, model: Model, matrices: Shapes, findings: Findings) -> list[_Family]:
    """Each layer's attention, or its matrices in blocks, and each layer's feed-forward."""
    architecture = ARCHITECTURES[model.model_type]
    if architecture.feed_forward is None:
        findings.wrong(
            ("pruning", "granularity"),
            f"pruning.granularity {str(choice.granularity)!r} removes feed-forward neurons as wholes. "
            f"{not_reducible(model.model_type)} Use another granularity.",
        )
        return []
    first, second = architecture.feed_forward
    weights: dict[str, int] = {}
    neurons: dict[str, int] = {}
    attention = {}
    for name, (outputs, inputs) in _sides(matrices).items():
        block, below = architecture.place(name) or ("", "")
        if below in (first, second):
            weights[block] = weights.get(block, 0) + outputs * inputs
            neurons[block] = outputs if below == first else inputs
        else:
            attention[name] = matrices[name]
    found = [_Family(size // neurons[block], neurons[block], size, "neuron") for block, size in weights.items()]
    if kind_of(choice.granularity) == "hybrid":
        return _within_matrices(HYBRID_BLOCK, attention) + found
    return _heads(choice, model, attention, findings) + found


def _layers(choice: _Choice, model: Model, matrices: Shapes, findings: Findings) -> list[_Family]:
    """All layers are one family: some may go altogether."""
    sizes = _by_layer(model, matrices)
    if len(sizes) >= 2:
        return [_Family(min(sizes.values()), len(sizes), sum(sizes.values()), "layer")]
    other = "granularity" if len(METHODS[choice.method].granularities) > 1 else "method"
    if len(_by_layer(model, matrices_of(model))) >= 2:
        findings.wrong(
            ("pruning", "modules"),
            f"pruning.modules {choice.modules!r} selects matrices of one layer alone, and granularity 'layer' leaves "
            f"one at least. Let it select those of several, or use another {other}.",
        )
    else:
        findings.wrong(
            ("pruning", "granularity"),
            f"The model has no several layers to choose from (ALBERT's share their weights). Use another {other}.",
        )
    return []


def _by_layer(model: Model, matrices: Shapes) -> dict[str, int]:
    """Weights of each layer."""
    architecture = ARCHITECTURES[model.model_type]
    sizes: dict[str, int] = {}
    for name, shape in matrices.items():
        block, _ = architecture.place(name) or ("", "")
        sizes[block] = sizes.get(block, 0) + prod(shape)
    return sizes


def _not_above(share: float) -> float:
    """A share in few digits, which is met when it is followed."""
    return floor(share * 1e6) / 1e6


def _not_below(share: float) -> float:
    """The same of one to be raised to, which may be very small."""
    unit = 10.0 ** (floor(log10(share)) - 5)
    return ceil(share / unit) * unit


def _check_target(spec: JobSpec, kind: _Kind, findings: Findings) -> None:
    """Whether a target removes a unit of the families of one kind, and leaves one of each."""
    kept = round(spec.final_density * kind.weights)
    if 2 * (kind.weights - kept) < kind.smallest:
        what = f"{kind.weights:,} weights" if kind.smallest == 1 else f"{kind.units:,} {kind.name}s"
        least = _not_below((1 if kind.smallest == 1 else ceil(kind.smallest / 2)) / kind.weights)
        findings.wrong(
            ("target_sparsity",),
            f"target_sparsity {spec.target_sparsity} removes none of {what}. Raise it to at least {least:.6g}.",
        )
    elif kind.name == "layer" and 2 * kept < kind.smallest:
        findings.wrong(
            ("target_sparsity",),
            f"target_sparsity {spec.target_sparsity} keeps less than half of one of {kind.units} layers. Lower it to "
            f"at most {_not_above(1 - kind.smallest / kind.weights)}.",
        )
    elif kind.name != "layer" and kept < kind.one_each:
        left = (
            f"fewer than there are matrices ({kind.families})"
            if kind.one_each == kind.families
            else f"less than one {kind.name} of each {_PLACES.get(kind.name, 'matrix')} has ({kind.one_each:,})"
        )
        findings.wrong(
            ("target_sparsity",),
            f"target_sparsity {spec.target_sparsity} keeps {kept:,} of {kind.weights:,} weights, {left}. "
            + (f"Lower it to at most {most}." if (most := _not_above(1 - kind.one_each / kind.weights)) else _SMALLER),
        )
