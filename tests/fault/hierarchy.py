#!/usr/bin/env python3
"""Two levels of real processes over CoAP/DTLS make the same models as one, also when they are killed.

    hierarchy.py BIN_DIR WORK_DIR [--kills N] [--seed S]

Six devices directly on one server; then the same six, three on each of two gateways under the same server; then that
once more while gateways, server and devices are killed (SIGKILL) at any moment and started again. The models after every
round have the same hashes in all three runs.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from kill_processes import PATIENCE_S, free_port, make_data

ROUNDS = 4
SITES = {"site-a": ["device-1", "device-2", "device-3"], "site-b": ["device-4", "device-5", "device-6"]}
DEVICES = [name for names in SITES.values() for name in names]


class Federation:
    """One server, perhaps two gateways, six devices; every process is in self.running, and is ended by close()."""

    def __init__(self, bin_dir, work, seed, levels):
        self.bin, self.work, self.running = bin_dir, work, {}
        self.servers = ["top", *(SITES if levels == 2 else [])]
        rng = random.Random(seed)
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(self.path("devices"))
        ports = {name: free_port() for name in self.servers}
        for name in self.servers:
            is_top = name == "top"
            options = [] if is_top else ["--parent", f"localhost:{ports['top']}", "--bundle", self.path(f"bundles/{name}")]
            if not is_top:
                self.tool("covey-server", "device", "add", self.path("top"), name, "--out", self.path(f"bundles/{name}"))
            self.tool("covey-server", "init", self.path(name), "--name", "localhost", "--federation", "tiny", *options)
            least = 2 if is_top and levels == 2 else len(DEVICES) if is_top else 3
            self.configure(name, ports, least, levels)
            if is_top:
                os.makedirs(self.path("bundles"), exist_ok=True)
        for name in DEVICES:
            server = next((site for site in self.servers if name in SITES.get(site, [])), "top")
            make_data(self.path(f"data/{name}"), rng, 4000)
            self.tool("covey-server", "device", "add", self.path(server), name, "--out", self.path(f"devices/{name}"))
            with open(self.path(f"devices/{name}/client.yaml"), "w") as file:
                file.write(f"""server: localhost:{ports[server]}
server_name: localhost
federation: tiny
exit_when_done: true
reconnect_ms: 100
reconnect_limit_ms: 1000
data: {{inputs: [{self.path(f"data/{name}/x.idx")}], labels: [{self.path(f"data/{name}/y.idx")}], scale: 0.005}}
log: {{level: info}}
""")

    def configure(self, name, ports, least, levels):
        with open(self.path(f"{name}/tiny.yaml"), "w") as file:
            file.write("name: tiny\ninput: {shape: [16]}\nloss: softmax_cross_entropy\n"
                       "ops:\n  - {op: dense, name: hidden, units: 400}\n  - {op: relu}\n  - {op: dense, name: output, units: 2}\n")
        own = f"""    parent: {{address: "localhost:{ports['top']}", bundle: {self.path(f"bundles/{name}")}}}
""" if name != "top" else f"""    codec: int8
    downlink: ec:1
    train: {{epochs: 2, batch: 10, learning_rate: 0.05}}
    stop: {{rounds: {ROUNDS}}}
""" + ("    gateways: [{name: site-a, devices: 3}, {name: site-b, devices: 3}]\n" if levels == 2 else "")
        with open(self.path(f"{name}/server.yaml"), "w") as file:
            file.write(f"""server: {{name: localhost, port: {ports[name]}, exit_when_done: true}}
log: {{level: info}}
federations:
  - name: tiny
    model: {self.path(f"{name}/tiny.yaml")}
    selection: {{fraction: 1, minimum_devices: {least}}}
    round: {{deadline_s: 600, minimum_updates: {least}, heartbeat_s: 2, retry_s: 1}}
{own}""")

    def path(self, name):
        return os.path.join(self.work, name)

    def tool(self, program, *arguments):
        done = subprocess.run([os.path.join(self.bin, program), *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            sys.exit(f"{program} {' '.join(arguments)}: {done.stderr}")

    def start(self, name):
        program = ["covey-server", "run", self.path(name), "--json"] if name in self.servers else \
            ["covey-client", "run", self.path(f"devices/{name}"), "--json"]
        with open(self.path(f"{name}.jsonl"), "a") as out, open(self.path(f"{name}.log"), "a") as log:
            self.running[name] = subprocess.Popen([os.path.join(self.bin, program[0]), *program[1:]], stdout=out, stderr=log)

    def kill(self, name):
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(timeout=PATIENCE_S)

    def models(self):
        """round -> hash, of the top's closed rounds; a round is told again after a kill at most."""
        found = {}
        if not os.path.exists(self.path("top.jsonl")):
            return found
        with open(self.path("top.jsonl")) as file:
            for text in file.read().splitlines():
                try:
                    line = json.loads(text)
                except ValueError:
                    continue  # cut by the kill
                if "round" in line and not line["abandoned"]:
                    if found.setdefault(line["round"], line["model_sha256"]) != line["model_sha256"]:
                        sys.exit(f"round {line['round']} was told with two models")
        return found

    def final(self):
        with open(self.path("top/../top.jsonl")) as file:
            ends = [json.loads(text) for text in file.read().splitlines() if '"end"' in text]
        return ends[-1]["model_sha256"] if ends else None

    def close(self):
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait(timeout=PATIENCE_S)

    def show(self):
        for name in [*self.servers, *DEVICES]:
            if os.path.exists(self.path(f"{name}.log")):
                with open(self.path(f"{name}.log")) as log:
                    print(f"--- {name}\n{log.read()[-6000:]}", file=sys.stderr)


def play(federation, kills, rng):
    """To the end of all processes; the models, and how many kills there were."""
    done, until = 0, time.monotonic() + PATIENCE_S
    try:
        for name in [*federation.servers, *DEVICES]:
            federation.start(name)
        while federation.running["top"].poll() is None:
            if time.monotonic() > until:
                federation.show()
                sys.exit("the federation does not come to its end")
            time.sleep(rng.uniform(.1, 1.2) if kills else .2)
            alive = [name for name, process in federation.running.items() if process.poll() is None]
            if done < kills and alive and len(federation.models()) < ROUNDS:
                # gateways most often: they are what is new here
                victim = rng.choice([name for name in alive if name in SITES] * 3 + alive)
                federation.kill(victim)
                time.sleep(rng.uniform(0, .3))
                federation.start(victim)
                done += 1
        for name, process in federation.running.items():
            try:
                status = process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                status = "nothing: it goes on after the federation's end"
            if status != 0:
                federation.show()
                sys.exit(f"{name} ended with {status}")
    finally:
        federation.close()
    return federation.models(), federation.final(), done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("work_dir")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    runs = {"one level": (1, 0), "two levels": (2, 0), "two levels, killed": (2, options.kills)}
    first = None
    for name, (levels, kills) in runs.items():
        federation = Federation(options.bin_dir, os.path.join(options.work_dir, name.replace(", ", "-").replace(" ", "-")),
                                options.seed, levels)
        models, final, done = play(federation, kills, random.Random(options.seed))
        print(f"{name}: {done} kills, models {' '.join(models.get(i, '?')[:12] for i in range(1, ROUNDS + 1))}, at the end {final[:12]}")
        first = first or (models, final)
        # a round that was told to a process that died at once is told by the models after it
        if final != first[1] or any(first[0][i] != model for i, model in models.items()) or (kills == 0 and models != first[0]):
            federation.show()
            sys.exit(f"{name}: other models than with one level")


if __name__ == "__main__":
    main()
