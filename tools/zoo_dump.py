"""Dumps of the systems that the paper compares with, for `ditn verify`.

`python zoo_dump.py dump OUT.safetensors --model M [options]` writes, as ditn_torch.py does, what a correct implementation
must produce, computed in float64 and stored as float32:

    param.*   parameters and running statistics before        input.image
    target.*, weight.*    of the last heat maps (joints), of those before them (side.0, side.1, ... where they
                          have targets of their own) and of coordinates (ipr)
    eval.*    heat maps with running statistics: joints (the last, which are decoded), side.0, side.1, ... (the
              supervised ones before them, in order), coordinates (ipr)
    train.*   the same with batch statistics
    loss.*    the same names: each term before its factor; total = sum of factor x term
    grad.*, stats.*, after.*, trajectory.loss, noise.*    as in ditn_torch.py

The metadata hold the options and `terms`, the kind and factor of each term: side.0, side.1, ..., joints; ipr has its only
term on the coordinates, and with --map-weight a second one on the maps behind their softmax, times 2 pi.

`python zoo_dump.py count --model M [options]` prints parameters and multiply-adds.
"""

import argparse
import functools
import math
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

import zoo_torch
from ditn_torch import LOSSES, SKELETONS, ResNet, exact_and_noise, write
from zoo_torch import MODELS, coordinates_l1

MISTAKES = ["stack", "corners", "half-pixel"]


PEAK = {"hourglass": 1.0, "cpn": 255.0, "rsn": 255.0, "ipr": 1.0}


