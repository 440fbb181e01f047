"""What one decision removes: a weight, a row, a block, a head … Names only; `units.py` has the tensors."""

from typing import Annotated, Literal

from pydantic import Field

from pruning_core.columns import Part

Side = Annotated[int, Field(ge=1, le=4096)]


class Block(Part):
    """Rectangles of weights."""

    block: tuple[Side, Side] = Field(description="Rows and columns of a block; blocks at the edges may be smaller.")

    def __str__(self) -> str:
        """Rows and columns, such as `block 32x32`."""
        return f"block {self.block[0]}x{self.block[1]}"


Named = Literal["element", "row", "column", "hybrid", "structured", "head", "layer", "2:4"]
Granularity = Named | Block

#: All that can be pruned as wholes, smallest first.
KINDS = ("element", "2:4", "block", "row", "column", "hybrid", "structured", "head", "layer")

#: Of a mixture: an attention's blocks of 32 × 32 and the feed-forward's neurons, or its heads and the neurons.
MIXED = frozenset({"hybrid", "structured"})
#: The blocks of `hybrid`.
HYBRID_BLOCK = Block(block=(32, 32))


def kind_of(granularity: Granularity) -> str:
    """One of `KINDS`."""
    return "block" if isinstance(granularity, Block) else granularity
