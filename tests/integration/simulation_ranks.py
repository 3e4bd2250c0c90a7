"""covey-sim alone, with threads, and on 1, 2 and 4 ranks under mpirun: the same rounds, but for the wall clock.

usage: simulation_ranks.py COVEY_SIM WORK_FOLDER [MPIRUN]"""
import json
import os
import random
import shutil
import subprocess
import sys

SCENARIO = """name: ranks
data:
  train: {csv: {files: [train.csv], label: label}}
  test: {csv: {files: [test.csv], label: label}}
partition: {kind: dirichlet, devices: 30, alpha: .5}
model: little.yaml
train: {epochs: 1, batch: 5, learning_rate: .05}
selection: {count: 7}
round: {deadline_s: 600, minimum_updates: 1}
stop: {rounds: 6}
links: [{class: wifi}, {class: lte-m}]
"""
MODEL = """name: little
input: {shape: [6]}
loss: softmax_cross_entropy
ops:
  - {op: dense, name: hidden, units: 12}
  - {op: relu}
  - {op: dense, name: output, units: 3}
"""
WAYS = [["error_feedback=off"], ["codec=int4", "error_feedback=on"],
        ["selection.over_selection=.6", "churn.drop_rate=.2", "error_feedback=off"]]


def write_points(path, count, seed):
    generator = random.Random(seed)
    with open(path, "w", encoding="utf-8") as out:
        out.write("a,b,c,d,e,f,label\n")
        for _ in range(count):
            label = generator.randrange(3)
            values = [(1.0 if i % 3 == label else 0.0) + generator.uniform(-.6, .6) for i in range(6)]
            out.write(",".join(f"{value:.5f}" for value in values) + f",{label}\n")


def play(command, settings, folder):
    call = command + ["run", f"{folder}/scenario.yaml", "--json"]
    for setting in settings:
        call += ["--set", setting]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       OMPI_MCA_btl_vader_single_copy_mechanism="none")
    done = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=120, check=False)
    if done.returncode != 0:
        sys.exit(f"{call}: exit status {done.returncode}\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines[:-1]:
        del line["wall_s"]
    return lines[:-1], lines[-1]


def main():
    program, folder = sys.argv[1:3]
    mpirun = sys.argv[3] if len(sys.argv) > 3 else None
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write_points(f"{folder}/train.csv", 600, 1)
    write_points(f"{folder}/test.csv", 1300, 2)
    for name, text in (("scenario.yaml", SCENARIO), ("little.yaml", MODEL)):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
            out.write(text)
    for settings in WAYS:
        rounds, summary = play([program], settings, folder)
        assert len(rounds) == 6 and summary["updates"] > 0, summary
        for ranks in (1, 2, 4) if mpirun else ():
            command = [mpirun, "--oversubscribe", "-n", str(ranks), program]
            again, total = play(command, settings, folder)
            assert total["ranks"] == ranks, total
            assert again == rounds, f"{settings}: {ranks} ranks differ\n{rounds}\n{again}"
            assert total["model_sha256"] == summary["model_sha256"]
    shutil.rmtree(folder)
    print("the same rounds" + (" with 1, 2 and 4 ranks" if mpirun else ", alone: no mpirun here"))


main()
