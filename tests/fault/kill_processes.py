#!/usr/bin/env python3
"""Kills devices and the server of a running federation, at any moment, and looks whether everything goes on.

    kill_processes.py BIN_DIR WORK_DIR [--kills N] [--seed S] [--who device|server|both] [--strategy LINE]
                      [--optimiser KIND] [--algorithm NAME] [--weighting KIND] [--asynchronous]

Separate processes over CoAP/DTLS on this host, a tiny model and data made here. What must hold:
  device  a device that is killed leaves the round to end by its deadline; started again it joins a later round
  server  a server that is killed and started again goes on from its last stored model: sequences and rounds never
          fall, no update is counted twice, and the devices find it again by themselves
  both    devices and the server are killed, in any order and together; every model that comes out has the hash that
          it has in a run where nobody is disturbed: no update is lost, counted twice, or trained from a wrong residual
"""
import argparse
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

DEVICES = 3
DEADLINE_S = 3.0
PATIENCE_S = 600  # what has not come by then fails the test: no machine that works is so slow


def write_idx(path, kind, shape, values):
    with open(path, "wb") as file:
        file.write(struct.pack(">BBBB", 0, 0, kind, len(shape)))
        for size in shape:
            file.write(struct.pack(">I", size))
        file.write(bytes(values))


