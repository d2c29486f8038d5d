"""Exports metrics with the OpenTelemetry SDK, as a program may that knows nothing of Slipway.

    metrics.py PORT CA.pem token DEVICE TOKEN
    metrics.py PORT CA.pem certificate KEY.pem CERTIFICATE.pem
"""

import math
import sys
from pathlib import Path

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


class Exporter(OTLPMetricExporter):
    """Remembers whether the server took everything."""

    failed = False

    def export(self, *arguments, **options):
        result = super().export(*arguments, **options)
        self.failed = self.failed or result is not MetricExportResult.SUCCESS
        return result


def main(port: str, ca: str, kind: str, first: str, second: str) -> None:
    root = Path(ca).read_bytes()
    attributes = {"service.name": "controller"}
    if kind == "token":
        attributes["slipway.device.id"] = first
        credentials, headers = grpc.ssl_channel_credentials(root), {"authorization": f"Bearer {second}"}
    else:
        key, chain = Path(first).read_bytes(), Path(second).read_bytes()
        credentials, headers = grpc.ssl_channel_credentials(root, key, chain), None
    exporter = Exporter(
        endpoint=f"https://localhost:{port}",
        credentials=credentials,
        headers=headers,
        compression=grpc.Compression.Gzip,
    )
    # No rhythm of its own: the test says when.
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = MeterProvider(resource=Resource.create(attributes), metric_readers=[reader])
    meter = provider.get_meter("pump")
    part = {"slipway.component": "filter"}
    meter.create_observable_gauge(
        "filter.pressure_drop", callbacks=[lambda _: [Observation(300.0, part)]], unit="Pa"
    )
    runs = meter.create_counter("pump.runs", unit="{run}")
    queue = meter.create_up_down_counter("pump.queue", unit="1")
    stroke = meter.create_histogram("pump.stroke", unit="s")
    track = meter.create_gauge("pump.position", unit="m")
    for turn in range(4):
        runs.add(2, {"valve": turn % 2})
        queue.add(-1)
        stroke.record(0.5)
        # The owner has not allowed this class.
        track.set(turn, {"slipway.data_class": "location"})
        if not provider.force_flush():
            sys.exit("the exporter gave up")
    provider.shutdown()
    if exporter.failed:
        sys.exit("the server did not take it")


main(*sys.argv[1:])
