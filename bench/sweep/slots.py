#!/usr/bin/env python3
"""What slots are worth: a sweep of small networks on two slots of one thread against one slot of two threads.

    python3 bench/sweep/slots.py [--sweep FILE] [--repeat 3] [--json FILE]

`rheo run` trains bench/sweep/sweep.yaml on one worker of two slots, on the same two processors: once as it is, so that two trials
run side by side with one thread each, and once with `resources.threads: 2`, so that one trial after the other takes both slots and
computes with two threads. Each turn runs both, the order reversed from turn to turn. Prints the ratio of the medians: how many
times as long one slot takes.
"""

import argparse
import json
import pathlib
import statistics
import sys

import rheo

# Threads of a trial; both ways take two slots.
NAMES = {1: "two slots of one thread", 2: "one slot of two threads"}


def run(args):
    built = rheo.build("--bins", "--package", "rheo-coordinator", "--package", "rheo-worker")
    rheo.share(2)
    text = args.sweep.read_text()
    if "resources" in text:
        raise SystemExit(f"error: {args.sweep} says itself how many threads a trial has")
    times = {threads: [] for threads in NAMES}
    for turn in range(args.repeat):
        for threads in sorted(NAMES, reverse=turn % 2 == 1):
            seconds, trials = rheo.run(built["rheo"], f"{text}\nresources: {{threads: {threads}}}\n", slots=2)
            times[threads].append(seconds)
            print(f"{NAMES[threads]}: {seconds:.1f} s for {len(trials)} trials", flush=True)
    one, two = (statistics.median(times[threads]) for threads in NAMES)
    print(f"{NAMES[1]} are {two / one:.2f} times as fast as {NAMES[2]}")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"ratio": two / one, "seconds_by_threads": times}, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", type=pathlib.Path, default=rheo.SWEEP, metavar="FILE", help="other than sweep.yaml")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="how often both are measured")
    parser.add_argument("--json", type=pathlib.Path, default=rheo.ROOT / "target/bench/slots.json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(parse()))
