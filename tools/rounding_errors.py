#!/usr/bin/env python3
"""The largest rounding error of each operator over many random fillings and shapes, as a table for docs/tolerances.md:

    python tools/rounding_errors.py --seeds 50 > docs/tolerances.md

runs the tests of the kernels once for each seed (those of huge dispatches only in the first), with DITN_ERRORS naming the
file that they add the errors to. `--read FILE ...` makes the table from such files instead.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HEAD = """\
# Rounding errors and tolerances

The largest difference between a kernel and the float64 reference, and the most that the tests allow, in units of 2^-24 of
the element's magnitude (`Operator::magnitudes`: the sum of the absolute values of the terms it is computed from). F16: with
every tensor stored so that the kernel takes so; the rounding of a stored result does not count. The tests allow at most four
times what was seen (`src/ops/tolerances.rs`), where that is less than one unit one unit, and nothing where the result is a
copy.
"""


def run(seeds, fillings, cargo_arguments):
    """Runs the tests for each seed, each case with so many fillings; returns the lines that they have added."""
    lines = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            errors = pathlib.Path(folder) / "errors.tsv"
            skip = ["--skip", "portability"] + (["--skip", "past_65535", "--skip", "65535", "--skip", "fold"] if seed else [])
            command = ["cargo", "test", *cargo_arguments, "--test", "kernels", "--", *skip]
            environment = {**os.environ, "PROPTEST_RNG_SEED": str(seed), "DITN_ERRORS": str(errors), "DITN_FILLINGS": str(fillings)}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                print(done.stdout[-4000:], file=sys.stderr)
            if errors.exists():
                lines += errors.read_text().splitlines()
        print(f"seed {seed}: {len(lines)} lines", file=sys.stderr)
    return lines


def table(lines, seeds, fillings):
    """The Markdown of the largest error of each operator and variant."""
    rows, adapters = {}, set()
    for line in lines:
        operator, variant, dtype, error, allowed, _, adapter = line.split("\t")
        adapters.add(adapter)
        row = rows.setdefault((operator, variant), {})
        if dtype not in row or float(error) > row[dtype][0]:
            row[dtype] = (float(error), float(allowed))
    out = [HEAD, f"Measured by `tools/rounding_errors.py` over {seeds} seeds of shapes with {fillings} fillings each, on {', '.join(sorted(adapters))}.", ""]
    out += ["| operator | variant | F32 | allowed | F16 | allowed |", "|---|---|---|---|---|---|"]
    for (operator, variant), row in sorted(rows.items()):
        cells = []
        for dtype in ("F32", "F16"):
            error, allowed = row.get(dtype, (None, None))
            cells += ["", ""] if error is None else [f"{error:.2f}", f"{allowed:g}"]
        out.append(f"| {operator} | {variant} | {' | '.join(cells)} |")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--fillings", type=int, default=1, help="random contents of each case")
    parser.add_argument("--read", nargs="+", metavar="FILE", help="files of errors, in place of running the tests")
    parser.add_argument("cargo", nargs="*", help="arguments of cargo test, after -- (default: --release)")
    arguments = parser.parse_args()
    if arguments.read:
        lines = [line for name in arguments.read for line in pathlib.Path(name).read_text().splitlines()]
    else:
        lines = run(arguments.seeds, arguments.fillings, arguments.cargo or ["--release"])
    print(table(lines, arguments.seeds, arguments.fillings))


if __name__ == "__main__":
    main()