def terms_of(name, maps):
    """Kind and factor of the loss on each of the maps, as the public code of each has it."""
    if name == "hourglass":  # bearpaw: half the weighted mean square, summed over stacks
        return [("mse", 0.5)] * maps
    if name == "cpn":  # half the mean square of GlobalNet's levels; the 8 hardest joints of RefineNet
        return [("mse", 0.5)] * (maps - 1) + [("ohkm", 1.0)]
    if name == "rsn":  # a quarter of the coarse levels; the 8 hardest joints of the finest, in each stage
        return ([("mse", 0.25)] * 3 + [("ohkm", 1.0)]) * (maps // 4)
    return [("coordinates-l1", 1.0)]


def normalised(maps):
    """The softmax of each map with the peak that the softmax of a Gaussian of deviation 1 would have as its target's, 1."""
    n, j, h, w = maps.shape
    return 2 * math.pi * maps.reshape(n, j, h * w).softmax(2).reshape(n, j, h, w)


def widths_of(name, maps):
    """Of each map's target: the side of the blur that made it (cpn, rsn), or None for a Gaussian of deviation 1."""
    if name == "cpn":
        return [15, 11, 9, 7, 7]
    if name == "rsn":  # coarse to fine within a stage, and one step finer in the last stage
        return [15, 11, 9, 7] * (maps // 4 - 1) + [11, 9, 7, 5]
    return [None] * maps


def blur_weights(width):
    """Of cv2.GaussianBlur with a side of `width`, of any scale: fixed ones for 5 and 7, sigma 0.15 width + 0.35 above."""
    fixed = {5: [1, 4, 6, 4, 1], 7: [2, 7, 14, 18, 14, 7, 2]}
    if width in fixed:
        return torch.tensor(fixed[width]).double()
    r = width // 2
    return torch.exp(-torch.arange(-r, r + 1).double() ** 2 / (2 * (0.15 * width + 0.35) ** 2))


def peaks(centre, width, h, w, peak):
    """Target maps. With a width as cv2.GaussianBlur(one pixel, (width, width), 0) over its maximum: the pixel that the joint
    lies in, OpenCV's fixed weights for 5 and 7 and sigma 0.15 width + 0.35 above, mirrored at the border."""
    if width is None:
        ys, xs = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
        d2 = (xs - centre[..., 0, None, None]) ** 2 + (ys - centre[..., 1, None, None]) ** 2
        return peak * torch.exp(-d2 / 2)
    n, j, _ = centre.shape
    r, kernel = width // 2, blur_weights(width)
    x, y = centre[..., 0].long(), centre[..., 1].long()
    maps = (F.one_hot(y, h)[..., :, None] * F.one_hot(x, w)[..., None, :]).double().reshape(n * j, 1, h, w)
    maps = F.conv2d(F.pad(maps, (r, r, r, r), mode="reflect"), torch.outer(kernel, kernel)[None, None])
    return (peak * maps / maps.amax((2, 3), keepdim=True)).reshape(n, j, h, w).float()


def random_inputs(a, maps, joints):
    """An image and targets at random places; about one joint in eight is unlabelled, another one hidden."""
    g = torch.Generator().manual_seed(a.seed + 1)
    (h, w), n = a.size, a.batch
    out = {"input.image": torch.randn(n, 3, h, w, generator=g)}
    h, w = h // 4, w // 4
    centre = torch.rand(n, joints, 2, generator=g) * torch.tensor([w, h])
    draw = torch.rand(n, joints, 1, 1, generator=g)
    labelled, visible = (draw > 0.125).float(), (draw > 0.25).float()
    if a.model == "ipr":
        out["target.coordinates"] = centre / torch.tensor([w, h]) - 0.5
        out["weight.coordinates"] = labelled[..., 0]
        if a.map_weight:
            out["target.joints"], out["weight.joints"] = peaks(centre, None, h, w, 1.0) * labelled, labelled.clone()
        return out
    widths = widths_of(a.model, maps)
    out["target.joints"] = peaks(centre, widths[-1], h, w, a.peak) * labelled
    out["weight.joints"] = labelled
    if a.model in ("cpn", "rsn"):
        for i in range(maps - 1):
            last = a.model == "rsn" and i % 4 == 3  # the finest map of an earlier stage is mined too
            out[f"target.side.{i}"] = peaks(centre, widths[i], h, w, a.peak) * (labelled if last else visible)
            out[f"weight.side.{i}"] = labelled.clone() if last else torch.ones_like(labelled)
    return out


def outputs(model, x):
    """Name -> output, in the order of the terms."""
    out = model(x["input.image"])
    maps = out.pop("maps")
    names = [f"side.{i}" for i in range(len(maps) - 1)] + ["joints"]
    return {**dict(zip(names, maps)), **out}


def objective(predicted, x, terms):
    """-> term by name, and the sum of factor x term."""
    losses, total = {}, 0
    names = [n for n in predicted if n != "joints" or "coordinates" not in predicted]
    if "coordinates" in predicted and len(terms) > 1:
        names, predicted = ["coordinates", "joints"], predicted | {"joints": normalised(predicted["joints"])}
    for name, (kind, factor) in zip(names, terms):
        of = name if f"target.{name}" in x else "joints"
        loss = coordinates_l1 if kind == "coordinates-l1" else LOSSES[kind]
        value = loss(predicted[name], x[f"target.{of}"], x[f"weight.{of}"])
        losses[name] = value
        total = total + factor * value
    return losses, total


def evaluate(model, x, start, a, terms):
    """Everything that a dump promises, in the model's own precision."""
    model.load_state_dict(start, strict=False)
    model.eval()
    with torch.no_grad():
        out = {f"eval.{k}": v for k, v in outputs(model, x).items()}
    model.train()
    predicted = outputs(model, x)
    losses, total = objective(predicted, x, terms)
    model.zero_grad()
    total.backward()
    out.update({f"train.{k}": v.detach() for k, v in predicted.items()})
    out.update({f"loss.{k}": v.detach() for k, v in losses.items()})
    out["loss.total"] = total.detach()
    out.update({f"grad.{k}": v.grad.clone() for k, v in model.named_parameters()})
    out.update({f"stats.{k}": v.clone() for k, v in model.state_dict().items() if "running" in k})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4)
    for _ in range(a.steps):  # the same gradients every time: a test of the optimizer alone
        optimizer.step()
    out.update({f"after.{k}": v.detach().clone() for k, v in model.named_parameters()})

    model.load_state_dict(start, strict=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4)
    trajectory = []
    for _ in range(a.trajectory):
        total = objective(outputs(model, x), x, terms)[1]
        model.zero_grad()
        total.backward()
        optimizer.step()
        trajectory.append(total.detach())
    out["trajectory.loss"] = torch.stack(trajectory)
    return out


def multiply_adds(model, size):
    """Of convolutions, for one picture. -> (transposed ones at their input, transposed ones as published: at their output)"""
    counts = [0, 0]

    def count(m, inputs, y):
        kernel = m.weight[0].numel()  # of a convolution: per output; of a transposed one: per input
        if isinstance(m, nn.ConvTranspose2d):
            counts[0] += inputs[0][0].numel() * kernel
            counts[1] += y[0, 0].numel() * m.weight.numel()
        else:
            counts[0] += y[0].numel() * kernel
            counts[1] += y[0].numel() * kernel

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, *size))
    for h in hooks:
        h.remove()
    return counts


