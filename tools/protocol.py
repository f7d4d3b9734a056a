"""Makes tests/protocol/*.json: what the public HRNet protocol, written here with OpenCV and NumPy, makes of people.

Needs: pip install numpy 'opencv-python-headless==4.10.0.84'. Run it in the project's folder:

    python tools/protocol.py DATA tests/protocol        500 sampled pixels a crop; DATA holds mpii/ and coco/
    python tools/protocol.py DATA /tmp/protocol all     every pixel and everyone, to be compared once:
    DITN_PROTOCOL=/tmp/protocol cargo test --release --test protocol -- --nocapture

Values of crops then differ by up to 3 grey levels, which is what two decoders make of a JPEG. Where DATA's pictures are PNGs
under the JPEGs' names, none differs.

The files hold no pictures: transforms, joints, what is characteristic of the targets, sampled pixels, decoded joints.
"""

import json
import pathlib
import sys

import cv2
import numpy as np

STRIDE, SIGMA = 4, 2
FLIP_PAIRS = {
    "mpii": [(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
    "coco": [(i, i + 1) for i in range(1, 16, 2)],
}


def noise(start, count):
    """Numbers from 0 to 1 that are exact in float32; tests/protocol.rs draws the same."""
    index = np.arange(start, start + count, dtype=np.uint64)
    word = (index * 0x9E3779B1 + 0x5BD1E995) & 0xFFFFFFFF
    word ^= word >> 15
    word = (word * 0x85EBCA6B) & 0xFFFFFFFF
    word ^= word >> 13
    return (word >> 8).astype(np.float32) / np.float32(1 << 24)


def synthetic_picture():
    """Slopes and waves of colour, 640 by 480."""
    y, x = np.mgrid[0:480, 0:640]
    wave = lambda v: 255 - np.abs(v % 510 - 255)
    return np.stack([wave(x * y // 400), wave(3 * x + y), wave(x + 2 * y)], axis=-1).astype(np.uint8)


def affine(center, scale, size, inverse=False):
    """The map of three points: centre, half a width above it, and the corner of the right angle over both."""
    source = np.zeros((3, 2), np.float32)
    target = np.zeros((3, 2), np.float32)
    source[0] = center
    source[1] = center + np.array([0, scale[0] * 200 * -0.5])
    target[0] = [size[0] * 0.5, size[1] * 0.5]
    target[1] = target[0] + np.array([0, size[0] * -0.5])
    for points in (source, target):
        direction = points[0] - points[1]
        points[2] = points[1] + np.array([-direction[1], direction[0]], np.float32)
    return cv2.getAffineTransform(target, source) if inverse else cv2.getAffineTransform(source, target)


def apply(matrix, point):
    return matrix @ np.array([point[0], point[1], 1.0])


def target_map(joint, size):
    """Weight, rounded joint and Gaussian map.

    Rounded down: the public code rounds towards 0, which differs left of the map and above it only. There it also keeps the
    weight of a window that ends just before the map.
    """
    width, height = size
    middle = [int(np.floor(v + 0.5)) for v in joint[:2]]
    reach = 3 * SIGMA
    outside = middle[0] - reach >= width or middle[1] - reach >= height
    if joint[2] == 0 or outside or middle[0] + reach < 0 or middle[1] + reach < 0:
        return 0.0, middle, np.zeros((height, width))
    y, x = np.mgrid[0:height, 0:width]
    dx, dy = x - middle[0], y - middle[1]
    values = np.exp(-(dx * dx + dy * dy) / (2 * SIGMA * SIGMA))
    return 1.0, middle, np.where((abs(dx) <= reach) & (abs(dy) <= reach), values, 0.0)


def decode(maps):
    """Joints in heat-map pixels with a quarter pixel towards the higher neighbours, and the maxima."""
    joints, height, width = maps.shape
    places, scores = np.zeros((joints, 2)), maps.reshape(joints, -1).max(1)
    for j in range(joints):
        place = int(maps[j].argmax())
        x, y = place % width, place // width
        if scores[j] <= 0:
            continue
        places[j] = x, y
        if 1 < x < width - 1 and 1 < y < height - 1:
            slope = maps[j, y, x + 1] - maps[j, y, x - 1], maps[j, y + 1, x] - maps[j, y - 1, x]
            places[j] += np.sign(slope) * 0.25
    return places, scores


def decode_dark(maps):
    """One Newton step on the log of the smoothed maps, as the public DARK code takes it."""
    places, scores = np.zeros((len(maps), 2)), maps.reshape(len(maps), -1).max(1)
    for j, map in enumerate(maps):
        height, width = map.shape
        x, y = int(map.argmax()) % width, int(map.argmax()) // width
        places[j] = x, y
        # Ten pixels of zeros on each side: the filter's own border rule is out of reach.
        smoothed = cv2.GaussianBlur(np.pad(map.astype(np.float64), 10), (11, 11), 0)[10:-10, 10:-10]
        log = np.log(np.maximum(smoothed * (map.max() / smoothed.max()), 1e-10))
        if 1 < x < width - 2 and 1 < y < height - 2:
            dx, dy = (log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2
            dxx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
            dyy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
            dxy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
            places[j] -= np.linalg.solve([[dxx, dxy], [dxy, dyy]], [dx, dy])
    return places, scores


def noisy_hills(count, size):
    """Gaussians anywhere on the map under a little noise; tests/protocol.rs makes the same."""
    width, height = size
    row, column = np.mgrid[0:height, 0:width]
    tops = noise(0, 3 * count).astype(np.float64).reshape(count, 3)
    hills = [
        (0.2 + 0.8 * top) * np.exp(-((column - x * width) ** 2 + (row - y * height) ** 2) / (2 * SIGMA * SIGMA))
        for x, y, top in tops
    ]
    rough = noise(3 * count, count * width * height).astype(np.float64).reshape(count, height, width)
    return (np.stack(hills) + 0.02 * rough).astype(np.float32)


def write_dark(path, count=200, size=(48, 64)):
    places, scores = decode_dark(noisy_hills(count, size))
    points = [[*map(float, place), float(score)] for place, score in zip(places, scores)]
    path.write_text(json.dumps({"size": size, "points": points}, separators=(",", ":")) + "\n")
    print(path, count, "maps,", path.stat().st_size, "bytes")


def flip_test(maps, mirrored, pairs):
    """The mean of the maps and those of the mirrored picture, mirrored back and shifted one pixel to the right."""
    back = mirrored[:, :, ::-1].copy()
    for a, b in pairs:
        back[[a, b]] = back[[b, a]]
    back[:, :, 1:] = back[:, :, :-1].copy()
    return (maps + back) * np.float32(0.5)


def person(skeleton, number, picture, center, scale, joints, size, samples):
    """Centre and scale are arrays of the type in which the public code holds them."""
    to_input = affine(center, scale, size)
    crop = cv2.warpAffine(picture, to_input, size, flags=cv2.INTER_LINEAR)
    heat = size[0] // STRIDE, size[1] // STRIDE
    on_map = [[*(apply(to_input, (x, y)) / STRIDE), flag] if flag else [0, 0, 0] for x, y, flag in joints]
    targets = []
    for joint in on_map:
        weight, middle, values = target_map(joint, heat)
        targets.append([weight, *middle, float(values.max()), float(values.sum())])
    count = len(joints) * heat[0] * heat[1]
    start = 2 * count * number
    maps = noise(start, count).reshape(len(joints), heat[1], heat[0])
    mirrored = noise(start + count, count).reshape(maps.shape)
    places, scores = decode(flip_test(maps, mirrored, FLIP_PAIRS[skeleton]))
    to_picture = affine(center, scale, heat, inverse=True)
    if samples is None:
        pixels = crop.reshape(-1, 3)
    else:
        sampled = (noise(number * 2 * samples, 2 * samples).astype(float).reshape(-1, 2) * size).astype(int)
        pixels = crop[sampled[:, 1], sampled[:, 0]]
    return {
        "center": center.tolist(), "scale": scale.tolist(),
        "joints": [[float(v) for v in joint] for joint in joints],
        "on_map": [[float(v) for v in joint] for joint in on_map],
        "targets": targets,
        "decoded": [[*apply(to_picture, place).tolist(), float(score)] for place, score in zip(places, scores)],
        "pixels": pixels.ravel().tolist(),
    }


def read(path):
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2RGB)


def mpii_people(folder):
    for record in json.loads((folder / "annot/sample.json").read_text()):
        center, scale = np.array(record["center"], float), record["scale"]
        center[1] += 15 * scale
        joints = np.array(record["joints"]) - 1
        joints = [(x, y, flag) for (x, y), flag in zip(joints, record["joints_vis"])]
        yield record["image"], read(folder / "images" / record["image"]), center - 1, np.array([scale * 1.25] * 2), joints


def coco_people(folder, split, aspect, everyone):
    data = json.loads((folder / f"annotations/person_keypoints_{split}.json").read_text())
    for image in data["images"]:
        people = [p for p in data["annotations"] if p["image_id"] == image["id"] and not p["iscrowd"]]
        for record in people:
            x, y, w, h = record["bbox"]
            left, top = max(0, x), max(0, y)
            right, bottom = min(image["width"] - 1, left + max(0, w - 1)), min(image["height"] - 1, top + max(0, h - 1))
            if record["area"] <= 0 or right < left or bottom < top or max(record["keypoints"]) == 0:
                continue
            w, h = right - left, bottom - top
            center = [left + w * 0.5, top + h * 0.5]
            if w > aspect * h:
                h = w / aspect
            elif w < aspect * h:
                w = h * aspect
            k = record["keypoints"]
            joints = [(k[i], k[i + 1], min(k[i + 2], 1)) for i in range(0, 51, 3)]
            picture = read(folder / split / image["file_name"])
            scale = np.array([w / 200, h / 200], np.float32) * np.float32(1.25)
            yield image["file_name"], picture, np.array(center, np.float32), scale, joints
            if not everyone:
                break


def synthetic_people():
    rng = np.random.default_rng(1)
    for number in range(4):
        center, scale = rng.uniform(100, 400, 2), rng.uniform(0.5, 2.5)
        joints = [(*(center + rng.uniform(-90, 90, 2) * scale), int(rng.random() > 0.2)) for _ in range(16)]
        yield f"synthetic {number}", synthetic_picture(), np.float32(center), np.float32([scale] * 2), joints


def write(path, skeleton, size, people, samples):
    people = [
        {"picture": name, **person(skeleton, number, *rest, size, samples)}
        for number, (name, *rest) in enumerate(people)
    ]
    path.write_text(json.dumps({"skeleton": skeleton, "size": size, "people": people}, separators=(",", ":")) + "\n")
    print(path, len(people), "people,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    data, out = map(pathlib.Path, sys.argv[1:3])
    everyone = sys.argv[3:] == ["all"]
    samples = None if everyone else 500
    out.mkdir(parents=True, exist_ok=True)
    write_dark(out / "dark.json")
    write(out / "synthetic.json", "mpii", (256, 256), synthetic_people(), samples)
    write(out / "mpii.json", "mpii", (256, 256), mpii_people(data / "mpii"), samples)
    for split in ["train2017", "val2017"]:
        if everyone or split == "val2017":
            people = coco_people(data / "coco", split, 192 / 256, everyone)
            write(out / f"coco_{split}.json", "coco", (192, 256), people, samples)
