"""Checkpoints as the public code of each network writes them, and whether `ditn import` makes the same network of them.

    cargo build --release --example heat_maps && cargo build --release
    python tools/public_layouts.py FOLDER PICTURE...

For each way of naming a random network is written to FOLDER and imported; PyTorch and this program then find the joints of the
same crops of the pictures, each by the network's own rule. A line says whether every tensor was loaded and how far the farthest
joint is off, in pixels of the network's input. Exits with 1 where a tensor is missing or a joint is off by 0.001 or more. The
networks are small; --full takes those of the published sizes. Needs: pip install torch numpy.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from types import SimpleNamespace

import torch
import torch.nn.functional as F

import zoo_dump
from check_onnx import read_safetensors

STRIDE = 4


# ---------------------------------------------------------------------------------------------------- names


def bearpaw(state):
    return {"epoch": 1, "arch": "hg", "state_dict": {f"module.{k}": v for k, v in state.items()}}


def princeton(state):
    """princeton-vl's names; residuals hold a skip layer whether they use it or not."""
    out, depth = {}, 1 + max(int(k.split(".")[3]) for k in state if k.startswith("hg."))
    for k, v in state.items():
        parts = k.split(".")
        if parts[0] == "hg":
            stack, level, place, rest = parts[1], int(parts[3]), int(parts[4]), ".".join(parts[6:])
            inner = depth - 1 - level
            name = "low2" if place == 3 else ["up1", "low1", "low3"][place]
            k = f"hgs.{stack}.0." + "low2." * inner + f"{name}.{rest}"
        for pattern, to in [(r"^conv1\.", "pre.0.conv."), (r"^bn1\.", "pre.0.bn."), (r"^layer1\.0\.", "pre.1."),
                            (r"^layer2\.0\.", "pre.3."), (r"^layer3\.0\.", "pre.4."), (r"^res\.(\d+)\.0\.", r"features.\1.0."),
                            (r"^fc\.(\d+)\.0\.", r"features.\1.1.conv."), (r"^fc\.(\d+)\.1\.", r"features.\1.1.bn."),
                            (r"^score\.(\d+)\.", r"outs.\1.conv."), (r"^fc_\.(\d+)\.", r"merge_features.\1.conv.conv."),
                            (r"^score_\.(\d+)\.", r"merge_preds.\1.conv.conv.")]:
            k = re.sub(pattern, to, k)
        if re.match(r"^(pre\.[134]|hgs|features\.\d+\.0)\.", k):
            k = re.sub(r"(\.conv[123])\.(weight|bias)$", r"\1.conv.\2", k).replace(".downsample.0.", ".skip_layer.conv.")
        out[k] = v
    for k in [k for k in out if k.endswith(".conv3.conv.weight")]:
        skip = k.replace(".conv3.conv.weight", ".skip_layer.conv")
        if f"{skip}.weight" not in out:
            out[f"{skip}.weight"], out[f"{skip}.bias"] = torch.randn(len(out[k]), len(out[k]), 1, 1), torch.randn(len(out[k]))
    return {"state_dict": {f"model.module.{k}": v for k, v in out.items()}}


