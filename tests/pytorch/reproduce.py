"""Runs the loaders of docs/checkpoint.md on exported weights and prints, as JSON, how what they give compares with ours.

usage: reproduce.py docs/checkpoint.md DIRECTORY

For each file of weights NAME.safetensors, DIRECTORY has a file NAME.expected with tensors `inputs.0`, `targets.0` and
`scores.0`, then `inputs.1` and so on, which follow each other in one sequence. `targets` are those of the last rows of the
scores; those rows alone count for the accuracy.
"""

import json
import pathlib
import re
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file


def loaders(page):
    """The function `load` and the number of lines of the block of `page` for each kind, which its first line names."""
    found = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        names = {}
        exec(block, names)
        for kind in block.splitlines()[0].removeprefix("# ").split(", "):
            assert kind not in found, f"two blocks for {kind}"
            found[kind] = (names["load"], len(block.splitlines()))
    return found


def documented(page, config, sizes):
    """The shapes that the table of `page` gives to the tensors of a network, by name."""
    shapes = {}
    for kinds, tensors in re.findall(r"^\| (.*?) \| (`.*) \|$", page, re.MULTILINE):
        about = re.findall(r"`(\w+)`", kinds)
        if kinds == "every" or config["network"]["kind"] in about or config["task"]["kind"] in about:
            for name, shape in re.findall(r"`(\w+)` \[(.*?)\]", tensors):
                shapes[name] = [eval(size, {}, sizes) for size in shape.split(", ")]
    return shapes


def compare(weights, page, found):
    """What is to be known about one file of weights."""
    with safe_open(weights, "pt") as file:
        header = json.loads(file.metadata()["rheobase"])
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    config = header["config"]
    expected = load_file(weights.with_suffix(".expected"))
    sizes = {"H": shapes["w_out"][1], "C": shapes["w_out"][0], "S": config["network"]["controller"]}
    sizes["V"], sizes["I"] = shapes.get("embedding", [None, expected["inputs.0"].shape[2]])
    load, lines = found[config["network"]["kind"]]
    network = load(str(weights))
    state, errors, correct, scored = None, [], 0, 0
    for part in range(sum(name.startswith("inputs.") for name in expected)):
        inputs, targets, ours = (expected[f"{name}.{part}"] for name in ("inputs", "targets", "scores"))
        theirs, state = network(inputs, state)
        theirs = theirs.reshape(ours.shape)
        errors.append(((theirs - ours).abs() / (1 + ours.abs())).max())
        correct += (theirs[-len(targets) :].argmax(1) == targets).sum().item()
        scored += len(targets)
    return {
        "kind": config["network"]["kind"],
        "task": config["task"]["kind"],
        "epoch": header["epoch"],
        "lines": lines,
        "shapes_as_documented": shapes == documented(page, config, sizes),
        "error": torch.stack(errors).max().item(),
        "correct": correct,
        "scored": scored,
    }


def main():
    page = pathlib.Path(sys.argv[1]).read_text()
    found = loaders(page)
    files = sorted(pathlib.Path(sys.argv[2]).glob("*.safetensors"))
    print(json.dumps({file.stem: compare(file, page, found) for file in files}))


main()
