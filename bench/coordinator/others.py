#!/usr/bin/env python3
"""Trials of other programs that train nothing, for run.py: prints a line of JSON.

    others.py hyperqueue|optuna TRIALS
"""

import json
import pathlib
import sys
import tempfile
import time

SLOTS = 1000


def hyperqueue(trials):
    """The seconds in which a server and a worker of HyperQueue run so many processes that end at once."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=SLOTS))
        client = cluster.client()
        job = Job()
        for _ in range(trials):
            job.program(["true"], stdout=None, stderr=None)
        start = time.monotonic()
        client.wait_for_jobs([client.submit(job)])
        return time.monotonic() - start


def optuna(trials):
    """The seconds in which one process asks Optuna for so many trials and tells their values."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="rheo-bench-") as directory:
        storage = JournalStorage(JournalFileBackend(str(pathlib.Path(directory) / "journal")))
        study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
        start = time.monotonic()
        for _ in range(trials):
            trial = study.ask()
            trial.suggest_float("lr", 1e-4, 1e-3)
            trial.suggest_int("batch", 1, 1000)
            study.tell(trial, 0.5)
        return time.monotonic() - start


if __name__ == "__main__":
    measure, trials = {"hyperqueue": hyperqueue, "optuna": optuna}[sys.argv[1]], int(sys.argv[2])
    seconds = measure(trials)
    print(json.dumps({"trials": trials, "seconds": seconds, "completions_per_s": trials / seconds}))
