"""Units of several weights: what belongs to which, against naive loops; and which units stay."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning_core.granularity import Block, Granularity
from pruning_core.grouped import select_units
from pruning_core.masking import MaskedWeights
from pruning_core.methods.magnitude import Magnitude
from pruning_core.prunable import Matrix, NothingToPrune, prunable_matrices
from pruning_core.pruner import Pruner
from pruning_core.spec import PruningSpec
from pruning_core.units import Units
from tests.tiny import tiny_model

#: Which unit of its matrix (or layer) the weight of output i and input j belongs to.
UnitOf = Callable[[Matrix, int, int], object]


def head_of(matrix: Matrix, i: int, j: int) -> object:
    """The head whose Q, K or V row, or whose output column, this is; GPT-2's `c_attn` holds all three."""
    assert matrix.heads is not None
    side = i if matrix.heads.axis == "out" else j
    return matrix.layer, side % (matrix.heads.count * matrix.heads.size) // matrix.heads.size


def head_or_neuron_of(matrix: Matrix, i: int, j: int) -> object:
    """The head, or the neuron of the feed-forward: an output of its first map and an input of its second."""
    if matrix.heads is not None:
        return "head", head_of(matrix, i, j)
    assert matrix.neurons is not None
    return "neuron", matrix.layer, i if matrix.neurons == "out" else j