def make_data(folder, rng, count):
    """Two classes of 16 bytes: bright first half, or bright second half."""
    os.makedirs(folder, exist_ok=True)
    labels = [rng.randrange(2) for _ in range(count)]
    values = []
    for label in labels:
        for place in range(16):
            values.append(rng.randrange(100) + (100 if (place < 8) == (label == 0) else 0))
    write_idx(os.path.join(folder, "x.idx"), 8, (count, 16), values)
    write_idx(os.path.join(folder, "y.idx"), 8, (count,), labels)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Federation:
    """One server and its devices; every process is in self.running, and is ended by close()."""

    def __init__(self, bin_dir, work, seed, rounds, everybody=False, strategy="fedavg", optimiser=None,
                 asynchronous=False, algorithm="plain", weighting="examples"):
        """everybody: no round goes on without all devices, however long that takes."""
        self.bin, self.work, self.running = bin_dir, work, {}
        rng = random.Random(seed)
        least, deadline_s, pause_s = (DEVICES, 600, 0) if everybody else (2, DEADLINE_S, 0.1)
        mode = "mode: asynchronous, buffer: 2, concurrency: 3" if asynchronous else "minimum_updates: 1"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(os.path.join(work, "devices"))
        self.tool("covey-server", "init", self.path("server"), "--name", "localhost")
        port = free_port()
        more = ""
        if algorithm in ("scaffold", "feddyn"):
            more += f"    population: {2 * DEVICES}\n"
        if weighting != "examples":
            more += f"    weighting: {{kind: {weighting}}}\n"
        if optimiser is not None:
            more += f"    server_optimiser: {{kind: {optimiser}}}\n"
        if strategy.startswith("fltrust"):
            make_data(self.path("server/root"), random.Random(seed + 1), 100)
            more += "    root_data: {inputs: [root/x.idx], labels: [root/y.idx], scale: 0.005}\n"
        with open(self.path("server/tiny.yaml"), "w") as file:
            file.write("name: tiny\ninput: {shape: [16]}\nloss: softmax_cross_entropy\n"
                       "ops:\n  - {op: dense, name: hidden, units: 400}\n  - {op: relu}\n  - {op: dense, name: output, units: 2}\n")
        with open(self.path("server/server.yaml"), "w") as file:
            file.write(f"""server: {{name: localhost, port: {port}, exit_when_done: true}}
log: {{level: info}}
federations:
  - name: tiny
    model: {self.path("server/tiny.yaml")}
    codec: int8
    strategy: {strategy}
{more}    train: {{epochs: 2, batch: 10, learning_rate: 0.05, algorithm: {algorithm}}}
    selection: {{fraction: 1, minimum_devices: {least}}}
    round: {{deadline_s: {deadline_s}, {mode}, pause_s: {pause_s}, heartbeat_s: 2, retry_s: 1}}
    stop: {{rounds: {rounds}}}
""")
        for name in self.names():
            # weights by steps are of use where devices differ in them
            count = 4000 if weighting == "examples" else 1000 * (2 + int(name[-1]))
            make_data(self.path(f"data/{name}"), rng, count)
            self.tool("covey-server", "device", "add", self.path("server"), name, "--out", self.path(f"devices/{name}"))
            with open(self.path(f"devices/{name}/client.yaml"), "w") as file:
                file.write(f"""server: localhost:{port}
server_name: localhost
federation: tiny
exit_when_done: true
reconnect_ms: 100
reconnect_limit_ms: 1000
error_feedback: on
data: {{inputs: [{self.path(f"data/{name}/x.idx")}], labels: [{self.path(f"data/{name}/y.idx")}], scale: 0.005}}
log: {{level: info}}
""")

    def names(self):
        return [f"device-{i}" for i in range(1, DEVICES + 1)]

    def path(self, name):
        return os.path.join(self.work, name)

    def tool(self, program, *arguments):
        done = subprocess.run([os.path.join(self.bin, program), *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            sys.exit(f"{program} {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def start(self, name):
        program = ["covey-server", "run", self.path("server"), "--json"] if name == "server" else \
            ["covey-client", "run", self.path(f"devices/{name}"), "--json"]
        with open(self.path(f"{name}.jsonl"), "a") as out, open(self.path(f"{name}.log"), "a") as log:
            self.running[name] = subprocess.Popen([os.path.join(self.bin, program[0]), *program[1:]], stdout=out, stderr=log)

    def kill(self, name):
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(timeout=PATIENCE_S)

    def lines(self, name):
        found = []
        with open(self.path(f"{name}.jsonl")) as file:
            for line in file.read().splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    pass  # cut by the kill
        return found

    def rounds(self):
        return [line for line in self.lines("server") if "round" in line]

    def close(self):
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait(timeout=PATIENCE_S)

    def show(self):
        for name in ["server", *self.names()]:
            for kind in ("jsonl", "log"):
                try:
                    with open(self.path(f"{name}.{kind}")) as file:
                        text = file.read().splitlines()[-12:]
                except OSError:
                    continue
                print(f"--- {name}.{kind}", *text, sep="\n", file=sys.stderr)


def wait_until(what, seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def kill_devices(federation, rng, kills):
    federation.start("server")
    for name in federation.names():
        federation.start(name)
    wait_until("a first round", PATIENCE_S, lambda: any(not line["abandoned"] for line in federation.rounds()))
    for _ in range(kills):
        victim = rng.choice(federation.names())
        time.sleep(rng.random() * 0.5)
        before = len(federation.rounds())
        federation.kill(victim)
        # without it the round ends by its deadline, and the next is made by the others
        wait_until(f"rounds without {victim}", PATIENCE_S, lambda: len(federation.rounds()) >= before + 2)
        last = federation.rounds()[-1]["round"]
        federation.start(victim)
        wait_until(f"{victim} to join again", PATIENCE_S,
                   lambda: any(line.get("round", 0) > last for line in federation.lines(victim)))
        if federation.running["server"].poll() is not None:
            raise AssertionError("the server ended")
    check_rounds(federation)


def kill_server(federation, rng, kills):
    federation.start("server")
    for name in federation.names():
        federation.start(name)
    wait_until("a first round", PATIENCE_S, lambda: len(federation.rounds()) >= 1)
    for _ in range(kills):
        time.sleep(rng.random() * 0.7)
        before = federation.rounds()[-1]
        federation.kill("server")
        federation.start("server")
        wait_until("rounds after the restart", PATIENCE_S,
                   lambda: federation.rounds()[-1]["round"] > before["round"] + 1 and not federation.rounds()[-1]["abandoned"])
        for name in federation.names():
            if federation.running[name].poll() is not None:
                raise AssertionError(f"{name} ended with {federation.running[name].returncode}")
    check_rounds(federation)


def kill_both(federation, rng, kills):
    federation.start("server")
    for name in federation.names():
        federation.start(name)
    wait_until("a first round", PATIENCE_S, lambda: len(federation.rounds()) >= 1)
    done = 0
    while done < kills:
        time.sleep(rng.random() * 0.4)
        victims = rng.sample(["server", *federation.names()], rng.choice([1, 1, 2, 2, 3, 4]))
        for name in victims:
            federation.kill(name)
            time.sleep(rng.choice([0, 0, 0.03]))
        rng.shuffle(victims)
        for name in victims:
            time.sleep(rng.choice([0, 0, 0.1, 0.4]))
            federation.start(name)
        done += len(victims)
        if rng.random() < 0.7:  # else at once again: perhaps before anybody found the other
            last = federation.rounds()[-1]["round"]
            wait_until(f"a round after {last}", PATIENCE_S, lambda: federation.rounds()[-1]["round"] > last)
    last = federation.rounds()[-1]["round"]
    wait_until("two rounds more", PATIENCE_S, lambda: federation.rounds()[-1]["round"] >= last + 2)
    check_rounds(federation)
    return done


def models(federation):
    return {line["round"]: line["model_sha256"] for line in federation.rounds() if not line["abandoned"]}


def check_undisturbed(federation, options):
    """The same federation with nobody disturbed comes by the same models."""
    disturbed = models(federation)
    last = max(disturbed)
    federation.close()
    calm = Federation(federation.bin, federation.path("undisturbed"), options.seed, last, everybody=True,
                      strategy=options.strategy, optimiser=options.optimiser, algorithm=options.algorithm,
                      weighting=options.weighting)
    try:
        calm.start("server")
        for name in calm.names():
            calm.start(name)
        calm.running["server"].wait(timeout=PATIENCE_S + last)
        expected = models(calm)
        for number in sorted(disturbed):
            if disturbed[number] != expected.get(number):
                raise AssertionError(f"round {number} of {last}: the model is {disturbed[number]}, "
                                     f"undisturbed it is {expected.get(number)}")
        if len(expected) != last or any(line["updates"] != DEVICES for line in calm.rounds()):
            raise AssertionError("the undisturbed run was disturbed")
    except BaseException:
        calm.show()
        raise
    finally:
        calm.close()
    accounts = {}
    for name in federation.names():
        with open(federation.path(f"{name}.log")) as file:
            for line in file:
                if "update-accounted" in line:
                    fate = line.split("fate=")[1].split()[0]
                    accounts[fate] = accounts.get(fate, 0) + 1
    print(f"all {len(disturbed)} models of {last} rounds as undisturbed; updates accounted for: {accounts}")


def check_rounds(federation):
    """Rounds and sequences never fall; a round is reported once; no more updates than devices chosen."""
    previous = {"round": 0, "sequence": 0}
    for line in federation.rounds():
        if line["round"] < previous["round"] or line["sequence"] < previous["sequence"]:
            raise AssertionError(f"went back: {previous} then {line}")
        if line["round"] == previous["round"] and line["model_sha256"] != previous["model_sha256"]:
            raise AssertionError(f"one round, two models: {previous} then {line}")
        if line["updates"] > line["chosen"]:
            raise AssertionError(f"more updates than devices: {line}")
        previous = line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("work_dir")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--optimiser", help="the server's: momentum, adagrad, adam or yogi")
    parser.add_argument("--strategy", default="fedavg", help="a line of words: docs/strategies.md")
    parser.add_argument("--algorithm", default="plain", help="of the devices: scaffold, feddyn, ditto ...")
    parser.add_argument("--weighting", default="examples", help="equal, steps or loss")
    parser.add_argument("--asynchronous", action="store_true", help="buffers of two of the three devices")
    parser.add_argument("--who", choices=["device", "server", "both"], required=True)
    options = parser.parse_args()
    if options.asynchronous and options.who == "both":
        parser.error("who comes when decides what a buffer holds: two runs of it have different models")
    rng = random.Random(options.seed)
    everybody = options.who == "both"
    federation = Federation(os.path.abspath(options.bin_dir), os.path.abspath(options.work_dir), options.seed, 1000000,
                            everybody, options.strategy, options.optimiser, options.asynchronous,
                            options.algorithm, options.weighting)
    try:
        {"device": kill_devices, "server": kill_server, "both": kill_both}[options.who](federation, rng, options.kills)
        rounds = federation.rounds()
        print(f"{options.kills} kills of {options.who}: {len(rounds)} rounds, "
              f"{sum(line['abandoned'] for line in rounds)} abandoned, last {rounds[-1]['round']}", flush=True)
        if everybody:
            check_undisturbed(federation, options)
    except BaseException:
        federation.show()
        raise
    finally:
        federation.close()


if __name__ == "__main__":
    main()
