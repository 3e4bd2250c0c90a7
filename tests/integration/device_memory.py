#!/usr/bin/env python3
"""Measures a client against what its own `plan` said before.

    device_memory.py SERVER_BIN_DIR CLIENT WORK_DIR [--small]

One server, one device, 2nn at batch 10 on 600 mapped examples of 28 x 28 bytes (real ones where COVEY_DATA says where
MNIST is, else drawn), int8 up, fp16 down, four rounds over CoAP/DTLS. What must hold:
  always    peak memory without the mapped data within 10 % of `plan`
  --small   besides, for the static device program: at most 2 MiB of file, at most 8 MiB of peak memory
"""
import argparse
import gzip
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys

EXAMPLES = 600
MIB = 1 << 20


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def examples():
    folder = os.path.join(os.environ.get("COVEY_DATA", ""), "mnist")
    if os.path.isdir(folder):
        with gzip.open(os.path.join(folder, "train-images-idx3-ubyte.gz")) as images:
            pixels = images.read(16 + EXAMPLES * 784)[16:]
        with gzip.open(os.path.join(folder, "train-labels-idx1-ubyte.gz")) as labels:
            return pixels, labels.read(8 + EXAMPLES)[8:]
    rng = random.Random(1)
    return rng.randbytes(EXAMPLES * 784), bytes(rng.randrange(10) for _ in range(EXAMPLES))


def write_data(folder):
    pixels, labels = examples()
    with open(os.path.join(folder, "x.idx"), "wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, EXAMPLES, 28, 28) + pixels)
    with open(os.path.join(folder, "y.idx"), "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, EXAMPLES) + labels)


def make_federation(tool, work, port):
    subprocess.run([tool, "init", f"{work}/server", "--name", "localhost"], check=True, stdout=subprocess.DEVNULL)
    with open(f"{work}/server/server.yaml", "w") as file:
        file.write(f"""server: {{name: localhost, port: {port}, exit_when_done: true}}
log: {{level: warning}}
federations:
  - name: memory
    model: 2nn
    seed: 1
    train: {{epochs: 1, batch: 10, learning_rate: 0.1}}
    selection: {{fraction: 1, minimum_devices: 1}}
    round: {{deadline_s: 120, pause_s: 0}}
    stop: {{rounds: 4}}
""")
    subprocess.run([tool, "device", "add", f"{work}/server", "one", "--out", f"{work}/one"], check=True,
                   stdout=subprocess.DEVNULL)
    with open(f"{work}/one/client.yaml", "w") as file:
        file.write(f"""server: localhost:{port}
server_name: localhost
federation: memory
exit_when_done: true
data: {{inputs: [../x.idx], labels: [../y.idx], scale: 0.00392156862745098}}
""")


def run(client, tool, work):
    server = subprocess.Popen([tool, "run", f"{work}/server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        done = subprocess.run([client, "run", f"{work}/one", "--json"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=240, text=True, check=False)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    if done.returncode != 0:
        sys.exit(f"{client} ended with status {done.returncode}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server_bin_dir")
    parser.add_argument("client")
    parser.add_argument("work_dir")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    work, tool = os.path.abspath(options.work_dir), os.path.join(options.server_bin_dir, "covey-server")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    write_data(work)
    make_federation(tool, work, free_port())
    total = run(options.client, tool, work)
    plan = json.loads(subprocess.run([options.client, "plan", "2nn", "--batch", "10", "--examples", str(EXAMPLES),
                                      "--json"], stdout=subprocess.PIPE, check=True, text=True).stdout)
    planned, peak = plan["memory_bytes"]["peak"], total["peak_rss_bytes"] - total["mapped_data_bytes"]
    size = os.path.getsize(options.client)
    print(f"rounds {total['rounds']}, peak {peak} bytes without {total['mapped_data_bytes']} mapped, planned {planned} "
          f"({planned / peak:.3f}), program {size} bytes")
    wrong = []
    if total["rounds"] != 4:
        wrong.append("not four rounds")
    if not abs(planned - peak) <= 0.1 * peak:
        wrong.append("the plan is more than 10 % off")
    if options.small and size > 2 * MIB:
        wrong.append("the program is larger than 2 MiB")
    if options.small and peak > 8 * MIB:
        wrong.append("the peak is over 8 MiB")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
