"""Peak memory of a program and of everything that it starts, sampled from beside it.

Processes are known by a marker in their environment, so those that detach (Ray's daemons) count as well. Memory is
the sum of proportional set sizes: pages that several processes share count once. That is never more than the sum of
resident set sizes, which would count a shared page for each of them.
"""
import multiprocessing
import os
import time
import uuid

MARKER = "COVEY_PEER_RUN"


def processes_of(marker):
    wanted = f"{MARKER}={marker}".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environment:
                if wanted in environment.read().split(b"\0"):
                    yield int(name)
        except OSError:
            pass  # it has ended, or is somebody else's


def proportional_bytes(process):
    try:
        with open(f"/proc/{process}/smaps_rollup") as lines:
            for line in lines:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def sample(marker, pipe, seconds):
    peak, most = 0, 0
    while not pipe.poll(seconds):
        sizes = [proportional_bytes(process) for process in processes_of(marker)]
        if sum(sizes) > peak:
            peak, most = sum(sizes), len(sizes)
    pipe.send((peak, most))


class PeakMemory:
    """with PeakMemory() as memory: ...; memory.bytes, memory.processes. Enter it before anything is started: the
    program replaces itself once, so that the marker stands in its own environment, too."""

    def __init__(self, seconds=0.5):
        self.seconds = seconds
        self.bytes = self.processes = 0

    @staticmethod
    def mark():
        """Call first thing in main()."""
        import sys
        if MARKER not in os.environ:
            os.environ[MARKER] = uuid.uuid4().hex
            os.execv(sys.executable, [sys.executable] + sys.argv)

    def __enter__(self):
        self.pipe, theirs = multiprocessing.Pipe()
        marker = os.environ[MARKER]
        self.sampler = multiprocessing.get_context("fork").Process(
            target=sample, args=(marker, theirs, self.seconds), daemon=True)
        self.sampler.start()
        return self

    def __exit__(self, *_):
        self.pipe.send(None)
        if self.pipe.poll(30):
            self.bytes, self.processes = self.pipe.recv()
        self.sampler.join(5)


def wait_for_end(marker, seconds=20):
    """Until nothing that carries the marker runs any more but the caller."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(process != os.getpid() for process in processes_of(marker)):
        time.sleep(0.2)
