"""The kept share of each pruned layer of a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from store.engine import ReadSession, WriteSession
from store.fences import Fence
from store.jobs import get_job
from store.tables import MaskLayer


@dataclass(frozen=True, slots=True)
class NewLayer:
    """How much of one layer was kept."""

    name: str
    shape: Sequence[int]
    kept: int
    total: int


def write_layers(session: WriteSession, fence: Fence, layers: Sequence[NewLayer]) -> None:
    """Record the layers of a held attempt in their order; `finish_succeeded` calls this."""
    session.add_all(
        MaskLayer(
            job_id=fence.job_id,
            position=position,
            name=layer.name,
            shape=list(layer.shape),
            kept=layer.kept,
            total=layer.total,
        )
        for position, layer in enumerate(layers)
    )
    session.flush()


def layers_of(session: ReadSession, team_id: str, job_id: str) -> Sequence[MaskLayer]:
    """Return a job's layers in the model's order; none before the job has succeeded.

    Raises:
        NotFound: The team has no such job.
    """
    get_job(session, team_id, job_id)
    return session.scalars(select(MaskLayer).where(MaskLayer.job_id == job_id).order_by(MaskLayer.position)).all()
