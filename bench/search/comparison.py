"""Paired comparisons of two methods over problems and seeds.

The difference of a pair is its normalised regret less that of the other method on the same instance of the problem, so a negative
one is in favour of the first. The mean over problems has a bootstrap interval (Efron 1979): seeds are drawn anew within each
problem. P values are those of Wilcoxon's signed-rank test (1945), corrected by Holm's method (1979) for all that stand in one table.
"""

import dataclasses

import numpy as np
from results import regrets
from scipy import stats

DRAWS = 4000


@dataclasses.dataclass(frozen=True)
class Difference:
    """Differences of a pair: the mean, its 95 % interval, the number of cases, and the p value before correction."""

    mean: float
    low: float
    high: float
    cases: int
    p: float

    @property
    def is_clear(self):
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(records, ours, theirs, problem, workers, part=1.0):
    """The differences of a problem, in the order of the seeds that both have."""
    one, other = (regrets(records, method, problem, workers, part) for method in (ours, theirs))
    return np.array([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())])


def p_value(differences):
    """Wilcoxon's signed-rank test; 1 where nothing differs."""
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="zsplit", method="approx").pvalue)


def interval(samples):
    """The 95 % bootstrap interval of the mean over problems of the mean over seeds."""
    generator = np.random.default_rng(1)
    means = np.zeros(DRAWS)
    for sample in samples:
        means += generator.choice(sample, (DRAWS, len(sample))).mean(axis=1)
    return np.quantile(means / len(samples), [0.025, 0.975])


def compare(records, ours, theirs, problems, workers, part=1.0):
    """Compares two methods on the problems that both have run; none without such a problem."""
    samples = [paired(records, ours, theirs, problem, workers, part) for problem in problems]
    samples = [sample for sample in samples if len(sample)]
    if not samples:
        return None
    means = np.array([sample.mean() for sample in samples])
    low, high = interval(samples)
    differences = means if len(samples) > 1 else samples[0]
    cases = sum(len(sample) for sample in samples)
    return Difference(float(means.mean()), float(low), float(high), cases, p_value(differences))


def holm(values):
    """The p values with Holm's correction, in their order."""
    order = np.argsort(values)
    corrected, largest = np.ones(len(values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def ranks(records, methods, problems, workers):
    """The average rank of each method over problems and seeds that all of them have run; the best has rank 1."""
    rows = []
    for problem in problems:
        by_method = [regrets(records, method, problem, workers) for method in methods]
        for seed in set.intersection(*(set(found) for found in by_method)):
            rows.append(stats.rankdata([found[seed] for found in by_method]))
    return np.mean(rows, axis=0) if rows else np.full(len(methods), np.nan), len(rows)
