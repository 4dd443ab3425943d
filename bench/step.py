#!/usr/bin/env python3
"""How long one training step takes: ours against PyTorch's, side by side in one run.

    python3 bench/step.py [--quick] [--only PATTERN] [--kernel fused|autograd] [--threads 2] [--seconds 20] [--json FILE]

For each network of CELLS a process of ours (worker/train/examples/step.rs) and one of an opponent stay loaded and make training
steps (forward, backward, Adam) in turn, the order reversed from pair to pair, so that whatever slows the machine for a while slows
both. The opponents are, where they apply,

    autograd   our plain path: one operation of libtorch after the other
    eager      bench/reference.py: PyTorch with a gamma gradient written by hand; torch.nn itself for lstm, gru and tanh
    compiled   the same with torch.compile on the step of a cell

The table has the median seconds of a step, `x` how many times as long the opponent's takes (the ratio of the medians of the same
pairs), ours in GFLOP/s as a share of the fastest product of matrices that PyTorch makes with as many threads, measured before
each cell, and the most memory that each process has ever held (VmHWM, its libraries included). The processes answer requests by
lines on their standard input and output; bench/reference.py says which.

Give it a machine where nothing else runs. --quick takes under a minute and says nothing about speed: it shows that all works
(but for `compiled`, whose first step alone takes half a minute: --compiled adds it). --only takes the cells whose name contains
PATTERN. The JSON file has every single time.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES = 10
INPUTS = 1
# Steps that are made before any is timed: the first ones allocate, and compile.
WARM_UP = 2
MOST_PAIRS = 25
# Seconds for which the machine is left alone before each step, so that the threads of the other process have gone to sleep.
PAUSE = 0.02


class Failure(Exception):
    """A process could not do what it was asked to."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A network and the sequences that it reads."""

    kind: str
    hidden: int
    steps: int
    controller: int = 0
    batch: int = 100
    # Whether anything but the fused kernels can run it: the graph of the others would not fit into memory.
    alone: bool = False

    def __str__(self):
        controller = f" S={self.controller}" if self.controller else ""
        return f"{self.kind} H={self.hidden}{controller} T={self.steps}"

    def arguments(self, threads):
        sizes = {"hidden": self.hidden, "controller": self.controller or 1, "batch": self.batch, "steps": self.steps}
        options = [word for name, value in (sizes | {"threads": threads}).items() for word in (f"--{name}", str(value))]
        return [self.kind, *options, "--serve"]

    def flops(self):
        """Floating-point operations of a training step in products of matrices, two for each multiplication and its addition.

        What a faster way does not need is not counted either: the point-wise functions, Adam, and what is computed twice to save
        memory. Forward, per sample and step:

            static     a = w_hh h + w_xh x                              2 H (H + I)
            adaptive   the same, and for each of H neurons              w_gg g + u_ag a, w_gn g, w_gs g:   2 (S S + S + 2 S)
            lstm, gru  the same product for each of 4 and 3 gates

        and the readout once per sample, 2 H C. Backward, every product y = w x has two of its size: the gradient by w, and
        that by x, which the input of the network does not need.
        """
        h, s = self.hidden, self.controller
        gates = {"lstm": 4, "gru": 3}.get(self.kind, 1)
        recurrent, entering, readout = 2 * gates * h * h, 2 * gates * h * INPUTS, 2 * h * CLASSES
        controller = h * 2 * (s * s + s + 2 * s)
        forward = self.steps * (recurrent + entering + controller) + readout
        backward = self.steps * (2 * recurrent + entering + 2 * controller) + 2 * readout
        return self.batch * (forward + backward)


CELLS = [
    Cell("heterogeneous", 400, 784),
    Cell("heterogeneous", 128, 196),
    Cell("homogeneous", 128, 196),
    Cell("adaptive", 128, 196, 50),
    Cell("adaptive", 400, 56, 50),
    Cell("adaptive", 400, 784, 50, alone=True),
    Cell("lstm", 128, 196),
    Cell("lstm", 400, 196),
    Cell("gru", 128, 196),
    Cell("gru", 400, 196),
    Cell("tanh", 128, 196),
    Cell("heterogeneous", 64, 49),
    Cell("heterogeneous", 17, 49),
    Cell("adaptive", 64, 49, 8),
]
QUICK = [
    Cell("heterogeneous", 32, 20),
    Cell("homogeneous", 17, 20),
    Cell("adaptive", 16, 10, 5),
    Cell("lstm", 32, 20),
    Cell("gru", 32, 20),
    Cell("tanh", 32, 20),
]
COMPILED = ("homogeneous", "heterogeneous", "adaptive")


