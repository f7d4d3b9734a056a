"""Makes the small files of weights in tests/weights/: the tensors of a dump of tests/dumps/ as PyTorch saves them, so that
what is read from them can be compared with the dump. Needs: pip install torch safetensors numpy."""

import argparse
import collections
import dataclasses
import enum
import io
import os
import pathlib
import pickle
import struct
import tarfile
import types
import zipfile

import numpy
import torch
from safetensors import safe_open

import public_layouts

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "weights"


class Evil:
    """Unpickled by Python, it would write a file."""

    def __reduce__(self):
        return os.system, ("echo unpickled > ditn-was-here",)


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Settings:
    rate: float = 1e-3
    names: tuple = ("a", "b")


class Config(dict):
    """A dictionary whose entries are attributes too, as EasyDict, yacs and MMEngine have them."""

    def __init__(self, **entries):
        super().__init__(entries)
        self.__dict__.update(entries)


class History:
    def __init__(self):
        self.values, self.methods = numpy.arange(3.0), {}
        self.methods["mean"] = self.mean

    def mean(self):
        return self.values.mean()


class Slots:
    __slots__ = ("state", "other")


class Scaled(torch.Tensor):
    """A tensor that a function of its own rebuilds."""

    def __reduce_ex__(self, protocol):
        return scaled, (self.as_subclass(torch.Tensor), 2.0)


def scaled(tensor, factor):
    return (tensor * factor).as_subclass(Scaled)


class Stem(torch.nn.Module):
    """Two layers with the public names, a buffer that is not saved and attributes that are no weights."""

    def __init__(self, tensors):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)
        self.conv2 = torch.nn.Conv2d(4, 4, 3, bias=False)
        self.register_buffer("grid", torch.zeros(2), persistent=False)
        self.example, self.parts = torch.zeros(3), [self.conv1]
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(("conv1", "bn1", "conv2"))}
        self.load_state_dict({name: tensor.float() for name, tensor in own.items()})


