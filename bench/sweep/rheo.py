"""`rheo run` from the outside, for makespan.py and slots.py: build it, time a whole sweep, read what came out."""

import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SWEEP = ROOT / "bench/sweep/sweep.yaml"


def build(*targets):
    """The programs of the project, built if they are not, by the profile RHEO_PROFILE or for releases: their paths by name."""
    profile = os.environ.get("RHEO_PROFILE", "release")
    command = ["cargo", "build", "--locked", "--quiet", "--profile", profile, "--message-format", "json", *targets]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = (json.loads(line) for line in out.stdout.splitlines())
    return {one["target"]["name"]: one["executable"] for one in found if one.get("executable")}


def share(cores):
    """Has this process and all that it starts run on so many processors only."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < cores:
        raise SystemExit(f"error: {cores} processors are needed, there are {len(allowed)}")
    os.sched_setaffinity(0, allowed[:cores])


def timed(*commands, **options):
    """The seconds until all of these commands have ended, side by side, and what each has printed."""
    start = time.monotonic()
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options) for command in commands]
    printed = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - start
    for process, command in zip(running, commands):
        if process.returncode:
            raise SystemExit(f"error: `{' '.join(map(str, command))}` ended with exit code {process.returncode}")
    return seconds, printed


def run(rheo, text, slots):
    """The seconds that `rheo run` takes for the sweep `text` with one worker, from an empty state, and its trials."""
    with tempfile.TemporaryDirectory(prefix="rheo-bench-") as directory:
        directory = pathlib.Path(directory)
        (directory / "sweep.yaml").write_text(text)
        state = ["--state", directory / "state"]
        command = [rheo, *state, "run", directory / "sweep.yaml", "--workers", "1", "--slots", str(slots)]
        seconds, _ = timed(command)
        sql = "select net, lr, seed, test_accuracy as test from trials where status = 'completed'"
        query = [rheo, *state, "--output", "json", "query", sql]
        out = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True)
        return seconds, json.loads(out.stdout)
