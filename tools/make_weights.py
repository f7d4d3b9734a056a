"""Makes the small files of weights in tests/weights/: the tensors of a dump of tests/dumps/ as PyTorch saves them, so that
what is read from them can be compared with the dump. Needs: pip install torch safetensors."""

import collections
import os
import pathlib
import zipfile

import torch
from safetensors import safe_open

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "weights"


class Evil:
    """Unpickled by Python, it would write a file."""

    def __reduce__(self):
        return os.system, ("echo unpickled > ditn-was-here",)


def state_dict(dump):
    with safe_open(ROOT / "tests" / "dumps" / dump, "pt") as file:
        tensors = {name[len("param."):]: file.get_tensor(name) for name in file.keys() if name.startswith("param.")}
    for name in list(tensors):
        if name.endswith("running_mean"):
            tensors[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(7)
    return tensors


def main():
    OUT.mkdir(exist_ok=True)
    hrnet = state_dict("hrnet_coco.safetensors")

    # Today's container; one storage that all tensors are views of keeps the file small and gives them offsets.
    flat, start, views = torch.cat([t.flatten().float() for t in hrnet.values()]), 0, collections.OrderedDict()
    for name, tensor in hrnet.items():
        views[name] = flat[start:start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    torch.save(views, OUT / "hrnet_zip.pth")

    # The container up to PyTorch 1.5, with what training scripts put around the weights.
    wrapped = {"epoch": 210, "model": "pose_hrnet", "state_dict": {f"module.{k}": v for k, v in hrnet.items()},
               "perf": 0.5, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5, "params": [0, 1]}]}}
    torch.save(wrapped, OUT / "hrnet_legacy_wrapped.pth", _use_new_zipfile_serialization=False)

    # A body trained to classify, cut down to its stem: no final layer, but a classifier. Every tensor has its storage;
    # one is not contiguous, one of half and one of double precision.
    stem = {k: v.clone() for k, v in hrnet.items() if k.startswith(("conv1", "bn1", "conv2", "bn2"))}
    stem["conv2.weight"] = stem["conv2.weight"].permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    stem["bn2.weight"], stem["bn2.bias"] = stem["bn2.weight"].double(), torch.full_like(stem["bn2.bias"], 0.5).half()
    stem["final_layer.weight"] = torch.zeros(16, 2, 1, 1)
    stem["incre_modules.0.0.conv1.weight"], stem["classifier.weight"] = torch.ones(4, 2, 1, 1), torch.ones(10, 8)
    stem["classifier.bias"] = torch.ones(10)
    torch.save(stem, OUT / "imagenet_stem.pth")

    for name, zipped in [("malicious_zip.pth", True), ("malicious_legacy.pth", False)]:
        torch.save({"conv1.weight": hrnet["conv1.weight"], "meta": Evil()}, OUT / name,
                   _use_new_zipfile_serialization=zipped)

    # Small files that claim to be large: half a gigabyte of numbers that are all one, and a pickle that unpacks to 9 MiB.
    torch.save({"conv1.weight": torch.zeros(1).expand(1 << 27)}, OUT / "huge_view.pth")
    with zipfile.ZipFile(OUT / "huge_pickle.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"]" * (9 << 20) + b".")
        archive.writestr("archive/version", b"3\n")


if __name__ == "__main__":
    main()
