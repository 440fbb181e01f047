"""What an API process counts, and what it asks the database when it is scraped."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from store import DATABASE_AWAY, Database
from store.fleet import Fleet, fleet

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Seconds; a long poll may take 30.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Meters:
    """What one API process counts.

    Attributes:
        registry: all of it, with what the database says of the service.
    """

    def __init__(self, database: Database) -> None:
        """Start from zero.

        Args:
            database: asked at each scrape, but not more often than every few seconds.
        """
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(_FleetCollector(database))
        self._requests = Counter(
            "secateur_http_requests",
            "Requests answered, by route and status; 499: the client left.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._begun = Histogram(
            "secateur_http_answer_begun_seconds",
            "Until an answer began; streams and downloads go on afterwards.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # To find a series by its labels takes longer than to count in it.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str | None, status: int, begun_s: float | None) -> None:
        """Count a request. What its sender made up is counted as `other`: each label's value makes a series.

        Args:
            method: of the request.
            route: the template of its path, or None where no route takes it.
            status: of the answer.
            begun_s: seconds until it began, or None where the client left before.
        """
        key = (method if method in _METHODS else "other", route or "other", status)
        if (found := self._series.get(key)) is None:
            found = self._series[key] = (self._requests.labels(*key), self._begun.labels(*key[:2]))
        requests, begun = found
        requests.inc()
        if begun_s is not None:
            begun.observe(begun_s)


class _FleetCollector(Collector):
    """Asks the database when it is scraped, so that every API process tells the same."""

    #: Seconds that an answer is told again: counting all jobs is not to be had by every scraper at any rate.
    KEPT_S = 5.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: Fleet | None = None
        self._found_at = -self.KEPT_S

    def describe(self) -> list[Metric]:
        """Nothing: a registry would otherwise collect once when it is told of this, before there is a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of `store.fleet`; only `secateur_database_up` while the database is away."""
        found = self._look()
        yield GaugeMetricFamily("secateur_database_up", "1 while the database answers.", value=float(found is not None))
        if found is None:
            return
        jobs = GaugeMetricFamily("secateur_jobs", "Jobs in each state.", labels=("status",))
        for status, count in found.jobs.items():
            jobs.add_metric((status,), count)
        yield jobs
        # No counter: it falls when jobs are deleted, and Prometheus takes a counter that falls for one that began anew.
        attempts = GaugeMetricFamily("secateur_attempts", "Ended attempts on record, by outcome.", labels=("outcome",))
        for outcome, count in found.attempts.items():
            attempts.add_metric((outcome,), count)
        yield attempts
        yield GaugeMetricFamily(
            "secateur_queue_longest_wait_seconds",
            "Since the submit of the job that has waited longest of those a worker could take.",
            value=found.longest_wait_s,
        )
        yield GaugeMetricFamily(
            "secateur_attempt_oldest_heartbeat_seconds",
            "Since the last sign of life of the running attempt that has been silent longest.",
            value=found.oldest_heartbeat_s,
        )

    def _look(self) -> Fleet | None:
        now = time.monotonic()
        if now - self._found_at >= self.KEPT_S:
            try:
                with self._database.read() as session:
                    self._found = fleet(session)
            except DATABASE_AWAY:
                self._found = None
            self._found_at = now
        return self._found
