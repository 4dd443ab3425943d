"""Training steps of PyTorch on demand, for step.py, which has them take turns with ours.

    bench/python.sh bench/reference.py KIND [--hidden 400] [--controller 50] [--batch 100] [--steps 784] [--threads 2]
                                       [--compile] [--forward-only] [--serve | --iters 3]

With --serve it prints `ready`, then answers every line of standard input by one line: `step` by the seconds of one training step
(forward, backward, Adam) and its loss, `forward` by the seconds of a pass without gradients and its loss, `peak` by the GFLOP/s
of the fastest large product of matrices in single precision. It ends where the input ends. Otherwise it makes one step to warm
up and --iters more, and prints a line of JSON with their median.

The networks are those of networks.py; --compile is torch.compile on the step of a cell. The inputs are uniform noise and the
targets random: the time does not depend on them. `worker/train/examples/step.rs` answers the same for our networks.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from networks import GAMMA, KINDS, Classifier


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    for name, default in [("hidden", 400), ("controller", 50), ("batch", 100), ("steps", 784), ("threads", 2), ("iters", 3)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("compile", "forward-only", "serve"):
        parser.add_argument(f"--{name}", action="store_true")
    args = parser.parse_args()
    if args.compile and args.kind not in GAMMA:
        parser.error(f"{args.kind} is torch.nn's own: there is no step to compile")
    return args


class Training:
    """A network in training and the one batch that it sees."""

    def __init__(self, args):
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        self.network = Classifier(
            args.kind, args.hidden, args.controller, generator=generator, compiled=args.compile
        )
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.inputs = torch.rand(args.steps, args.batch, 1)
        self.targets = torch.randint(10, (args.batch,))

    def loss(self):
        return F.cross_entropy(self.network(self.inputs), self.targets)

    def step(self):
        """Seconds of one step, and the loss before it."""
        start = time.perf_counter()
        self.adam.zero_grad()
        loss = self.loss()
        loss.backward()
        self.adam.step()
        return time.perf_counter() - start, loss.item()

    @torch.no_grad()
    def forward(self):
        """Seconds of a pass without gradients, and its loss."""
        start = time.perf_counter()
        loss = self.loss()
        return time.perf_counter() - start, loss.item()


@torch.no_grad()
def peak():
    """The GFLOP/s of the fastest of several products, of several sizes because which is fastest depends on the processor."""
    best = 0
    for size in (1024, 1536, 2048):
        a, b, c = (torch.rand(size, size) for _ in range(3))
        torch.mm(a, b, out=c)
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(a, b, out=c)
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best / 1e9


def peak_memory():
    """The most memory that this process has held, in MB, as Linux counts it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024


def serve(training):
    answers = {"step": training.step, "forward": training.forward, "peak": lambda: (peak(),)}
    print("ready", flush=True)
    for line in sys.stdin:
        print(*answers[line.strip()](), flush=True)


def once(args, training):
    work = training.forward if args.forward_only else training.step
    first = work()[0]
    seconds = [work()[0] for _ in range(max(args.iters, 1))]
    found = {"first_s": first, "step_s": statistics.median(seconds), "min_s": min(seconds), "peak_mb": peak_memory()}
    print(json.dumps(vars(args) | found))


def main():
    args = parse()
    training = Training(args)
    serve(training) if args.serve else once(args, training)


if __name__ == "__main__":
    main()