def data_parallel(state):
    return {"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}


def mmpose(state):
    return {"meta": {"mmpose_version": "1.0"}, "state_dict": dict(state)}


def rsn_authors(state):
    """Their convolutions have biases in front of normalisations, by which the running means are larger."""
    out = {}
    for k, v in state.items():
        m = re.match(r"^head\.predict_layers\.(\d+)\.conv_layers\.(\d)\.(.*)$", k)
        if m:
            k = f"stage{int(m[1]) // 4}.upsample.up{int(m[1]) % 4 + 1}.res_conv{int(m[2]) + 1}.{m[3]}"
        k = re.sub(r"^backbone\.top\.top\.0\.", "top.conv.", k)
        k = re.sub(r"^backbone\.multi_stage_rsn\.(\d+)\.", r"stage\1.", k)
        k = k.replace(".conv_bn3.", ".conv_bn_relu3.").replace(".in_skip.", ".u_skip.").replace(".out_skip", ".skip")
        out[k] = v
    for k in [k for k in out if k.endswith(".conv.weight")]:
        bias = torch.randn(len(out[k]))
        out[k.replace(".weight", ".bias")] = bias
        mean = k.replace(".conv.weight", ".bn.running_mean")
        out[mean] = out[mean] + bias
    return {"state_dict": out}


def ipr_mmpose(state):
    heads = ("deconv_layers.", "final_layer.")
    out = {("head.simplebaseline_head." if k.startswith(heads) else "backbone.") + k: v for k, v in state.items()}
    return {"meta": {}, "state_dict": out | {"head.linspace_x": torch.zeros(1, 1, 1, 64), "head.linspace_y": torch.zeros(1, 1, 64, 1)}}


def ipr_authors(state):
    def name(k):
        if k.startswith("final_layer."):
            return k.replace("final_layer.", "head.features.9.")
        return k.replace("deconv_layers.", "head.features.") if k.startswith("deconv_layers.") else f"backbone.{k}"
    return {"network": {f"module.{name(k)}": v for k, v in state.items()}}


# ----------------------------------------------------------------------------------------------------- decoding


def quarter_floor(maps):
    """The place of the largest value, a quarter pixel towards the higher neighbour, and half a pixel."""
    n, j, h, w = maps.shape
    points = torch.zeros(n, j, 2, dtype=torch.float64)
    for i, k in [(i, k) for i in range(n) for k in range(j)]:
        m = maps[i, k]
        y, x = divmod(int(m.argmax()), w)
        if m.max() <= 0:
            continue
        step = torch.zeros(2, dtype=torch.float64)
        if 1 < x < w - 1 and 1 < y < h - 1:
            step = 0.25 * torch.stack([(m[y, x + 1] - m[y, x - 1]).sign(), (m[y + 1, x] - m[y - 1, x]).sign()])
        points[i, k] = torch.tensor([x, y]) + step + 0.5
    return points


def second_maximum(side):
    """A border of 10 zeros, a blur, and from the largest value a quarter pixel towards the second largest; half a pixel."""
    r, weights = side // 2, zoo_dump.blur_weights(side)
    weights = torch.outer(weights, weights) / weights.sum() ** 2

    def decode(maps):
        n, j, h, w = maps.shape
        blurred = F.pad(maps.reshape(n * j, 1, h, w), (10,) * 4)
        blurred = F.conv2d(F.pad(blurred, (r,) * 4, mode="reflect"), weights[None, None])[:, 0]
        points = []
        for m in blurred:
            y, x = divmod(int(m.argmax()), w + 20)
            m[y, x] = 0
            v, u = divmod(int(m.argmax()), w + 20)
            there, step = torch.tensor([x, y]).double() - 10, torch.tensor([u - x, v - y]).double()
            there += 0.25 * step / step.norm() if step.norm() > 1e-3 else 0
            points.append(there.clamp(torch.zeros(2), torch.tensor([w - 1, h - 1]).double()) + 0.5)
        return torch.stack(points).reshape(n, j, 2)
    return decode


# ------------------------------------------------------------------------------------------------------- the check

SMALL = {"hourglass": dict(channels=16, stem=8), "cpn": dict(layers=[1, 2, 1, 1], stem=8, channels=16),
         "rsn": dict(layers=[1, 2, 1, 1], stem=16, channels=16), "ipr": dict(layers=[1, 2, 1, 1], stem=8)}

# name, layout, --model, options, decoding (None: the expectation)
LAYOUTS = [("bearpaw", bearpaw, "hourglass-2", dict(model="hourglass", stacks=2), quarter_floor),
           ("princeton", princeton, "hourglass-2", dict(model="hourglass", stacks=2, paper_stem=True), quarter_floor),
           ("gengdavid", data_parallel, "cpn-50", dict(model="cpn"), second_maximum(21)),
           ("mmpose_rsn", mmpose, "rsn-50", dict(model="rsn"), second_maximum(5)),
           ("rsn_authors", rsn_authors, "2xrsn-50", dict(model="rsn", stacks=2), second_maximum(5)),
           ("mmpose_ipr", ipr_mmpose, "ipr-50", dict(model="ipr"), None),
           ("ipr_authors", ipr_authors, "ipr-50", dict(model="ipr"), None)]


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def check(name, layout, network, options, decode, a):
    extents = {} if a.full else SMALL[options["model"]]
    defaults = dict(skeleton=None, depth=50, layers=None, stacks=None, blocks=1, levels=4, channels=256, stem=64, expand=26,
                    paper_stem=False, seed=len(name))
    model = zoo_dump.build(SimpleNamespace(**defaults | options | extents))
    zoo_dump.randomise(model)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    checkpoint, imported = a.folder / f"{name}.pth", a.folder / f"{name}.safetensors"
    torch.save(layout(state), checkpoint)
    sets = [f"--set=model.{k}={json.dumps(v)}" for k, v in (extents | dict(paper_stem=options.get("paper_stem", False))).items()]
    report = json.loads(run(a.ditn, "import", checkpoint, imported, "--model", network, "--json", "--set=train.size=[256,256]", *sets))
    maps = a.folder / f"{name}.maps.safetensors"
    run(a.ditn.parent / "examples" / "heat_maps", imported, maps, *a.pictures)
    found = read_safetensors(maps)
    with torch.no_grad():
        out = model.double().eval()(torch.tensor(found["image"]).double())
    size = torch.tensor(found["image"].shape[:1:-1])
    points = STRIDE * decode(out["maps"][-1]) if decode else (out["coordinates"] + 0.5) * size
    farthest = float((torch.tensor(found["joints"])[..., :2].double() - points).abs().max())
    maps = torch.tensor(found["heat_maps"]).double()
    error = float((maps - out["maps"][-1]).norm() / out["maps"][-1].norm())
    loaded = len(report["loaded"])
    good = report["complete"] and not report["extra"] and farthest < 1e-3
    print(f"{name:<12} {network:<12} {loaded:>5} tensors, {len(report['missing'])} missing, {len(report['extra'])} more in the file; "
          f"maps {error:.1e}, farthest joint {farthest:.1e} pixels{'' if good else '   FAIL'}", flush=True)
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("pictures", nargs="+")
    p.add_argument("--ditn", type=pathlib.Path, default=pathlib.Path("target/release/ditn"))
    p.add_argument("--full", action="store_true", help="networks of the published sizes")
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if all([check(*layout, a) for layout in LAYOUTS]) else 1)


if __name__ == "__main__":
    main()
