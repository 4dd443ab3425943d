"""A simulated search: workers that evaluate the points of a searcher side by side, in simulated time.

With one worker, points are evaluated in turn. With more, each worker asks for the next point when its evaluation ends, and the
others go on: what the searcher is told comes late and out of order. Evaluation k takes the same time with every searcher.
"""

import heapq
import time
import zlib

import numpy as np


def seed_of(*words):
    """A seed that depends on all words."""
    return zlib.crc32(" ".join(map(str, words)).encode())


def simulate(problem, searcher, budget, workers, seed):
    """Runs a search of so many evaluations. Returns, by completion, the time and the true regret of the best observed point."""
    durations = np.random.default_rng(seed_of("durations", seed)).lognormal(0.0, 0.5, budget)
    noise = np.random.default_rng(seed_of("noise", seed))
    running, asked, spent = [], 0, 0.0
    times, regrets, best = [], [], (np.inf, np.inf)

    def start(now):
        nonlocal asked, spent
        began = time.perf_counter()
        handle, point = searcher.ask()
        spent += time.perf_counter() - began
        heapq.heappush(running, (now + durations[asked], asked, handle, point))
        asked += 1

    for _ in range(min(workers, budget)):
        start(0.0)
    while running:
        now, _, handle, point = heapq.heappop(running)
        observed, truth = problem.evaluate(point, noise)
        searcher.tell(handle, observed)
        best = min(best, (observed, truth))
        times.append(now)
        regrets.append(best[1] - problem.optimum)
        if asked < budget:
            start(now)
    return {"times": times, "regrets": regrets, "ask_ms": 1000 * spent / budget}
