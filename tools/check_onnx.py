"""Compares an ONNX file of `ditn export` with the network that it was made of, in every runtime that is installed.

    cargo run --release --example heat_maps -- best.safetensors maps.safetensors PICTURE...
    ditn export best.safetensors pose.onnx --with decode
    python tools/check_onnx.py pose.onnx maps.safetensors

maps.safetensors holds the crops of the pictures and what the network on this machine's adapter made of them. Each runtime
gets the crops all together and one by one. For each output the largest difference is printed as a share of the output's
range (largest minus smallest number over all pictures); of the joints, how many are in the same place, and how far the
others are off in pixels: where two numbers of a map are equal but for rounding, a joint jumps. Exits with 1 where a heat map
or a bone map is off by more than --tolerance, or more than one joint in a hundred is in another place.

Needs: pip install numpy onnx onnxruntime openvino (each of the last three is left out where it is missing, but not the last
two together).
"""

import argparse
import json
import struct
import sys

import numpy as np


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items()}


def runtimes(path):
    """(name, function from crops to outputs by name) of each runtime."""
    try:
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        yield f"onnxruntime {onnxruntime.__version__}", lambda x: dict(zip(names, session.run(None, {"image": x})))
    except ImportError:
        pass
    try:
        import openvino
        core = openvino.Core()
        # By itself it may compute in bfloat16.
        model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        yield (f"openvino {openvino.__version__.split('-')[0]}",
               lambda x: {output.get_any_name(): value for output, value in model({"image": x}).items()})
    except ImportError:
        pass


def compare(expected, found, tolerance):
    """Prints a line an output; whether all are as expected."""
    good = True
    for name, value in found.items():
        wanted = expected[name]
        if value.shape != wanted.shape:
            print(f"    {name}: {value.shape} instead of {wanted.shape}")
            good = False
        elif name == "joints":
            off = np.abs(value - wanted)[..., :2].max(-1)
            moved = int((off > 1e-3).sum())
            print(f"    {name}: {off.size - moved} of {off.size} in the same place, the farthest {off.max():.2f} pixels away")
            good &= moved <= 0.01 * off.size
        else:
            share = np.abs(value - wanted).max() / (wanted.max() - wanted.min())
            print(f"    {name}: {share:.1e} of the range {wanted.min():.4g} to {wanted.max():.4g}")
            good &= bool(share <= tolerance)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("maps")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="share of the range of a heat map [default: 1e-4]")
    arguments = parser.parse_args()
    try:
        import onnx
        onnx.checker.check_model(arguments.model, full_check=True)
        print(f"onnx {onnx.__version__}: the file is valid")
    except ImportError:
        print("onnx is not installed: whether the file is valid was not checked")
    expected = read_safetensors(arguments.maps)
    image, good, count = expected["image"], True, 0
    for name, run in runtimes(arguments.model):
        count += 1
        print(f"{name}\n  {len(image)} pictures together")
        good &= compare(expected, run(image), arguments.tolerance)
        alone = [run(image[n:n + 1]) for n in range(len(image))]
        print("  one by one")
        good &= compare(expected, {key: np.concatenate([part[key] for part in alone]) for key in alone[0]},
                        arguments.tolerance)
    if count == 0:
        sys.exit("neither onnxruntime nor openvino is installed")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
