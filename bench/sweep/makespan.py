#!/usr/bin/env python3
"""How long a whole sweep takes: `rheo run` against Optuna with PyTorch, one after the other on the same two processors.

    python3 bench/sweep/makespan.py [--sweep FILE] [--repeat 1] [--skip threads|processes] [--json FILE]

Both train the trials of bench/sweep/sweep.yaml, two at a time with one thread each. Time runs from the start of the first process
to the end of the last: loading libraries, starting coordinator and worker, and writing results count. Optuna's side
(optuna_sweep.py) is measured twice,

    threads     `n_jobs=2`, which is how Optuna runs trials side by side: they share Python's lock
    processes   two processes with half of the grid each, which do not

and reads the samples from files that are written before (by the example `samples` of rheo-train: the very samples that our worker
makes for itself within its time). Prints the ratios, and the test accuracies per kind of network: the orders of the samples and
the initial weights are drawn differently, hence these agree but for chance. If they do not, within five of their own standard
errors and a percent, the comparison means nothing, and the exit code is 1.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import rheo

# Percent that the mean accuracy of a kind may differ beyond chance.
SLACK = 0.01
KINDS = ("threads", "processes")
COMPARE = [rheo.ROOT / "bench/python.sh", rheo.ROOT / "bench/sweep/optuna_sweep.py"]
ONE_THREAD = {"env": os.environ | {"OMP_NUM_THREADS": "1"}}


def task(sweep):
    """The task of a sweep file, which Python can read only with a package that it may lack."""
    code = "import json, sys, yaml; print(json.dumps({'task': yaml.safe_load(open(sys.argv[1]))['task']}))"
    return subprocess.run([COMPARE[0], "-c", code, sweep], check=True, stdout=subprocess.PIPE).stdout


def optuna(sweep, samples, kind):
    """The seconds that Optuna and PyTorch take, and their trials."""
    parts = [["--jobs", "2"]] if kind == "threads" else [["--jobs", "1", "--part", f"{part}/2"] for part in (0, 1)]
    seconds, printed = rheo.timed(*([*COMPARE, sweep, samples, *part] for part in parts), **ONE_THREAD)
    return seconds, [trial for text in printed for trial in json.loads(text)]


def compare(ours, theirs):
    """Prints the mean test accuracies of both and tells whether they agree."""
    agree = sorted((one["net"], one["lr"], one["seed"]) for one in ours) == sorted(
        (one["net"], one["lr"], one["seed"]) for one in theirs
    )
    if not agree:
        print("  the trials are not the same")
    for net, lr in sorted({(one["net"], one["lr"]) for one in ours}):
        tests = [[one["test"] for one in side if (one["net"], one["lr"]) == (net, lr)] for side in (ours, theirs)]
        means = [statistics.mean(side) for side in tests]
        spread = [statistics.variance(side) / len(side) if len(side) > 1 else 0 for side in tests]
        close = abs(means[0] - means[1]) <= SLACK + 5 * math.sqrt(sum(spread))
        agree &= close
        print(f"  {net:14} lr {lr:<8g} {means[0]:.3f} and {means[1]:.3f}{'' if close else '  too far apart'}")
    return agree


def run(args):
    built = rheo.build("--bins", "--package", "rheo-coordinator", "--package", "rheo-worker")
    built |= rheo.build("--package", "rheo-train", "--example", "samples")
    rheo.share(2)
    kinds = [kind for kind in KINDS if kind not in args.skip]
    found, agree = [], True
    with tempfile.TemporaryDirectory(prefix="rheo-bench-") as samples:
        subprocess.run([built["samples"], samples], input=task(args.sweep), check=True)
        for turn in range(args.repeat):
            ours, trials = rheo.run(built["rheo"], args.sweep.read_text(), slots=2)
            found.append({"ours": ours, "trials": trials})
            print(f"rheo run: {ours:.1f} s for {len(trials)} trials", flush=True)
            for kind in kinds:
                theirs, reference = optuna(args.sweep, samples, kind)
                found[-1][kind] = {"seconds": theirs, "trials": reference}
                print(f"Optuna and PyTorch, {kind}: {theirs:.1f} s, {theirs / ours:.2f} times as long", flush=True)
                agree &= compare(trials, reference)
    medians = {kind: statistics.median(one[kind]["seconds"] / one["ours"] for one in found) for kind in kinds}
    print("makespan ratio: " + ", ".join(f"{ratio:.2f} ({kind})" for kind, ratio in medians.items()))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"ratios": medians, "turns": found}, indent=1) + "\n")
    if not agree:
        print("error: the accuracies differ by more than chance: what was compared is not the same")
    return 0 if agree else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", type=pathlib.Path, default=rheo.SWEEP, metavar="FILE", help="other than sweep.yaml")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="how often all of it is measured")
    parser.add_argument("--skip", action="append", choices=KINDS, default=[], help="what of Optuna not to measure")
    parser.add_argument("--json", type=pathlib.Path, default=rheo.ROOT / "target/bench/makespan.json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(parse()))
