#!/usr/bin/env python3
"""Judges samplers: ours and Optuna's search the same problems, and their regrets are compared. README.md has the rules.

    make bench-search [SMOKE=1] [JUDGE="--methods tpe optuna-tpe --processes 2"]

Each search is a line of --results. A second run adds what is missing, so a run may be stopped at any time. The report is written
beside it, as report.md and regret.svg; --report writes it anew from what is there.
"""

import argparse
import concurrent.futures
import fnmatch
import functools
import itertools
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# One thread for each search: the searches themselves run side by side. Set before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import report  # noqa: E402
import results  # noqa: E402
from problems import GROUP_OF, PROBLEMS, is_continuous  # noqa: E402
from searchers import CONTINUOUS, METHODS, OURS, VARIANTS, Unavailable, searcher  # noqa: E402
from simulation import seed_of, simulate  # noqa: E402
from space import Parameter, Space  # noqa: E402

SMOKE = {
    "problems": ["sphere-2", "rosenbrock-5", "hartmann-6", "mixed", "conditional", "nasbench201-cifar100"],
    "seeds": 5,
    "budget": 50,
    "skip": ("gp", "optuna-gp", "sobol", "bayes"),
}
# A Gaussian process takes seconds where others take milliseconds: fewer seeds.
SLOW = {"gp": 10, "optuna-gp": 10}


def build():
    """The program that asks our samplers, built for releases."""
    command = ["cargo", "build", "--locked", "--quiet", "--release", "--package", "rheo-search", "--message-format", "json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = (json.loads(line) for line in out.stdout.splitlines())
    return next(one["executable"] for one in found if one.get("executable"))


def available(program, methods):
    """The methods that the program knows; the others are named and left out."""
    space, known = Space([Parameter("x", "float")]), []
    for method in methods:
        if method in OURS or method in VARIANTS:
            try:
                searcher(program, space, method, 0, 1).close()
            except Unavailable as error:
                reason = str(error).strip().splitlines()[0]
                print(f"left out: {method}: {reason}", file=sys.stderr)
                continue
        known.append(method)
    return known


def share(method, budget, workers):
    """The budget and the workers of a method: random search with twice the budget has twice the workers too."""
    if method != "random-2x":
        return budget, workers
    return 2 * budget, workers if workers == 1 else 2 * workers


def tasks(args, methods):
    """Every search of the run, five seeds of all problems before the next five, so that a stopped run has a part of all problems."""
    end = args.first_seed + args.seeds
    for first in range(args.first_seed, end, 5):
        for problem in args.problems:
            for seed in range(first, min(first + 5, end)):
                yield from tasks_of(args, methods, problem, seed)


def tasks_of(args, methods, problem, seed):
    """The searches of one instance of a problem."""
    for method, workers in itertools.product(methods, args.workers):
        is_late = seed - args.first_seed >= SLOW.get(method, args.seeds)
        if not is_late and (method not in CONTINUOUS or is_continuous(problem)):
            yield {"problem": problem, "method": method, "workers": workers, "seed": seed, "budget": args.budget}


@functools.lru_cache(maxsize=8)
def instance(problem, seed):
    """A problem and the unit of its regret."""
    made = PROBLEMS[problem](seed)
    return made, max(made.scale(), 1e-12)


def search(program, task):
    """Runs one search."""
    problem, scale = instance(task["problem"], task["seed"])
    budget, workers = share(task["method"], task["budget"], task["workers"])
    seed = seed_of(task["method"], task["problem"], task["workers"], task["seed"])
    runner = searcher(program, problem.space, task["method"], seed, budget)
    try:
        found = simulate(problem, runner, budget, workers, task["seed"])
    finally:
        runner.close()
    regret = [float(f"{value / scale:.5g}") for value in found["regrets"]]
    times = [round(at, 3) for at in found["times"]]
    return task | {"regret": regret, "times": times, "ask_ms": round(found["ask_ms"], 3)}


def run(args, program):
    """Runs every search that the results lack."""
    known = results.read(args.results)
    missing = [task for task in tasks(args, available(program, args.methods)) if results.key(task) not in known]
    args.results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with (
        args.results.open("a") as file,
        concurrent.futures.ProcessPoolExecutor(args.processes, mp_context=context) as pool,
    ):
        # The limit holds back tasks that would begin after it, not those that run.
        waiting, running = iter(missing), set()
        for done in range(len(missing)):
            while len(running) < 2 * args.processes and time.monotonic() - began < args.minutes * 60:
                task = next(waiting, None)
                if task is None:
                    break
                running.add(pool.submit(search, program, task))
            if not running:
                print(f"stopped after {args.minutes} minutes: {len(missing) - done} searches are left", file=sys.stderr)
                break
            ended, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            first, *others = ended
            running |= set(others)
            results.append(file, first.result())
            if done % 100 == 99:
                print(f"{done + 1} of {len(missing)} searches, {time.monotonic() - began:.0f} s", file=sys.stderr)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a few problems and seeds, in five minutes")
    parser.add_argument("--report", action="store_true", help="search nothing, write the report")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--problems", nargs="+", default=["*"], help="names or patterns")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0, help="judge a variant on seeds that it was not chosen on")
    parser.add_argument("--budget", type=int, default=100, help="evaluations of a search")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=240.0, help="start no search after so long")
    parser.add_argument("--program", help="rheo-search; built if not given")
    parser.add_argument("--results", type=pathlib.Path)
    args = parser.parse_args()
    if args.smoke:
        args.problems, args.seeds, args.budget = SMOKE["problems"], SMOKE["seeds"], SMOKE["budget"]
        args.methods = [method for method in args.methods if method not in SMOKE["skip"]]
    chosen = [name for name in PROBLEMS if any(fnmatch.fnmatch(name, pattern) for pattern in args.problems)]
    if not chosen:
        parser.error(f"no problem is called so; there are {', '.join(PROBLEMS)}")
    args.problems = chosen
    folder = ROOT / "target/search" / ("smoke" if args.smoke else "full")
    args.results = args.results or folder / "results.jsonl"
    return args


def main():
    args = arguments()
    if not args.report:
        run(args, args.program or build())
    records = [record for record in results.read(args.results).values() if record["budget"] == args.budget]
    records = [record for record in records if record["problem"] in args.problems and record["workers"] in args.workers]
    print(report.write(records, args.results.parent, GROUP_OF))


if __name__ == "__main__":
    main()
