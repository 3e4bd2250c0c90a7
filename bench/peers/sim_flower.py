#!/usr/bin/env python3
"""Flower's own simulation engine (flwr[simulation], on Ray) at the work of `bench/run sim`.

Prints one JSON object. Flower is given its best: a core a client, PyTorch on one thread in each, the data and the
model kept in every worker between clients, no evaluation. The first round, in which workers start and load, is not
counted in updates_per_s. Memory is that of all its processes.
"""
import json
import os
import sys
import time

from process_memory import PeakMemory, wait_for_end, MARKER

os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0")

import sim_work


class Worker:
    """What a worker process keeps between clients."""

    def __init__(self, config):
        import torch
        from train_torch import MODELS
        torch.set_num_threads(1)
        make, self.shape, _, _ = MODELS[config["model"]]
        images, labels = sim_work.load(config["data"], "train")
        self.x, self.y = torch.from_numpy(images), torch.from_numpy(labels)
        self.work = sim_work.WORK[config["model"]]
        self.shares = sim_work.shares(len(labels), self.work["devices"], config["seed"])
        self.net = make()
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=self.work["rate"], fused=True)

    def train(self, device):
        import torch
        import torch.nn.functional as F
        share = self.shares[device]
        x, y = self.x[share].view(-1, *self.shape).float() / 255, self.y[share]
        for _ in range(self.work["epochs"]):
            for batch in torch.randperm(len(y)).split(self.work["batch"]):
                self.optimiser.zero_grad()
                F.cross_entropy(self.net(x[batch]), y[batch]).backward()
                self.optimiser.step()
        return len(share)


WORKERS = {}


def client_app():
    from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    app = ClientApp()

    @app.train()
    def train(message, context):
        config = dict(message.content["config"])
        import sim_flower  # the module of the worker, that outlives a client
        if config["model"] not in sim_flower.WORKERS:
            sim_flower.WORKERS[config["model"]] = sim_flower.Worker(config)
        worker = sim_flower.WORKERS[config["model"]]
        worker.net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        examples = worker.train(int(context.node_config["partition-id"]))
        content = RecordDict({"arrays": ArrayRecord(worker.net.state_dict()),
                              "metrics": MetricRecord({"num-examples": examples})})
        return Message(content=content, reply_to=message)

    return app


def accuracy(args, net):
    import torch
    from train_torch import MODELS
    images, labels = sim_work.load(args.data, "t10k")
    with torch.no_grad():
        scores = net(torch.from_numpy(images).view(-1, *MODELS[args.model][1]).float() / 255)
    return (scores.argmax(1) == torch.from_numpy(labels)).float().mean().item()


def server_app(args, result):
    import torch
    from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from train_torch import MODELS
    app = ServerApp()
    work = sim_work.WORK[args.model]

    def after_round(number, arrays):
        result["ends"].append(time.perf_counter())
        if number == args.rounds:
            net = MODELS[args.model][0]()
            net.load_state_dict(arrays.to_torch_state_dict())
            result["accuracy"] = round(accuracy(args, net), 4)
        return MetricRecord({})

    @app.main()
    def run(grid, context):
        torch.manual_seed(args.seed)
        strategy = FedAvg(fraction_train=work["cohort"] / work["devices"], fraction_evaluate=0.0,
                          min_train_nodes=work["cohort"], min_available_nodes=work["devices"])
        config = ConfigRecord({"model": args.model, "data": os.path.abspath(args.data), "seed": args.seed})
        strategy.start(grid=grid, initial_arrays=ArrayRecord(MODELS[args.model][0]().state_dict()),
                       num_rounds=args.rounds, train_config=config, evaluate_fn=after_round)

    return app


def simulate(args, result):
    from flwr.simulation import run_simulation
    cores = os.cpu_count() or 1
    here = os.path.dirname(os.path.abspath(__file__))
    os.environ["PYTHONPATH"] = here + os.pathsep + os.environ.get("PYTHONPATH", "")
    run_simulation(server_app=server_app(args, result), client_app=client_app(),
                   num_supernodes=sim_work.WORK[args.model]["devices"],
                   backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                                   "init_args": {"num_cpus": cores, "include_dashboard": False}})


def main():
    PeakMemory.mark()
    args = sim_work.arguments(__doc__, 6)
    out = os.dup(1)
    os.dup2(2, 1)  # what Flower and Ray print is no result
    result = {"ends": [], "accuracy": None}
    start = time.perf_counter()
    with PeakMemory() as memory:
        simulate(args, result)
    work, ends = sim_work.WORK[args.model], result["ends"]
    if len(ends) != args.rounds + 1 or args.rounds < 2:
        sys.exit(f"sim_flower: {len(ends)} of {args.rounds + 1} rounds were seen")
    import flwr
    wait_for_end(os.environ[MARKER])
    line = {"peer": "flower", "model": args.model, "updates": args.rounds * work["cohort"],
            "updates_per_s": round((args.rounds - 1) * work["cohort"] / (ends[-1] - ends[1]), 3),
            "peak_rss_bytes": memory.bytes, "processes": memory.processes, "accuracy": result["accuracy"],
            "rounds": args.rounds, "first_round_s": round(ends[1] - ends[0], 2),
            "wall_s": round(time.perf_counter() - start, 2), "engine": "Flower " + flwr.__version__, **work}
    os.write(out, (json.dumps(line) + "\n").encode())


if __name__ == "__main__":
    main()
