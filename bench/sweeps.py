"""Grids of simulations: `covey-sim sweep`, of which every cell that is complete is kept in a folder."""

import json
import os
import signal
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def scenario_path(name):
    return name if os.sep in name else os.path.join(REPO, "examples", "scenarios", name + ".yaml")


class Sweep:
    """One sweep over a shipped scenario, or one by its path. grid: key -> values; settings: key -> value, for all cells."""

    def __init__(self, args, scenario, folder, grid, settings):
        self.folder = folder
        self.words = [os.path.join(args.bin, "covey-sim"), "sweep", scenario_path(scenario), "--out", folder]
        for key, values in grid.items():
            self.words += ["--grid", f"{key}={','.join(str(v) for v in values)}"]
        for name, value in settings.items():
            self.words += ["--set", f"{name}={value}"]
        self.threads = ["--threads", str(args.threads)] if args.threads else []

    def run(self, may_fail=False):
        """may_fail: some cells may diverge; then the others are there all the same, and this is False."""
        os.makedirs(self.folder, exist_ok=True)
        # In a group of its own: an interrupt reaches it once, from here.
        child = subprocess.Popen(self.words + self.threads, stdout=subprocess.DEVNULL, process_group=0)
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.wait()
            raise
        if status != 0 and not (may_fail and status == 1):
            sys.exit(f"bench/run: {' '.join(self.words)} ended with status {status}")
        return status == 0

    def cells(self):
        """(key -> value, folder) of each cell that is complete, values as they were written."""
        listed = subprocess.run(self.words + ["--dry-run"], stdout=subprocess.PIPE, text=True)
        if listed.returncode != 0:
            sys.exit(f"bench/run: {' '.join(self.words)} --dry-run ended with status {listed.returncode}")
        found = []
        for line in listed.stdout.splitlines():
            folder, state, label = line.split(None, 2)
            if state == "complete":
                found.append((dict(part.split("=", 1) for part in label.split(", ")), folder))
        return found


def read_summary(folder):
    with open(os.path.join(folder, "summary.json")) as file:
        return json.load(file)


def read_rounds(folder):
    with open(os.path.join(folder, "rounds.jsonl")) as file:
        return [json.loads(line) for line in file]