def block_or_neuron_of(matrix: Matrix, i: int, j: int) -> object:
    """The block of 32 × 32, or the neuron."""
    return (matrix.name, i // 32, j // 32) if matrix.heads is not None else head_or_neuron_of(matrix, i, j)


CUTS: dict[str, tuple[Granularity, UnitOf]] = {
    "row": ("row", lambda matrix, i, j: (matrix.name, i)),
    "column": ("column", lambda matrix, i, j: (matrix.name, j)),
    "block": (Block(block=(8, 16)), lambda matrix, i, j: (matrix.name, i // 8, j // 16)),
    "ragged block": (Block(block=(7, 5)), lambda matrix, i, j: (matrix.name, i // 7, j // 5)),
    "one block": (Block(block=(4096, 4096)), lambda matrix, i, j: matrix.name),
    "hybrid": ("hybrid", block_or_neuron_of),
    "structured": ("structured", head_or_neuron_of),
    "head": ("head", head_of),
    "layer": ("layer", lambda matrix, i, j: matrix.layer),
}
STORAGES = ("bert", "gpt2", "t5")
every_storage = pytest.mark.parametrize("model_type", STORAGES)
#: It is not known where T5's neurons are.
every_storage_and_cut = pytest.mark.parametrize(
    ("model_type", "cut"),
    [(name, cut) for name in STORAGES for cut in CUTS if name != "t5" or cut not in ("hybrid", "structured")],
)


def cut_up(model_type: str, cut: str) -> tuple[MaskedWeights, Units, UnitOf]:
    granularity, unit_of = CUTS[cut]
    matrices = [m for m in prunable_matrices(tiny_model(model_type)) if cut != "head" or m.heads is not None]
    weights = MaskedWeights(matrices, Magnitude())
    return weights, Units(granularity, weights), unit_of


def naive(weights: MaskedWeights, unit_of: UnitOf) -> list[object]:
    """The unit of each weight, in the flat tensors' order."""
    found: list[object] = []
    for matrix in weights.matrices:
        rows, columns = matrix.parameter.shape
        for r in range(rows):
            found += [unit_of(matrix, c, r) if matrix.transposed else unit_of(matrix, r, c) for c in range(columns)]
    return found


@every_storage_and_cut
def test_sums_and_spreads_equal_a_loop_over_all_weights(model_type: str, cut: str) -> None:
    weights, units, unit_of = cut_up(model_type, cut)
    of_weight = naive(weights, unit_of)
    values = torch.rand(len(weights), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums: dict[object, float] = {}
    counts: dict[object, int] = {}
    for unit, value in zip(of_weight, values.tolist(), strict=True):
        sums[unit] = sums.get(unit, 0.0) + value
        counts[unit] = counts.get(unit, 0) + 1
    assert len(units) == len(sums)

    # spread each unit's number: equal numbers must be the same weights as in the loop
    numbers = torch.empty(len(weights), dtype=torch.int64)
    units.spread(torch.arange(len(units)), out=numbers)
    number_of = dict(zip(of_weight, numbers.tolist(), strict=True))
    assert [number_of[unit] for unit in of_weight] == numbers.tolist()
    assert len(set(number_of.values())) == len(units)

    found, sizes = units.sum(values), units.sizes
    for unit, number in number_of.items():
        assert float(found[number]) == pytest.approx(sums[unit], rel=1e-9)
        assert int(sizes[number]) == counts[unit]


@every_storage_and_cut
def test_families_are_matrices_or_layers_and_hold_every_unit_once(model_type: str, cut: str) -> None:
    weights, units, _ = cut_up(model_type, cut)
    assert sorted(torch.cat(units.families).tolist()) == list(range(len(units)))
    attention = sum(matrix.heads is not None for matrix in weights.matrices)
    expected = {"head": 2, "layer": 1, "structured": 2 + 2, "hybrid": attention + 2}
    assert len(units.families) == expected.get(cut, len(weights.matrices))
    assert torch.cat(units.pools).tolist() == list(range(len(units)))
    assert len(units.pools) == (2 if cut in ("hybrid", "structured") else 1)
    assert units.protected is (cut != "layer")


class FakeUnits(Units):
    """Units of given sizes, without matrices."""

    def __init__(self, sizes: list[int], families: list[list[int]], *, protected: bool) -> None:
        self.sizes = torch.tensor(sizes, dtype=torch.float32)
        self.families = [torch.tensor(family) for family in families]
        self.pools = [torch.arange(len(sizes))]
        self.protected = protected
        self._count = len(sizes)


@st.composite
def ranked_units(draw: st.DrawFn) -> tuple[FakeUnits, Tensor]:
    families = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    count = sum(families)
    sizes = draw(st.lists(st.integers(1, 30), min_size=count, max_size=count))
    numbers = list(range(count))
    members = [[numbers.pop(0) for _ in range(size)] for size in families]
    ranks = draw(st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.5, 7.0]), min_size=count, max_size=count))
    return FakeUnits(sizes, members, protected=draw(st.booleans())), torch.tensor(ranks)


@given(case=ranked_units(), density=st.floats(0.01, 0.99))
@settings(max_examples=500, deadline=None)
def test_the_highest_units_stay_and_the_count_is_as_near_as_whole_units_allow(
    case: tuple[FakeUnits, Tensor], density: float
) -> None:
    units, ranks = case
    kept = select_units(ranks, units, density, local=False)
    sizes = units.sizes.tolist()
    target = density * sum(sizes)
    chosen = [u for u in range(len(units)) if kept[u]]
    assert chosen, "nothing ends empty"
    assert torch.equal(kept, select_units(ranks, units, density, local=False))
    if units.protected:
        assert all(bool(kept[family].any()) for family in units.families), "nor does any family"
        best = [max(family.tolist(), key=lambda u: (float(ranks[u]), bool(kept[u]))) for family in units.families]
        if set(chosen) <= set(best):
            return  # no room for more than the best of each
    assert len(chosen) == 1 or abs(sum(sizes[u] for u in chosen) - target) <= max(sizes) / 2 + 1e-6
    if not units.protected:  # no unit stays while a better one goes
        gone = [u for u in range(len(units)) if not kept[u]]
        assert not gone or min(float(ranks[u]) for u in chosen) >= max(float(ranks[u]) for u in gone)


@given(case=ranked_units(), density=st.floats(0.01, 0.99))
@settings(max_examples=500, deadline=None)
def test_in_local_scope_each_family_and_the_whole_have_their_share_within_a_unit(
    case: tuple[FakeUnits, Tensor], density: float
) -> None:
    units, ranks = case
    kept = select_units(ranks, units, density, local=True)
    sizes = units.sizes.tolist()
    families = [family.tolist() for family in units.families]
    for family in families:
        stays, gone = ([u for u in family if bool(kept[u]) is keep] for keep in (True, False))
        assert stays, "no family ends empty"
        assert not gone or min(float(ranks[u]) for u in stays) >= max(float(ranks[u]) for u in gone)
    assert torch.equal(kept, select_units(ranks, units, density, local=True))
    if all(density * sum(sizes[u] for u in family) >= max(sizes[u] for u in family) for family in families):
        assert abs(float(units.sizes[kept].sum()) - density * sum(sizes)) <= max(sizes) / 2 + 1e-6
        for family in families:
            count = sum(sizes[u] for u in family if kept[u])
            assert abs(count - density * sum(sizes[u] for u in family)) <= max(sizes[u] for u in family) + 1e-6


@every_storage
@pytest.mark.parametrize("cut", ["row", "column", "ragged block", "head"])
@pytest.mark.parametrize("density", [0.3, 0.37, 0.55])
def test_families_of_one_size_do_not_all_round_the_same_way(model_type: str, cut: str, density: float) -> None:
    weights, units, _ = cut_up(model_type, cut)
    ranks = torch.rand(len(units), generator=torch.Generator().manual_seed(0))
    kept = select_units(ranks, units, density, local=True)
    off = abs(float(units.sizes[kept].sum()) - density * len(weights))
    assert off <= float(units.sizes.max()) / 2


def test_families_pay_for_those_that_keep_a_unit_beyond_their_share() -> None:
    units = FakeUnits([1] * 44, [[0, 1], [2, 3], [*range(4, 44)]], protected=True)
    kept = select_units(torch.arange(44.0), units, 0.25, local=True)
    assert [int(kept[family].sum()) for family in units.families] == [1, 1, 9]


def test_one_unit_of_each_matrix_stays_where_there_is_room_for_it() -> None:
    units = FakeUnits([10] * 8, [[0, 1, 2, 3], [4, 5, 6, 7]], protected=True)
    ranks = torch.tensor([9.0, 8.0, 7.0, 6.0, 1.0, 3.0, 2.0, 0.0])
    assert select_units(ranks, units, 0.5, local=False).nonzero().flatten().tolist() == [0, 1, 2, 5]
    units.protected = False
    assert select_units(ranks, units, 0.5, local=False).nonzero().flatten().tolist() == [0, 1, 2, 3]


def test_heads_compete_with_heads_and_neurons_with_neurons() -> None:
    """Means over 16,000 weights lie closer together than means over 64: in one ranking only neurons would go."""
    weights, units, _ = cut_up("bert", "structured")
    ranks = torch.rand(len(units), generator=torch.Generator().manual_seed(0))
    heads, neurons = units.pools
    ranks[heads] += 10
    kept = select_units(ranks, units, 0.5, local=False)
    assert [int(kept[pool].sum()) for pool in (heads, neurons)] == [4, 64]
    assert float(ranks[heads][kept[heads]].min()) > float(ranks[heads][~kept[heads]].max())
    mask = torch.empty(len(weights), dtype=torch.bool)
    units.spread(kept, out=mask)
    assert int(mask.sum()) == len(weights) // 2


def test_neurons_are_refused_where_it_is_not_known_where_they_are() -> None:
    weights = MaskedWeights(prunable_matrices(tiny_model("modernbert")), Magnitude())
    with pytest.raises(NothingToPrune, match=r"not known where the neurons or heads of matrix 'layers.0.mlp.Wi'"):
        Units("structured", weights)


def test_heads_are_refused_where_a_matrix_has_none_and_layers_where_there_is_one() -> None:
    weights = MaskedWeights(prunable_matrices(tiny_model()), Magnitude())
    with pytest.raises(NothingToPrune, match="no attention heads"):
        Units("head", weights)
    shared = MaskedWeights(prunable_matrices(tiny_model("albert")), Magnitude())
    with pytest.raises(NothingToPrune, match="several layers"):
        Units("layer", shared)


@pytest.mark.parametrize(
    ("granularity", "scope", "target", "refused"),
    [
        ({"block": [32, 32]}, "local", 0.9, True),  # most matrices are one block each, and one stays
        ({"block": [32, 32]}, "global", 0.9, True),
        ({"block": [8, 8]}, "local", 0.9, False),
        ("row", "local", 0.9, False),
        ("row", "global", 0.999, True),
        ("head", "global", 0.1, False),
        ("head", "global", 0.01, True),  # less than half of one of eight heads
        ("hybrid", "local", 0.9, True),
        ("layer", "global", 0.5, False),
        ("row", "global", 0.0005, True),  # less than half a row
        ("row", "global", 0.002, False),
    ],
)
def test_a_target_that_whole_units_cannot_meet_is_refused(
    granularity: Granularity, scope: str, target: float, refused: bool
) -> None:
    spec = PruningSpec.model_validate(
        {
            "method": "magnitude",
            "target_sparsity": target,
            "pruning": {"granularity": granularity, "scope": scope},
            "training": {"max_steps": 100, "start_from": "model"},
        }
    )
    if refused:
        with pytest.raises(NothingToPrune, match=f"target_sparsity {target} cannot be met"):
            Pruner(tiny_model(), spec, spec.schedule(3200)).require_room(spec)
        return
    pruner = Pruner(tiny_model(), spec, spec.schedule(3200))
    pruner.require_room(spec)
    pruner.update_masks(100)
    units = pruner.weights.units
    assert units is not None
    assert abs(sum(pruner.weights.kept()) - (1 - target) * len(pruner.weights)) <= float(units.sizes.max())


@pytest.mark.parametrize("target", [1 / 9, 8 / 9])
def test_a_target_is_taken_that_some_choice_of_unequal_units_meets(target: float) -> None:
    """Two layers, of 8,192 weights and of 1,024: which goes is the method's to say, and not known beforehand."""
    pruning = {"granularity": "layer", "modules": r"layer\.0\.|layer\.1\..*query"}
    fields = {"method": "magnitude", "target_sparsity": target, "pruning": pruning, "training": {"max_steps": 100}}
    spec = PruningSpec.model_validate(fields)
    pruner = Pruner(tiny_model(), spec, spec.schedule(3200))
    assert pruner.weights.units is not None
    pruner.require_room(spec)