def add_options(p):
    """What a network can be."""
    p.add_argument("--model", choices=MODELS, default="hourglass")
    p.add_argument("--skeleton", choices=SKELETONS, default=None, help="mpii for the hourglass, else coco")
    p.add_argument("--depth", type=int, choices=ResNet.LAYERS, default=50, help="cpn, ipr: the ResNet")
    p.add_argument("--layers", type=int, nargs=4, default=None, help="cpn, ipr, rsn: blocks of the four stages")
    p.add_argument("--stacks", type=int, default=None, help="hourglass 2; rsn 1: stages")
    p.add_argument("--blocks", type=int, default=1, help="hourglass: residuals in a row")
    p.add_argument("--levels", type=int, default=4, help="hourglass: how often it halves")
    p.add_argument("--channels", type=int, default=256, help="of the hourglass, of the pyramid's levels")
    p.add_argument("--stem", type=int, default=64)
    p.add_argument("--expand", type=int, default=26, help="rsn: channels of each of a first block's four parts")
    p.add_argument("--paper-stem", action="store_true", help="hourglass: 64-128-128-F instead of 64-128-256-F")
    p.add_argument("--seed", type=int, default=0)


def build(a):
    """The network that the options describe; fills in those that depend on it."""
    a.skeleton = a.skeleton or ("mpii" if a.model == "hourglass" else "coco")
    a.stacks = a.stacks or (2 if a.model == "hourglass" else 1)
    options = dict(layers=a.layers, stacks=a.stacks, blocks=a.blocks, channels=a.channels, stem=a.stem, expand=a.expand,
                   paper_stem=a.paper_stem, depth=a.levels if a.model == "hourglass" else a.depth)
    torch.manual_seed(a.seed)
    return MODELS[a.model](a.skeleton, **options)


def randomise(model):
    """Leaves no parameter at a value that hides a mistake."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.2, 0.2)
            m.running_mean.uniform_(-0.1, 0.1)
            m.running_var.uniform_(0.5, 1.5)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", choices=["dump", "count"])
    p.add_argument("out", nargs="?")
    add_options(p)
    p.add_argument("--size", type=int, nargs=2, default=[256, 256], metavar=("H", "W"))
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--peak", type=float, default=None, help="of the target maps: 255 for cpn and rsn, else 1")
    p.add_argument("--map-weight", type=float, default=0.0, help="ipr: what the squared error of the maps, behind their "
                   "softmax, counts beside the coordinates")
    p.add_argument("--steps", type=int, default=2, help="AdamW steps on the same gradients")
    p.add_argument("--trajectory", type=int, default=10, help="training steps whose losses are dumped")
    p.add_argument("--mistake", choices=MISTAKES, help="what verify must find: the loss of the first map left out, "
                   "align_corners off, the expectation half a pixel further")
    a = p.parse_args()
    model = build(a)
    if a.command == "count":
        own, published = multiply_adds(model, a.size)
        print(f"{sum(q.numel() for q in model.parameters())} parameters, {own / 1e9:.3f} G multiply-adds ({own / 2**30:.3f} x "
              f"2^30); transposed convolutions at their output size: {published / 1e9:.3f} G ({published / 2**30:.3f} x 2^30)")
        return
    zoo_torch.ALIGN_CORNERS = a.mistake != "corners"
    zoo_torch.PIXEL_OFFSET = 0.5 if a.mistake == "half-pixel" else 0.0
    a.peak = PEAK[a.model] if a.peak is None else a.peak
    randomise(model)
    with torch.no_grad():
        maps = model.eval()(torch.zeros(1, 3, *a.size))["maps"]
    terms = terms_of(a.model, len(maps)) + ([("mse", a.map_weight)] if a.map_weight else [])
    computed = [(kind, 0.0 if i == 0 and a.mistake == "stack" else factor) for i, (kind, factor) in enumerate(terms)]
    inputs = random_inputs(a, len(maps), maps[-1].shape[1])
    start = {k: v.detach().clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    exact, noise, orders = exact_and_noise(model, inputs, start, a, functools.partial(evaluate, terms=computed))
    write(a.out, inputs, start, exact, noise, vars(a) | {"terms": terms, "noise_orders": orders})


if __name__ == "__main__":
    main()
