#!/usr/bin/env python3
"""Writes the importances that Optuna finds in two tables of points, for the test that compares ours with them.

    PYTHONPATH=$RHEO_CACHE/tools/search python3 bench/search/importance.py >bench/search/goldens/importance.json

The tables have every kind of parameter: numbers and integers on both scales, choices, ordered lists, and conditions.
"""

import json
import math
import sys
import warnings

import numpy as np
import optuna
from space import Parameter, Space

FLAT = Space(
    [
        Parameter("rate", "float", 1e-5, 1.0, log=True),
        Parameter("share", "float", 0.0, 0.8),
        Parameter("count", "int", 1, 9),
        Parameter("steps", "int", 10, 400),
        Parameter("width", "int", 8, 512, log=True),
        Parameter("kind", "categorical", values=("plain", "momentum", "adaptive")),
        Parameter("batch", "ordinal", values=(16, 32, 64, 128)),
    ]
)
BRANCHED = Space(
    [
        Parameter("kind", "categorical", values=("a", "b")),
        Parameter("common", "float", -1.0, 1.0),
        Parameter("first", "float", when=("kind", ("a",))),
        Parameter("second", "int", 1, 20, when=("kind", ("b",))),
    ]
)


def flat(point):
    """A loss that depends mostly on the rate, then on the width and the kind."""
    width = math.log2(point["width"] / 64)
    kind = {"plain": 0.3, "momentum": 0.1, "adaptive": 0.0}[point["kind"]]
    return (math.log10(point["rate"]) + 2) ** 2 + 0.2 * width**2 + kind + 0.5 * point["share"] ** 2 + 0.01 * point["count"]


def branched(point):
    """A score whose branches depend on their own parameters."""
    own = 1 - (point["first"] - 0.3) ** 2 if point["kind"] == "a" else 1 - 0.002 * (point["second"] - 15) ** 2
    return own - 0.1 * point["common"] ** 2


def table(space, score, goal, count, seed):
    """Random points with their values, and Optuna's importances."""
    generator = np.random.default_rng(seed)
    study = optuna.create_study(direction=goal, sampler=optuna.samplers.RandomSampler(seed=seed))
    points = []
    for _ in range(count):
        trial = study.ask()
        point = space.suggest(trial)
        value = round(score(point) + 0.01 * generator.normal(), 4)
        study.tell(trial, value)
        points.append([point, value])
    found = optuna.importance.get_param_importances(study)
    return {"goal": goal, "parameters": space.declarations(), "points": points, "importances": found}


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    tables = [
        table(FLAT, flat, "minimize", 200, 1),
        table(FLAT, flat, "minimize", 37, 2),
        table(BRANCHED, branched, "maximize", 120, 3),
    ]
    json.dump({"optuna": optuna.__version__, "tables": tables}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
