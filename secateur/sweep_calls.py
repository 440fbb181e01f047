"""The part of `secateur.Client` that is about sweeps."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from secateur import polling
from secateur.answers import object_of
from secateur.calls import PAGE_SIZE, Calls, path_to
from secateur.resources import Sweep, SweepSummary
from secateur.transport import Again


class SweepCalls(Calls):
    """Submits sweeps, waits for them, and shows what their jobs say together."""

    def submit_sweep(self, sweep: Mapping[str, object], idempotency_key: str | None = None) -> Sweep:
        """Submit a job for every combination of a grid's values: all of them, or none.

        Args:
            sweep: `base`, a job's spec, and `grid`, the values of each field that varies:
                `{"method": ["movement", "magnitude"], "training.seed": [1, 2, 3]}`; a `name` if you like.
            idempotency_key: As for `submit`: the same key and sweep give the same sweep for 24 hours.

        Raises:
            Invalid: A job of it cannot be run; `errors` names each field at fault.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        response = self._service.send("POST", "/v1/sweeps", again=Again.ALWAYS, json=dict(sweep), headers=headers)
        return cast(Sweep, object_of(response, "id", "runs"))

    def sweep(self, sweep_id: str) -> Sweep:
        """One sweep as it is now: its jobs, means over seeds, and the Pareto front."""
        return cast(Sweep, object_of(self._get(path_to("sweeps", sweep_id)), "id", "runs"))

    def sweep_csv(self, sweep_id: str) -> str:
        """A sweep's table as CSV."""
        return self._get(path_to("sweeps", sweep_id), headers={"Accept": "text/csv"}).text

    def sweeps(self) -> Iterator[SweepSummary]:
        """The team's sweeps, newest first."""
        for entry in self._pages("/v1/sweeps", {"limit": PAGE_SIZE}):
            yield cast(SweepSummary, entry)

    def wait_for_sweep(
        self,
        sweep_id: str,
        on_change: Callable[[Sweep], None] | None = None,
        *,
        timeout_s: float | None = None,
        outage_s: float = 300.0,
    ) -> Sweep:
        """Return the sweep when all its jobs have ended; the arguments are those of `wait`.

        Raises:
            WaitTimeout: Some go on running after `timeout_s`.
        """
        return polling.wait(self._service, path_to("sweeps", sweep_id), on_change, timeout_s, outage_s)

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """Cancel the jobs of a sweep that have not ended.

        Raises:
            Conflict: All have.
        """
        response = self._service.send("POST", path_to("sweeps", sweep_id, "cancel"), again=Again.IF_NOT_SENT)
        return cast(Sweep, object_of(response, "id", "runs"))

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete a sweep with its jobs and all they left behind.

        Raises:
            Conflict: Some of its jobs have not ended.
        """
        self._service.send("DELETE", path_to("sweeps", sweep_id), again=Again.IF_NOT_SENT)
