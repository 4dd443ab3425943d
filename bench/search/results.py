"""The results of a run of the judge: a file with a line of JSON for each search, and what is read from it."""

import json

import numpy as np

# A search that ends with more than this many times the regret of random search counts as no worse than that.
WORST = 2.0


def key(record):
    """What makes a search the same as another."""
    return record["problem"], record["method"], record["workers"], record["seed"], record["budget"]


def read(path):
    """The searches of a file by key. A line that a stopped run cut short is skipped."""
    found = {}
    if not path.exists():
        return found
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[key(record)] = record
    return found


def append(file, record):
    """Writes a search and makes sure that it lies in the file."""
    file.write(json.dumps(record) + "\n")
    file.flush()


def budget_of(records):
    """The budget of a method that gets no more than its share."""
    return min((record["budget"] for record in records), default=0)


def regrets(records, method, problem, workers, part=1.0):
    """The normalised regret of the method by seed, when the given part of its budget is spent."""
    found = {}
    for record in records:
        if (record["method"], record["problem"], record["workers"]) == (method, problem, workers):
            # Numbers in the file have few digits, so a budget of 50 evaluations ends at index 49.
            index = max(0, round(part * len(record["regret"])) - 1)
            found[record["seed"]] = min(WORST, record["regret"][index])
    return found


def at_time(record, share):
    """The normalised regret when the share of the simulated time of the search has passed."""
    index = int(np.searchsorted(record["times"], share * record["times"][-1], side="right")) - 1
    return np.nan if index < 0 else record["regret"][index]