def write_tar(path, tensors):
    """The container before PyTorch 0.1.10, which no PyTorch writes any more: its tables by hand."""
    storages, table = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, 2)
    pickle.dump(len(tensors), table, 2)
    keys = {}
    for i, tensor in enumerate(tensors.values()):
        keys[id(tensor)], data = str(9000 + i), tensor.contiguous().numpy()
        pickle.dump((100 + i, "cpu", torch.FloatStorage), storages, 2)
        storages.write(struct.pack("<q", data.size) + data.tobytes())
        pickle.dump((9000 + i, 100 + i, None), table, 2)
        strides = tensor.contiguous().stride()
        table.write(struct.pack(f"<ii{2 * tensor.ndim + 1}q", tensor.ndim, 0, *tensor.shape, *strides, 0))
    pickle.dump([], storages, 2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return keys.get(id(value))

    contents = io.BytesIO()
    Pickler(contents, 2).dump(collections.OrderedDict(tensors))
    system = pickle.dumps({"protocol_version": 1000, "little_endian": True}, 2)
    with tarfile.open(path, "w") as archive:
        for name, data in [("sys_info", system), ("pickle", contents.getvalue()), ("tensors", table.getvalue()),
                           ("storages", storages.getvalue())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def state_dict(dump):
    with safe_open(ROOT / "tests" / "dumps" / dump, "pt") as file:
        tensors = {name[len("param."):]: file.get_tensor(name) for name in file.keys() if name.startswith("param.")}
    for name in list(tensors):
        if name.endswith("running_mean"):
            tensors[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(7)
    return tensors


def in_one_storage(state):
    """The same tensors as views of one."""
    flat, start, views = torch.cat([t.flatten().float() for t in state.values()]), 0, collections.OrderedDict()
    for name, tensor in state.items():
        views[name] = flat[start:start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return views


def main():
    OUT.mkdir(exist_ok=True)
    hrnet = state_dict("hrnet_coco.safetensors")

    # Today's container; one storage that all tensors are views of keeps the file small and gives them offsets.
    torch.save(in_one_storage(hrnet), OUT / "hrnet_zip.pth")

    # Networks under the names that other public code has for them.
    torch.manual_seed(1)
    for layout, dump in [(public_layouts.princeton, "hourglass_mpii"), (public_layouts.rsn_authors, "rsn_coco")]:
        named = layout(state_dict(f"{dump}.safetensors"))
        torch.save({"state_dict": in_one_storage(named["state_dict"])}, OUT / f"{layout.__name__}.pth")

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

    # What stands beside weights: objects of every sort, and averages of the weights.
    parts = ("conv1", "bn1", "conv2")
    few = {k: v.clone().float() for k, v in hrnet.items() if k.startswith(parts) and not k.endswith("tracked")}
    slots = Slots()
    slots.state, slots.other = {"conv9.weight": torch.full((1,), 9.0)}, None
    module = Stem(hrnet)
    adam = torch.optim.Adam(module.parameters())
    sum(parameter.sum() for parameter in module.parameters()).backward()
    adam.step()
    module.load_state_dict(Stem(hrnet).state_dict())
    objects = {
        "namespace": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("a/b")), "enum": Color.RED,
        "dataclass": Settings(), "config": Config(model=Config(width=2), steps=[1, 2]), "history": History(),
        "counts": collections.Counter("abc"), "queue": collections.deque([1, 2], maxlen=2),
        "default": collections.defaultdict(list, a=[1]), "sets": {frozenset([1]), 2}, "scalar": numpy.float64(0.5),
        "array": numpy.ones((2, 2), dtype=numpy.float32), "random": torch.get_rng_state(), "device": torch.device("cpu"),
        "type": torch.float32, "size": torch.Size([1, 2]), "number": 1 << 90, "complex": 1j, "slice": slice(1, 2),
        "bytes": b"x" * 9000, "optimizer object": adam, "slots": slots, "simple": types.SimpleNamespace(x=1),
        "scaled": torch.zeros(2).as_subclass(Scaled),
    }
    objects["circle"] = [objects["config"]]
    objects["circle"].append(objects["circle"])
    averaged = {f"module.{k}": v + 1 for k, v in few.items()} | {"n_averaged": torch.tensor(3)}
    everything = {"objects": objects, "state_dict": Config(**few), "state_dict_ema": averaged}
    for protocol in (2, 4):
        torch.save(everything, OUT / f"objects_{protocol}.pth", pickle_protocol=protocol)
    torch.save({"model": torch.nn.DataParallel(module), "epoch": 3}, OUT / "module.pth")
    torch.save({"state_dict": few | {"conv1.weight": few["conv1.weight"].as_subclass(Scaled)}}, OUT / "scaled.pth")
    write_tar(OUT / "first.pth", few)

    # MMPose's names, and what MMEngine writes: it puts the average into state_dict and what it averages beside it.
    body = {f"backbone.{k}": v for k, v in few.items()}
    head = {"head.final_layer.weight": torch.ones(17, 2, 1, 1), "head.final_layer.bias": torch.ones(17)}
    plain = {f"module.{k}": v + 1 for k, v in (body | head).items()} | {"steps": torch.tensor(3)}
    torch.save({"meta": {"mmengine_version": "0.10.4"}, "state_dict": body | head, "ema_state_dict": plain,
                "message_hub": {"log_scalars": {"loss": History()}}}, OUT / "mmengine.pth")

    # Small files that claim to be large: half a gigabyte of numbers that are all one, and a pickle that unpacks to 9 MiB.
    torch.save({"conv1.weight": torch.zeros(1).expand(1 << 27)}, OUT / "huge_view.pth")
    with zipfile.ZipFile(OUT / "huge_pickle.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"]" * (9 << 20) + b".")
        archive.writestr("archive/version", b"3\n")


if __name__ == "__main__":
    main()
