"""Draws test accuracy against the strength of a perturbation, one line for each kind of network, as an SVG file.

    python3 docs/accuracy.py .rheo/results SWEEP accuracy.svg [PERTURBATION]

Reads the table `evaluations` of a sweep with pyarrow. A line is the mean over the trials of a kind, a dot is one trial.
PERTURBATION is `step_drive` unless another is given.
"""

import collections
import statistics
import sys

import pyarrow.dataset

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 148, 56, 52
# Colours that people with any kind of colour vision tell apart (Okabe and Ito 2008).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
INK, MUTED, GRID = "#1a1a1a", "#5c5c5c", "#e2e2e2"


def read(results, sweep, perturbation):
    """Accuracies by kind of network and level."""
    table = pyarrow.dataset.dataset(f"{results}/evaluations", format="parquet", partitioning="hive")
    columns = ["sweep", "net", "perturbation", "level", "shape_mode", "accuracy"]
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in table.to_table(columns=columns).to_pylist():
        if (row["sweep"], row["perturbation"], row["shape_mode"]) == (sweep, perturbation, "own"):
            found[row["net"]][row["level"]].append(row["accuracy"])
    if not found:
        sys.exit(f"error: {results} has no evaluations of {sweep} under {perturbation}")
    return {net: dict(sorted(levels.items())) for net, levels in sorted(found.items())}


def spread(heights, gap):
    """The heights, moved apart so that labels do not overlap."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for before, index in zip(order, order[1:]):
        moved[index] = max(moved[index], moved[before] + gap)
    excess = max(0, max(moved) - (HEIGHT - BOTTOM))
    return [height - excess for height in moved]


def draw(accuracies, title, axis):
    """The figure as SVG text."""
    levels = sorted({level for by_level in accuracies.values() for level in by_level})
    # Levels stand at equal distances: they are often chosen on a scale that is not linear.
    step = (WIDTH - LEFT - RIGHT) / max(1, len(levels) - 1)
    x = {level: LEFT + index * step for index, level in enumerate(levels)}
    y = lambda accuracy: HEIGHT - BOTTOM - accuracy * (HEIGHT - TOP - BOTTOM)
    text = lambda x, y, words, more="": f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"',
        f' font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 28, title, 'font-size="16" font-weight="600"'),
    ]
    for percent in range(0, 101, 20):
        height = y(percent / 100)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(text(LEFT - 8, height + 4, f"{percent} %", f'text-anchor="end" fill="{MUTED}"'))
    for level in levels:
        parts.append(text(x[level], HEIGHT - BOTTOM + 20, f"{level:g}", f'text-anchor="middle" fill="{MUTED}"'))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, axis, f'text-anchor="middle" fill="{MUTED}"'))
    means = {net: {level: statistics.mean(values) for level, values in by.items()} for net, by in accuracies.items()}
    ends = spread([y(list(by.values())[-1]) for by in means.values()], 18)
    for (net, by), colour, end in zip(means.items(), COLOURS * len(means), ends):
        line = "L".join(f"{x[level]:.1f} {y(mean):.1f}" for level, mean in by.items())
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>')
        for level, values in accuracies[net].items():
            for value in values:
                parts.append(f'<circle cx="{x[level]:.1f}" cy="{y(value):.1f}" r="3" fill="{colour}" fill-opacity="0.45"/>')
        parts.append(text(WIDTH - RIGHT + 12, end + 4, net, f'fill="{colour}" font-weight="600"'))
    return "".join(parts[:2]) + "\n" + "\n".join(parts[2:]) + "\n</svg>\n"


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(f"usage: {sys.argv[0]} RESULTS SWEEP FILE.svg [PERTURBATION]")
    results, sweep, file = sys.argv[1:4]
    perturbation = sys.argv[4] if len(sys.argv) == 5 else "step_drive"
    accuracies = read(results, sweep, perturbation)
    figure = draw(accuracies, f"Test accuracy of {sweep} under {perturbation}", f"level of {perturbation}")
    with open(file, "w", encoding="utf-8") as out:
        out.write(figure)
    print(file)


if __name__ == "__main__":
    main()
