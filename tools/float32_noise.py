"""What PyTorch's float32 errs against float64, the largest over several orders of summation: the yardstick of a dump.

A ReLU whose input is within rounding of zero passes its gradient in one order of summation and stops it in another. One
order alone therefore does not tell how far a correct implementation may be off. Nine are taken:

    4   with and without oneDNN's kernels, each on planes and on channels-last memory; the first is PyTorch's default
    5   the default with another rounding of the image: each element times 1 + r / 2^24, r normally distributed, rounded to
        float32, which moves it by about half a unit in the last place; the draws follow from the dump's seed

The gradient of a tensor on which the loss does not depend (a bias in front of a batch normalisation) is all rounding, in
float64 as in float32. Its noise means nothing; such a tensor is judged by its group alone.
"""

import itertools
import warnings

import torch

MOVED_IMAGES = 5


def relative_errors(found, exact):
    """||a-b||/||b|| of each tensor, and of each group (a name up to its first dot) as a whole."""
    errors, groups = {}, {}
    for name, b in exact.items():
        error, size = (found[name].double() - b).norm(), b.norm()
        errors[name] = error / size.clamp_min(1e-30)
        groups.setdefault(name.split(".")[0], []).append(torch.stack([error, size]))
    for group, norms in groups.items():
        error, size = torch.stack(norms).norm(dim=0)
        errors[group] = error / size.clamp_min(1e-30)
    return errors


def orders(run, model, image, seed):
    """Yields what `run(image)` computes with `model`, one order of summation after the other."""
    warnings.filterwarnings("ignore", "TF32 acceleration")
    for onednn, layout in itertools.product((True, False), (torch.contiguous_format, torch.channels_last)):
        model.to(memory_format=layout)
        with torch.backends.mkldnn.flags(enabled=onednn):
            result = run(image.contiguous(memory_format=layout))
        yield result
    model.to(memory_format=torch.contiguous_format)
    for draw in range(MOVED_IMAGES):
        r = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed + draw), dtype=torch.float64)
        yield run((image.double() * (1 + r * 2**-24)).float())


def largest_errors(run, model, image, exact, seed):
    """-> the largest relative error against `exact` of each tensor and each group, the number of orders."""
    largest, count = {}, 0
    for count, found in enumerate(orders(run, model, image, seed), 1):
        for name, error in relative_errors(found, exact).items():
            largest[name] = torch.maximum(largest.get(name, error), error)
    return largest, count
