"""The sweep of a sweep file by Optuna and PyTorch: what makespan.py compares `rheo run` with.

    bench/python.sh bench/sweep/optuna_sweep.py sweep.yaml SAMPLES [--jobs 2] [--part 0/1]

Trains the networks of bench/networks.py on the samples that the example `samples` of rheo-train has written into the directory
SAMPLES: the same trials, samples, sizes of batches, epochs and Adam as ours, with a validation after every epoch and a test at
the end. GridSampler hands out the points; --jobs of them run side by side in threads of this process (Optuna's `n_jobs`), each
with one thread of PyTorch. --part 0/2 takes every second seed only, from the first: two processes of one job each, of which
the other takes --part 1/2, do not share Python's lock. Prints, as JSON, each trial with its accuracies.

Less is done than by ours, which also keeps checkpoints, statistics of every epoch and the shapes of all neurons.
"""

import argparse
import itertools
import json
import pathlib
import sys

import numpy
import optuna
import torch
import torch.nn.functional as F
import yaml
from networks import GAMMA, Classifier

KIND, RATE, SEED = "network.kind", "training.optimizer.lr", "seed"
# What a sweep file may say here; anything else would be ignored, hence is refused.
KNOWN = {"name", "description", "task", "network", "training", "method", "metric", "parameters", "replicates"}
PASS = 256


class Samples:
    """One split: inputs [T, N, 1] and targets [N]."""

    def __init__(self, directory, split):
        read = lambda what: torch.from_numpy(numpy.load(directory / f"{split}.{what}.npy"))
        self.inputs, self.targets = read("inputs"), read("targets")

    def __len__(self):
        return len(self.targets)

    def batches(self, size, order):
        """Batches of the samples in this order."""
        for chosen in order.split(size):
            yield self.inputs[:, chosen], self.targets[chosen]


@torch.no_grad()
def accuracy(network, samples):
    right = 0
    for inputs, targets in samples.batches(PASS, torch.arange(len(samples))):
        right += (network(inputs).argmax(1) == targets).sum().item()
    return right / len(samples)


def train(sweep, samples, point):
    """The accuracies of one trial: validation after the last epoch, and test."""
    generator = torch.Generator().manual_seed(point[SEED])
    recipe, sizes = sweep["training"], sweep["network"]
    network = Classifier(point[KIND], sizes["hidden"], sizes["controller"], generator=generator)
    adam = torch.optim.Adam(network.parameters(), lr=point[RATE])
    for _ in range(recipe["epochs"]):
        order = torch.randperm(len(samples["train"]), generator=generator)
        for inputs, targets in samples["train"].batches(recipe["batch"], order):
            adam.zero_grad()
            F.cross_entropy(network(inputs), targets).backward()
            adam.step()
        validation = accuracy(network, samples["validation"])
    return validation, accuracy(network, samples["test"])


def grid(sweep, part):
    """The values of every parameter, the seed being one of them."""
    unknown = sweep.keys() - KNOWN
    values = {name: parameter["values"] for name, parameter in sweep["parameters"].items()}
    if unknown or values.keys() != {KIND, RATE} or not set(values[KIND]) <= set(GAMMA):
        sys.exit(f"error: this is not a sweep that can be compared: {unknown or values}")
    index, count = (int(number) for number in part.split("/"))
    return values | {SEED: sweep["replicates"]["seeds"][index::count]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=pathlib.Path)
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--part", default="0/1")
    args = parser.parse_args()
    sweep = yaml.safe_load(args.sweep.read_text())
    space = grid(sweep, args.part)
    samples = {split: Samples(args.samples, split) for split in ("train", "validation", "test")}
    torch.set_num_threads(1)

    def objective(trial):
        # Kept per thread, and Optuna has threads of its own.
        torch.set_num_threads(1)
        point = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
        validation, test = train(sweep, samples, point)
        trial.set_user_attr("test", test)
        return validation

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(space, seed=0))
    study.optimize(objective, n_trials=len(list(itertools.product(*space.values()))), n_jobs=args.jobs)
    trials = [
        {"net": trial.params[KIND], "lr": trial.params[RATE], "seed": trial.params[SEED],
         "validation": trial.value, "test": trial.user_attrs["test"]}
        for trial in study.trials
    ]
    print(json.dumps(trials))


if __name__ == "__main__":
    main()
