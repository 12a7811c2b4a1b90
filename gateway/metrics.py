"""What operators see of the gateway. Labels come from fixed sets, never from a delivery."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest


class Metrics:
    """One set of metrics with a registry of its own, so that several gateways fit in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.deliveries = Counter(
            "gateway_deliveries", "POSTs to /webhook by how they were answered", ["result"], registry=self._registry
        )
        self.verifications = Counter(
            "gateway_verifications", "GETs of /webhook by how they were answered", ["result"], registry=self._registry
        )
        self.runs = Counter(
            "gateway_runs",
            "Runs (message, statuses, events) by what became of queueing them",
            ["kind", "result"],
            registry=self._registry,
        )
        self.unreadable = Counter(
            "gateway_unreadable_parts", "Parts of verified deliveries of an unknown shape", registry=self._registry
        )
        self.limited = Counter(
            "gateway_limited_messages",
            "Messages queued as beyond a limit, by whose",
            ["scope"],
            registry=self._registry,
        )
        self.counted_alone = Counter(
            "gateway_limits_counted_alone",
            "Deliveries whose messages this process counted alone, since GATEWAY_LIMITS_URL did not answer",
            registry=self._registry,
        )
        self.upstream_seconds = Histogram(
            "gateway_upstream_seconds",
            "Time of one call that queues a run",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self._registry,
        )

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)
