"""Times of DITN-W32 here and in PyTorch on the CPU, in turns, so that whatever else the machine does meets both.

    cargo build --release && python tools/against_torch.py [ROUNDS [DITN [SIZE]]]

Each round lets PyTorch (channels last, all cores) and `ditn bench` measure an inference of one picture and a training step of
two, one after the other, and prints both and their ratio; at the end, the median of each column. DITN is the program,
target/release/ditn by default. Needs: pip install torch.
"""

import json
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import torch

import ditn_torch


def median_seconds(run, samples=3):
    run()
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_seconds(size):
    model = ditn_torch.build(OPTIONS).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, size, size).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def infer():
        model.eval()(images[:1])

    maps = size // 4
    x = {"input.image": images, "target.joints": torch.rand(2, 16, maps, maps), "target.bones": torch.rand(2, 15, maps, maps),
         "weight.joints": torch.ones(2, 16, 1, 1), "weight.bones": torch.ones(2, 15, 1, 1)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def train():
        optimizer.zero_grad()
        ditn_torch.total_loss(model.train(), x, OPTIONS)[-1].backward()
        optimizer.step()

    return {"infer": median_seconds(infer), "train": median_seconds(train)}


def our_seconds(program, size):
    command = [program, "bench", "ditn-w32", "--size", f"{size}x{size}", "--batch", "2", "--top", "0", "--samples", "3", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {network["pass"]: network["seconds"] for network in report["networks"]}


OPTIONS = SimpleNamespace(model="ditn", skeleton="mpii", width=32, stem=64, blocks=4, modules=[1, 4, 3], no_transfer=False,
                          no_cab=False, no_sab=False, loss="focal-l2", bone_loss="smooth-l1", bone_weight=0.1)


def main():
    rounds, program, size = (sys.argv[1:] + ["5", "target/release/ditn", "256"][len(sys.argv) - 1:])[:3]
    columns = []
    print("infer: torch   ditn  ratio   train: torch   ditn  ratio   (seconds)")
    for _ in range(int(rounds)):
        theirs, ours = torch_seconds(int(size)), our_seconds(program, int(size))
        row = [number for k in ("infer", "train") for number in (theirs[k], ours[k], ours[k] / theirs[k])]
        columns.append(row)
        show(row)
    print("median")
    show([statistics.median(column) for column in zip(*columns)])


def show(row):
    print("       {:6.3f} {:6.3f} {:6.2f}          {:6.3f} {:6.3f} {:6.2f}".format(*row), flush=True)


if __name__ == "__main__":
    main()
