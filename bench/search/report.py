"""The report of the judge: tables in Markdown and a plot."""

import numpy as np
import results
from comparison import compare, holm, ranks
from searchers import METHODS

PARTS = (0.25, 0.5, 1.0)
# The pairs that are compared: ours first. The first two check the judge itself.
PAIRS = (
    ("random", "random-again"),
    ("random", "optuna-tpe"),
    ("random", "optuna-random"),
    ("tpe", "optuna-tpe"),
    ("gp", "optuna-gp"),
    ("cmaes", "optuna-cmaes"),
    ("bayes", "optuna-tpe"),
    ("tpe", "random-2x"),
    ("gp", "random-2x"),
    ("cmaes", "random-2x"),
)
# The criterion: the upper bound of the mean difference of normalised regret.
BOUND = 0.05
JUDGED = (("tpe", "optuna-tpe"), ("gp", "optuna-gp"), ("cmaes", "optuna-cmaes"))


def table(head, rows):
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def mode(workers):
    return "in turn" if workers == 1 else f"{workers} workers"


def verdict(pair, found):
    """What a difference says of a pair."""
    if not found.is_clear:
        result = "no difference"
    else:
        result = f"{pair[0]} is {'better' if found.high < 0 else 'worse'}"
    if pair not in JUDGED:
        return result
    # A wide interval of few searches meets no criterion, which is no proof of the contrary.
    return f"{'passes' if found.high <= BOUND else 'bound exceeded'}: {result}"


def pairs_table(records, problems, workers_list):
    """All pairs over all problems."""
    cases = [(pair, workers) for pair in PAIRS for workers in workers_list]
    found = [(pair, workers, compare(records, *pair, problems, workers)) for pair, workers in cases]
    found = [case for case in found if case[2] is not None]
    corrected = holm([difference.p for _, _, difference in found])
    rows = []
    for (pair, workers, difference), p in zip(found, corrected, strict=True):
        bounds = f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
        rows.append([*pair, mode(workers), str(difference.cases), bounds, f"{p:.2g}", verdict(pair, difference)])
    head = ["method", "against", "evaluations", "pairs of searches", "difference of regret, 95 %", "p (Holm)", "result"]
    return table(head, rows)


def groups_table(records, groups, methods, workers):
    """The mean regret of each method in each group at parts of the budget."""
    rows = []
    for group, problems in groups.items():
        for method in methods:
            parts = []
            for part in PARTS:
                values = [results.regrets(records, method, problem, workers, part) for problem in problems]
                means = [np.mean(list(found.values())) for found in values if found]
                parts.append(f"{np.mean(means):.3f}" if means else "")
            if any(parts):
                rows.append([group, method, *parts])
    return table(["problems", "method", *(f"{part:.0%} of the budget" for part in PARTS)], rows)


def ranks_table(records, groups, methods, workers):
    """Average ranks in each group, of the methods that have searched all its problems."""
    rows = []
    for group, problems in groups.items():
        present = [m for m in methods if all(results.regrets(records, m, p, workers) for p in problems)]
        found, cases = ranks(records, present, problems, workers)
        order = np.argsort(found)
        named = ", ".join(f"{present[index]} {found[index]:.2f}" for index in order)
        rows.append([group, str(cases), named])
    return table(["problems", "cases", "average rank, best first"], rows)


def problems_table(records, pair, problems, workers):
    """A pair problem by problem."""
    found = [(problem, compare(records, *pair, [problem], workers)) for problem in problems]
    found = [case for case in found if case[1] is not None]
    if not found:
        return None
    corrected = holm([difference.p for _, difference in found])
    rows = []
    for (problem, difference), p in zip(found, corrected, strict=True):
        parts = [compare(records, *pair, [problem], workers, part).mean for part in PARTS]
        both = [np.mean(list(results.regrets(records, method, problem, workers).values())) for method in pair]
        row = [problem, *(f"{value:.3f}" for value in both), *(f"{value:+.3f}" for value in parts)]
        rows.append([*row, f"[{difference.low:+.3f}, {difference.high:+.3f}]", f"{p:.2g}"])
    head = ["problem", *pair, *(f"difference at {part:.0%}" for part in PARTS), "95 % at the end", "p (Holm)"]
    return table(head, rows)


def latency_table(records, methods):
    """How long the methods take for a suggestion."""
    rows = []
    for method in methods:
        found = [record["ask_ms"] for record in records if record["method"] == method]
        if found:
            rows.append([method, str(len(found)), f"{np.median(found):.2f}", f"{max(found):.2f}"])
    return table(["method", "searches", "median ms per suggestion", "largest mean of a search"], rows)


def plot(records, groups, methods, path):
    """Mean regret by evaluations, in turn, and by simulated time, with several workers."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(groups), figsize=(4 * len(groups), 7), squeeze=False, layout="constrained")
    shares = np.linspace(0.05, 1.0, 40)
    for column, (group, problems) in enumerate(groups.items()):
        for row, is_serial in enumerate((True, False)):
            axis = axes[row][column]
            for color, method in enumerate(methods):
                chosen = [r for r in records if r["method"] == method and r["problem"] in problems]
                chosen = [r for r in chosen if (r["workers"] == 1) == is_serial]
                if not chosen:
                    continue
                if is_serial:
                    curves = [[r["regret"][max(0, round(s * len(r["regret"])) - 1)] for s in shares] for r in chosen]
                else:
                    curves = [[results.at_time(r, s) for s in shares] for r in chosen]
                curve = np.nanmean(np.minimum(curves, results.WORST), axis=0)
                style = "-" if not method.startswith("optuna") else "--"
                axis.plot(100 * shares, curve, style, color=f"C{color}", label=method)
            axis.set_yscale("log")
            axis.set_title(f"{group}, " + ("in turn" if is_serial else "several workers"), fontsize=10)
            axis.set_xlabel("% of the evaluations" if is_serial else "% of the simulated time")
    axes[0][0].set_ylabel("normalised regret")
    axes[1][0].set_ylabel("normalised regret")
    axes[0][-1].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def write(records, folder, group_of):
    """Writes report.md and regret.svg into a folder; returns the text."""
    if not records:
        return "there are no results"
    names = {record["problem"] for record in records}
    problems = [name for name in group_of if name in names]
    groups = {}
    for problem in problems:
        groups.setdefault(group_of[problem], []).append(problem)
    workers_list = sorted({record["workers"] for record in records})
    methods = [method for method in METHODS if any(record["method"] == method for record in records)]
    budget = results.budget_of(records)
    parts = [
        f"# Samplers judged: {len(records)} searches of {budget} evaluations",
        "Regret 0 is the optimum; 1 is what the best of 100 random points has on average.",
        "## Pairs of methods\n\n" + pairs_table(records, problems, workers_list),
    ]
    for workers in workers_list:
        parts.append(f"## Regret, {mode(workers)}\n\n" + groups_table(records, groups, methods, workers))
        parts.append(f"## Ranks, {mode(workers)}\n\n" + ranks_table(records, groups, methods, workers))
    for pair in JUDGED:
        for workers in workers_list:
            found = problems_table(records, pair, problems, workers)
            if found:
                parts.append(f"## {pair[0]} against {pair[1]} by problem, {mode(workers)}\n\n{found}")
    parts.append("## Time of suggestions\n\n" + latency_table(records, methods))
    text = "\n\n".join(parts) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text)
    plot(records, groups, methods, folder / "regret.svg")
    return text