class Program:
    """A process that makes steps when asked to."""

    def __init__(self, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, bufsize=1, **pipes)
        self.command = command
        self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise Failure(f"`{' '.join(map(str, self.command))}` ended with exit code {code}")
        return line.split()

    def ask(self, request):
        """The numbers of the answer to a request."""
        try:
            self.process.stdin.write(f"{request}\n")
        except BrokenPipeError:
            pass  # Its end is told better by the missing answer.
        return [float(word) for word in self.answer()]

    def step(self):
        """The seconds of one step."""
        time.sleep(PAUSE)
        seconds, loss = self.ask("step")
        if not math.isfinite(loss):
            raise Failure(f"the loss of `{' '.join(map(str, self.command))}` is {loss}")
        return seconds

    def memory(self):
        """The most memory that the process has held so far, in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) // 1024


def build():
    """Our program of steps, built if it is not, for releases."""
    command = ["cargo", "build", "--locked", "--quiet", "--release", "--package", "rheo-train", "--example", "step"]
    out = subprocess.run([*command, "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line) for line in out.stdout.splitlines()]
    return next(one["executable"] for one in found if one.get("target", {}).get("name") == "step" and one.get("executable"))


def pairs(ours, other, args):
    """The seconds of steps of both, made in turn."""
    for _ in range(WARM_UP):
        other.step()
    times, start = [], time.monotonic()
    while len(times) < args.pairs or (time.monotonic() - start < args.seconds and len(times) < MOST_PAIRS):
        if len(times) % 2:
            second = other.step()
            times.append((ours.step(), second))
        else:
            times.append((ours.step(), other.step()))
    return [list(one) for one in zip(*times)]


def opponents(cell, args, ours, python):
    """The commands that make steps of the same network, by their names in the table."""
    reference = [*python, "bench/reference.py", *cell.arguments(args.threads)]
    found = {}
    if args.kernel != "autograd":
        found["autograd"] = [ours, *cell.arguments(args.threads), "--kernel", "autograd"]
    found["eager"] = reference
    if cell.kind in COMPILED and (args.compiled or not args.quick):
        found["compiled"] = [*reference, "--compile"]
    return {} if cell.alone else found


def measure(cell, args, program, python, peak):
    """What is known about a cell after all its pairs."""
    found = {"cell": str(cell), **dataclasses.asdict(cell), "flops": cell.flops(), "peak_gflops": peak.ask("peak")[0]}
    with Program([program, *cell.arguments(args.threads), "--kernel", args.kernel]) as ours:
        for _ in range(WARM_UP):
            ours.step()
        own = []
        found["against"] = {}
        for name, command in opponents(cell, args, program, python).items():
            with Program(command) as other:
                mine, theirs = pairs(ours, other, args)
                own += mine
                found["against"][name] = {
                    "ours": mine,
                    "theirs": theirs,
                    "seconds": statistics.median(theirs),
                    "ratio": statistics.median(theirs) / statistics.median(mine),
                    "memory_mb": other.memory(),
                }
        while len(own) < args.pairs:
            own.append(ours.step())
        found |= {"ours": own, "seconds": statistics.median(own), "memory_mb": ours.memory()}
    found["gflops"] = cell.flops() / found["seconds"] / 1e9
    found["share_of_peak"] = found["gflops"] / found["peak_gflops"]
    return found


NAMES = ("autograd", "eager", "compiled")
COLUMNS = ["cell", "ours", *(f"{name} x" for name in NAMES), "GFLOP/s", "of peak", "ours MB", *(f"{name} MB" for name in NAMES)]
WIDTHS = [30, 9, *(18 for _ in NAMES), 8, 8, 8, *(12 for _ in NAMES)]


def line(words):
    padded = [words[0].ljust(WIDTHS[0]), *(word.rjust(width) for word, width in zip(words[1:], WIDTHS[1:]))]
    return " ".join(padded).rstrip()


def row(found):
    against = [found["against"].get(name) for name in NAMES]
    ratios = [f"{one['seconds']:.4g} s {one['ratio']:5.2f} x" if one else "-" for one in against]
    memories = [str(one["memory_mb"]) if one else "-" for one in against]
    speed = [f"{found['gflops']:.1f}", f"{found['share_of_peak']:.0%}", str(found["memory_mb"])]
    return line([found["cell"], f"{found['seconds']:.4g} s", *ratios, *speed, *memories])


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def run(args):
    program, python = build(), ["bench/python.sh"]
    cells = [cell for cell in (QUICK if args.quick else CELLS) if args.only in str(cell)]
    load = os.getloadavg()[0]
    print(f"{processor()}, {args.threads} threads, batch {cells[0].batch if cells else '-'}, load before {load:.2f}")
    print(line(COLUMNS), flush=True)
    found, failed = [], False
    with Program([*python, "bench/reference.py", "tanh", "--hidden", "1", "--threads", str(args.threads), "--serve"]) as peak:
        for cell in cells:
            if cell.alone and args.kernel == "autograd":
                print(f"{cell}: left out, the graph of autograd would not fit into memory", flush=True)
                continue
            try:
                found.append(measure(cell, args, program, python, peak))
            except Failure as failure:
                failed = True
                print(f"{cell}: {failure}", flush=True)
                continue
            print(row(found[-1]), flush=True)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    options = {"kernel": args.kernel, "threads": args.threads, "quick": args.quick}
    machine = {"processor": processor(), "processors": os.cpu_count(), "load_before": load}
    args.json.write_text(json.dumps(options | machine | {"cells": found}, indent=1) + "\n")
    print(f"all times: {args.json}")
    return 1 if failed else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small networks: only to see that it works")
    parser.add_argument("--compiled", action="store_true", help="with --quick: torch.compile too")
    parser.add_argument("--only", default="", metavar="PATTERN", help="cells whose name contains this")
    parser.add_argument("--kernel", choices=("fused", "autograd"), default="fused", help="which of our paths is measured")
    parser.add_argument("--threads", type=int, default=2, help="of every process")
    parser.add_argument("--seconds", type=float, help="time for the pairs of a cell with one opponent (20)")
    parser.add_argument("--pairs", type=int, help="at least so many pairs, however long they take (5)")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench/step.json", metavar="FILE")
    args = parser.parse_args()
    args.seconds = args.seconds if args.seconds is not None else (0.2 if args.quick else 20)
    args.pairs = max(1, args.pairs if args.pairs is not None else (2 if args.quick else 5))
    return args


if __name__ == "__main__":
    sys.exit(run(parse()))
