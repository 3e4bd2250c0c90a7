#!/usr/bin/env python3
"""What devices tell of their rounds: metrics for the operator, and a failure that no round waits for.

    device_reports.py BIN_DIR WORK_DIR

Three devices over CoAP/DTLS on this host, one of them without data. Its rounds would last 600 s if it said nothing.
"""
import json
import os
import sys

import kill_processes

ROUNDS = 4


def take_data_away(federation, name):
    path = federation.path(f"devices/{name}/client.yaml")
    with open(path) as file:
        lines = [line for line in file if not line.startswith("data:")]
    with open(path, "w") as file:
        file.writelines(lines)


def grep(federation, name, *words):
    with open(federation.path(f"{name}.log")) as file:
        return [line for line in file if all(word in line for word in words)]


def run(federation):
    take_data_away(federation, "device-3")
    federation.start("server")
    for name in federation.names():
        federation.start(name)
    federation.running["server"].wait(timeout=kill_processes.PATIENCE_S)
    rounds = federation.rounds()
    if len(rounds) != ROUNDS or any(line["updates"] != 2 or line["abandoned"] for line in rounds):
        raise AssertionError(f"not {ROUNDS} rounds of two updates: {rounds}")
    if not grep(federation, "server", "device-failed", "device=device-3", "no data"):
        raise AssertionError("the server's log does not name the device that failed")
    if not grep(federation, "device-3", "round-failed", "no data"):
        raise AssertionError("the device's own log does not say that it failed")
    if grep(federation, "server", "device-failed", "device=device-1"):
        raise AssertionError("a device that delivered counts as failed")
    status = json.loads(federation.tool("covey-server", "status", federation.path("server"), "--json"))
    metrics = {metric["name"]: metric for metric in status["federations"][0]["metrics"]}
    expected = {"round": 3, "failed": 3, "memory": 3, "loss-before": 2, "loss-after": 2, "training": 2, "examples": 2,
                "steps": 2, "update-bytes": 2, "upload-bytes": 2, "bytes-up": 2, "bytes-down": 2}
    for name, devices in expected.items():
        if metrics.get(name, {}).get("devices") != devices:
            raise AssertionError(f"{name}: of {devices} devices, not {metrics.get(name)}")
    if metrics["failed"]["minimum"] != 0 or metrics["failed"]["maximum"] != 1:
        raise AssertionError(f"failed: {metrics['failed']}")
    if metrics["examples"]["mean"] != 4000 or metrics["memory"]["minimum"] < 1 << 20:
        raise AssertionError(f"{metrics}")
    print(f"{ROUNDS} rounds without device-3; metrics: {', '.join(sorted(metrics))}")


def main():
    federation = kill_processes.Federation(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), 1, ROUNDS,
                                           everybody=True)
    try:
        run(federation)
    except BaseException:
        federation.show()
        raise
    finally:
        federation.close()


if __name__ == "__main__":
    main()
