#!/usr/bin/env python3
"""A service desk that hears of its machines: what to inspect, by when.

Watches the alerts that its token may see, prints one line for each change, and goes on where it stopped, however it
stopped. Nothing is missed; after a crash the last change may be told twice, under the same etag. README.md in this
folder says how to start it.
"""

import argparse
import os
import pathlib
import sys
import time

import grpc
from google.protobuf import timestamp_pb2

from slipway.v1 import alert_pb2, alert_pb2_grpc

# Pauses between attempts to connect, in seconds; the last one is repeated.
PAUSES = (1, 2, 5, 15, 60)


def connect(server: str, ca: pathlib.Path, token: str) -> alert_pb2_grpc.AlertServiceStub:
    """A connection that trusts one CA and shows the token with every call."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(root_certificates=ca.read_bytes()),
        grpc.access_token_call_credentials(token),
    )
    # A watched stream may be silent for hours; this finds out that the other end is gone.
    options = [("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 20_000)]
    return alert_pb2_grpc.AlertServiceStub(grpc.secure_channel(server, credentials, options=options))


def read_position(file: pathlib.Path) -> str:
    """Where the last run stopped; empty at the first."""
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def write_position(file: pathlib.Path, position: str) -> None:
    """Remembers the position so that a power cut leaves the old one or the new one."""
    draft = file.with_name(file.name + ".new")
    with open(draft, "w", encoding="ascii") as out:
        out.write(position)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, file)


def day(at: timestamp_pb2.Timestamp) -> str:
    """A day in UTC, and the hour where it is less than two days away."""
    is_near = abs(at.ToSeconds() - time.time()) < 2 * 86_400
    return f"{at.ToDatetime():%A %d %B %Y %H:%M UTC}" if is_near else f"{at.ToDatetime():%A %d %B %Y}"


def line(alert: alert_pb2.Alert) -> str:
    """What a technician has to know, in one line."""
    state = alert_pb2.AlertState.Name(alert.state).removeprefix("ALERT_STATE_").lower()
    severity = alert_pb2.AlertSeverity.Name(alert.severity).removeprefix("ALERT_SEVERITY_").lower()
    machine = alert.device.removeprefix("devices/") or alert.selector
    if alert.state == alert_pb2.ALERT_STATE_RESOLVED:
        what = f"{alert.recommendation} It was: {alert.summary}"
    else:
        verb = "reorder" if alert.kind == alert_pb2.ALERT_KIND_CONSUMABLE else "inspect"
        is_due = not alert.HasField("act_by") or alert.act_by.ToSeconds() <= time.time()
        due = "now" if is_due else f"by {day(alert.act_by)}"
        what = f"{verb} {due}: {alert.summary}"
    return f"{alert.name.removeprefix('alerts/')} {state} {severity} {machine} {alert.component}: {what}"


def acknowledge(desk: alert_pb2_grpc.AlertServiceStub, alert: alert_pb2.Alert) -> None:
    """Says that this desk takes care, unless somebody changed the alert meanwhile: that change comes next."""
    try:
        desk.AcknowledgeAlert(alert_pb2.AcknowledgeAlertRequest(name=alert.name, etag=alert.etag), timeout=30)
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION):
            raise


def watch(desk: alert_pb2_grpc.AlertServiceStub, arguments: argparse.Namespace, told: int) -> int:
    """Tells changes until the stream breaks or enough were told; returns how many."""
    request = alert_pb2.WatchAlertsRequest(resume_token=read_position(arguments.position))
    for change in desk.WatchAlerts(request):
        # Without an alert it is a sign of life, and only moves the position.
        if change.HasField("alert"):
            print(line(change.alert), flush=True)
            if arguments.acknowledge and change.alert.state == alert_pb2.ALERT_STATE_OPEN:
                acknowledge(desk, change.alert)
            told += 1
        # Only now: what was not dealt with comes again. While the stream begins with what is open there is no position
        # yet, because a desk that is cut off then has to begin again.
        if change.resume_token:
            write_position(arguments.position, change.resume_token)
            if arguments.stop_after and told >= arguments.stop_after:
                break
    return told


def main() -> None:
    """Watches for ever, or until enough was told."""
    parser = argparse.ArgumentParser(description="Prints what to inspect, by when, as soon as it is known.")
    parser.add_argument("--server", required=True, help="host:port of slipwayd")
    parser.add_argument("--ca", required=True, type=pathlib.Path, help="server-ca.pem of the server")
    parser.add_argument("--token-file", required=True, type=pathlib.Path, help="what slipway token create wrote")
    parser.add_argument("--position", required=True, type=pathlib.Path, help="file that remembers what was dealt with")
    parser.add_argument("--acknowledge", action="store_true", help="say that this desk takes care of what opens")
    parser.add_argument("--stop-after", type=int, default=0, metavar="N", help="end after so many changes")
    arguments = parser.parse_args()
    desk = connect(arguments.server, arguments.ca, arguments.token_file.read_text(encoding="ascii").strip())
    told, failures = 0, 0
    while not arguments.stop_after or told < arguments.stop_after:
        try:
            before = told
            told = watch(desk, arguments, told)
            failures = 0 if told > before else failures
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.INVALID_ARGUMENT):
                # What followed is no longer kept (30 days), or it was another server: begin with what is open.
                arguments.position.unlink(missing_ok=True)
            elif error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                sys.exit(f"the server does not let this desk in: {error.details()}")
            print(f"cut off: {error.details()}", file=sys.stderr, flush=True)
            time.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1


if __name__ == "__main__":
    main()
