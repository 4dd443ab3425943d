"""Searchers: our samplers through `rheo-search`, and those of Optuna. Each asks for points and is told values.

    ask() -> (handle, point)        tell(handle, value)

Points that were asked for and not told are pending, for both.
"""

import json
import subprocess
import warnings

# What each searcher is: a method of our sweep files, or a sampler of Optuna with its defaults.
OURS = ("random", "sobol", "tpe", "gp", "cmaes", "bayes")
OPTUNA = {"optuna-random": "RandomSampler", "optuna-tpe": "TPESampler", "optuna-gp": "GPSampler", "optuna-cmaes": "CmaEsSampler"}
# Random search by another seed, with which random search is compared to check the judge; and with twice the budget.
VARIANTS = {"random-again": "random", "random-2x": "random"}
METHODS = OURS + tuple(VARIANTS) + tuple(OPTUNA)
# Those that need numbers that always exist.
CONTINUOUS = ("cmaes", "optuna-cmaes")


class Unavailable(Exception):
    """The program refuses the method."""


class Ours:
    """A sampler of ours, in a process of its own."""

    def __init__(self, program, space, method, seed, budget):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        file = {"name": "judge", "method": method, "seed": seed, "run_cap": budget, "parameters": space.declarations()}
        self._call({"sweep": json.dumps(file)})

    def _call(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if "error" in reply:
            raise Unavailable(reply["error"])
        return reply

    def ask(self):
        trial = self._call({"ask": 1})["trials"][0]
        return trial["trial"], trial["point"]

    def tell(self, trial, value):
        self._call({"tell": [trial, [[0, value]], "completed"]})

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Optuna:
    """A sampler of Optuna in a study in memory, with the defaults of its version."""

    def __init__(self, space, sampler, seed):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self.space = space
        self.study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))

    def ask(self):
        trial = self.study.ask()
        return trial, self.space.suggest(trial)

    def tell(self, trial, value):
        self.study.tell(trial, value)

    def close(self):
        pass


def searcher(program, space, method, seed, budget):
    """The searcher called `method`."""
    if method in OPTUNA:
        return Optuna(space, OPTUNA[method], seed)
    return Ours(program, space, VARIANTS.get(method, method), seed, budget)
