"""How far PyTorch's own float32 gradients of a dump move when it only sums in another order.

    python tools/relu_ties.py DUMP.safetensors

A ReLU whose input is within rounding of zero passes its gradient in one order of summation and stops it in another. A dump
holds the error of one order; this prints that of several others: other memory layouts, other kernels, and inputs changed by
half a unit in the last place: the error of the whole group `grad`, and whether each tensor is within what `ditn verify` allows
it. Where PyTorch itself is not, neither need any other correct implementation be.

Needs: pip install torch safetensors numpy.
"""

import json
import sys
from types import SimpleNamespace

import torch
from safetensors import safe_open

import ditn_torch


def main():
    dump = safe_open(sys.argv[1], "pt")
    options = SimpleNamespace(**{key: json.loads(value) for key, value in dump.metadata().items()})
    tensors = {key: dump.get_tensor(key) for key in dump.keys()}
    inputs = {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in ("input", "target", "weight")}
    image = inputs["input.image"]

    def report(what, changed_image, layout):
        model = ditn_torch.build(options).to(memory_format=layout)
        start = {key.removeprefix("param."): tensor for key, tensor in tensors.items() if key.startswith("param.")}
        model.load_state_dict(start, strict=False)
        x = {**inputs, "input.image": changed_image.contiguous(memory_format=layout)}
        ditn_torch.total_loss(model.train(), x, options)[-1].backward()
        difference = norm = 0.0
        exceeding = []
        for name, parameter in model.named_parameters():
            expected = tensors[f"grad.{name}"].double()
            error, size = (parameter.grad.double() - expected).norm().item(), expected.norm().item()
            difference, norm = difference + error**2, norm + size**2
            share = error / max(size, 1e-30) / (10 * tensors[f"noise.grad.{name}"].item() + 5e-3)
            if share > 1:
                exceeding.append((share, name))
        worst = max(exceeding, default=(0, ""))
        over = f"{len(exceeding)} tensors over their allowance, {worst[1]} {worst[0]:.1f} times" if exceeding else "passes"
        print(f"{(difference / norm) ** 0.5:.1e}  {what}: {over}", flush=True)

    layouts = {"planes": torch.contiguous_format, "channels last": torch.channels_last}
    for name, layout in layouts.items():
        report(f"oneDNN, {name}", image, layout)
        with torch.backends.mkldnn.flags(enabled=False):
            report(f"without oneDNN, {name}", image, layout)
    for seed in range(4):
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
        report(f"input rounded otherwise, seed {seed}", image * (1 + 6e-8 * noise), torch.contiguous_format)


if __name__ == "__main__":
    main()
