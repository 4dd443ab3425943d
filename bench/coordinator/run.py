#!/usr/bin/env python3
"""What a coordinator can take, with workers that train nothing; HyperQueue and Optuna's journal file in the same run.

    python3 bench/coordinator/run.py [--trials 10000 100000] [--skip hyperqueue|optuna] [--json FILE]

Ours is `rheo serve` with its journal on disk and `rheo-load` beside it on the same machine, which shares the processors with it:

    completions   1,000 slots of 100 workers, trials that end at once
    commits       200 slots of 20 workers, six commits of one row each before a trial ends
    steady        1,000 slots, trials of half a second to one and a half: how long a worker waits for a trial while nobody waits for
                  processors; the first calls, which all come at once, are counted apart

The others do what they do of this (others.py): HyperQueue starts a process per task, `true`, and keeps its tasks in memory; Optuna
asks for trials and tells their values, one after the other, with a journal file.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KINDS = {
    "completions": ["--workers", "100", "--slots", "10"],
    "commits": ["--workers", "20", "--slots", "10", "--commits", "6"],
    "steady": ["--workers", "100", "--slots", "10", "--hold", "1"],
}
OTHERS = ("hyperqueue", "optuna")
# Trials of the others: a minute of each.
FEW = {"hyperqueue": 10_000, "optuna": 2_000}


def build():
    """The programs, built if they are not, by the profile RHEO_PROFILE or for releases: their paths by name."""
    profile = os.environ.get("RHEO_PROFILE", "release")
    features = os.environ.get("FEATURES", "rheo-coordinator/s3,rheo-coordinator/jemalloc")
    command = ["cargo", "build", "--locked", "--quiet", "--profile", profile, "--message-format", "json"]
    command += ["--package", "rheo-coordinator", "--package", "rheo-load", "--features", features]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = (json.loads(line) for line in out.stdout.splitlines())
    return {one["target"]["name"]: one["executable"] for one in found if one.get("executable")}


def ours(built, kind, trials):
    """What a coordinator took of so many trials."""
    command = [built["rheo-load"], "--rheo", built["rheo"], "--trials", str(trials), *KINDS[kind]]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(out.stdout)


def describe(kind, found):
    """One line about a measurement."""
    rates = f"{found['completions_per_s']:7.0f} completions/s"
    if found["commits"]:
        rates += f", {found['commits_per_s']:.0f} commits/s"
    calls = (f"{call} {times['p50']:.1f} and {times['p99']:.1f} ms" for call, times in found["latency_ms"].items())
    takes = f"{found['processor_ms_per_trial']:.3f} ms of processor per trial, {found['memory_mb']} MB"
    return f"{kind:12} {found['trials']:7} trials: {rates}; {takes}; p50 and p99 of {', '.join(calls)}"


def other(name, trials):
    """What another program took, in the packages of bench/requirements.txt."""
    subprocess.run([ROOT / "deploy/tools.sh", "bench"], check=True)
    cache = pathlib.Path(os.environ.get("RHEO_CACHE") or pathlib.Path.home() / ".cache/rheobase")
    environment = os.environ | {"PYTHONPATH": str(cache / "tools/bench")}
    command = [sys.executable, ROOT / "bench/coordinator/others.py", name, str(trials)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(out.stdout.splitlines()[-1])


def run(args):
    built, found = build(), []
    for trials in args.trials:
        for kind in KINDS:
            found.append({"what": kind} | ours(built, kind, trials))
            print(describe(kind, found[-1]), flush=True)
    for name in OTHERS:
        if name not in args.skip:
            found.append({"what": name} | other(name, FEW[name]))
            print(f"{name:12} {found[-1]['trials']:7} trials: {found[-1]['completions_per_s']:7.0f} completions/s", flush=True)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(found, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 100_000], metavar="N", help="sizes of the sweep")
    parser.add_argument("--skip", action="append", choices=OTHERS, default=[], help="what not to measure")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target/bench/coordinator.json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    run(parse())
