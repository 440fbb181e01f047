"""The processes that train one model together, one per device: most runs have one, whose case costs nothing.

Every rank holds the whole model and all that pruning keeps beside it, and takes every step. What differs is the part of
each batch that it learns from. Gradients are added up before anything looks at them, so that scores, masks and the
methods' own numbers stay the same on all ranks, and a run on several devices is the run on one, up to rounding.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.memory import is_out_of_memory
from pruning_core.tasks.base import EncodedSplit

log = logging.getLogger(__name__)


#: Tensors of fewer numbers travel together, in one copy.
_SMALL = 2**18
#: Numbers looked at together for a digest, to bound its memory.
_DIGESTED_TOGETHER = 2**20
_PRIME = 1_000_003
#: A connection breaks a little before the process that held it is seen to have ended.
_LAST_WORDS_S = 30.0


class Group(Protocol):
    """What joins the ranks: a `ProcessGroupGloo` or `ProcessGroupNCCL`, of which torch's own stubs know little.

    Not the default group: libraries that find that one take part, or think that we train in a way they know.
    """

    def rank(self) -> int:
        """Which rank this is."""

    def size(self) -> int:
        """How many there are."""

    def allreduce(self, tensors: list[Tensor], options: dist.AllreduceOptions) -> dist.Work:
        """Combine tensors of all ranks, in place."""

    def broadcast(self, tensors: list[Tensor], options: dist.BroadcastOptions) -> dist.Work:
        """Copy tensors from one rank to all."""

    def abort(self) -> None:
        """Leave, also where others never will; who waits for them is freed."""


@dataclass(frozen=True)
class Portion:
    """What one rank learns from in a batch, and how much of each of the batch's means that is.

    Attributes:
        items: of the training split; one at least, which weighs nothing where the batch has too few for all ranks.
        terms: share of what the model's own loss is a mean over: items, or words with a tag.
        tokens: share of the tokens.
    """

    items: Sequence[int]
    terms: float = 1.0
    tokens: float = 1.0


class OneRank:
    """A run on one device, and what there is to do for several.

    Attributes:
        device: where this rank computes.
        rank: its number; 0 leads: it alone reports, evaluates, writes checkpoints and exports.
        size: how many there are.
    """

    rank = 0
    size = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def leads(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def portion(self, items: Sequence[int], split: EncodedSplit) -> Portion:
        """This rank's part of a batch of a split."""
        return Portion(items)

    def own_items(self, split: EncodedSplit) -> NDArray[np.int64]:
        """This rank's part of a whole split, which has an item for each rank at least."""
        return np.arange(self.rank, len(split), self.size)

    def own_randomness(self, *where: int) -> AbstractContextManager[None]:
        """Within it random numbers are this rank's own; outside, all ranks draw the same.

        Args:
            where: seed, step, and what else tells this moment from others.
        """
        return nullcontext()

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all ranks, the same on each to the bit."""

    def agree(self, held: Callable[[], Iterable[Tensor]]) -> bool:
        """Whether what a rank holds is the same on all; where not, it is now what the rank that leads holds."""
        return True

    def check(self, patience_s: float = 0.0) -> None:
        """See that all ranks are there, before what was computed together is believed.

        Args:
            patience_s: how long to wait for one that ends just now.

        Raises:
            PeerLost: one has ended.
            PeerOutOfMemory: one has ended for want of memory.
        """


class ManyRanks(OneRank):
    """One of several ranks, joined to the others by a group of `torch.distributed`."""

    def __init__(
        self,
        device: torch.device,
        group: Group,
        explain: Callable[[float], Exception | None] = lambda patience_s: None,
    ) -> None:
        """Take part.

        Args:
            device: where this rank computes.
            group: joins the ranks; knows which one this is.
            explain: what has become of the others, where one has ended or does so within some seconds.
        """
        super().__init__(device)
        self.rank = group.rank()
        self.size = group.size()
        self._group = group
        self._explain = explain

    def portion(self, items: Sequence[int], split: EncodedSplit) -> Portion:
        """Every n-th item: a batch's items are ordered by length, so all ranks have as much to do."""
        own = items[self.rank :: self.size]
        if not own:  # every rank has to take part
            return Portion(items[:1], terms=0.0, tokens=0.0)
        tokens = [float(split.lengths[list(some)].sum()) for some in (own, items)]
        return Portion(own, split.terms(own) / split.terms(items), tokens[0] / tokens[1])

    @contextmanager
    def own_randomness(self, *where: int) -> Iterator[None]:
        """Seeded by the moment and the rank: ranks that drew from one sequence would draw different amounts of it."""
        seed = 0
        for number in (*where, self.rank):
            seed = (seed * _PRIME + number) % 2**63
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Large tensors in place, small ones packed into one."""
        small = [tensor for tensor in tensors if tensor.numel() < _SMALL or not tensor.is_contiguous()]
        packed = {id(tensor) for tensor in small}
        with self._together():
            for tensor in tensors:
                if id(tensor) not in packed:
                    self._reduce(tensor)
            if small:
                flat = torch.cat([tensor.reshape(-1) for tensor in small])
                self._reduce(flat)
                for tensor, part in zip(small, flat.split([tensor.numel() for tensor in small]), strict=True):
                    tensor.copy_(part.view_as(tensor))

    def agree(self, held: Callable[[], Iterable[Tensor]]) -> bool:
        """Compare digests; devices of unlike models may round differently."""
        tensors = list(held())
        ours = torch.stack([_digest(tensor).to(self.device) for tensor in tensors])
        with self._together():
            least, most = ours.clone(), ours.clone()
            self._reduce(least, dist.ReduceOp.MIN)
            self._reduce(most, dist.ReduceOp.MAX)
            if torch.equal(least, most):
                return True
            for tensor in tensors:
                there = tensor.detach().to(self.device)
                if there.dtype is torch.bool:
                    there = there.view(torch.uint8)
                self._group.broadcast([there], dist.BroadcastOptions()).wait()  # from rank 0
                tensor.detach().copy_(there)
        if self.leads:
            log.warning("The devices had come to differ by rounding; all go on from what the first one holds.")
        return False

    def check(self, patience_s: float = 0.0) -> None:
        """Raise what has become of the others."""
        if error := self._explain(patience_s):
            raise error

    def _reduce(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> None:
        options = dist.AllreduceOptions()
        options.reduceOp = operation  # type: ignore[assignment]  # the stub names the wrong one of two
        self._group.allreduce([tensor], options).wait()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """A collective: it fails where another rank has ended, and then that is what there is to tell."""
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.check(_LAST_WORDS_S)
            raise ConnectionError(f"The processes of the run lost touch: {error}") from error


def _digest(tensor: Tensor) -> Tensor:
    """An int64 of a tensor's bits and their places."""
    bits = tensor.detach().reshape(-1)
    bits = bits.view(torch.uint8 if bits.element_size() == 1 else torch.int32)
    places = torch.arange(1, min(len(bits), _DIGESTED_TOGETHER) + 1, device=bits.device)
    total = torch.zeros((), dtype=torch.int64, device=bits.device)
    for part in bits.split(_DIGESTED_TOGETHER):
        total = total * _PRIME + (part * places[: len(part)]).sum()  # integers wrap around
    return total
