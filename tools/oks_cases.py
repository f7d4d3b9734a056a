"""Compares `ditn score coco` with pycocotools on random people, and makes the small case that the tests keep.

Needs: pip install numpy pycocotools. Run it in the project's folder:

    python tools/oks_cases.py check target/release/ditn 200    compares 200 random cases
    python tools/oks_cases.py write tests/oks                  writes truth.json, results.json, pycocotools.json
"""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]


def random_case(seed, pictures):
    """Annotations and results with crowds, unlabelled people, equal scores, people found twice, and clutter."""
    rng = np.random.default_rng(seed)
    images, people, results = [], [], []
    for image in rng.permutation(10 * pictures)[:pictures]:
        image = int(image) + 1
        images.append({"id": image, "file_name": f"{image}.jpg", "width": 640, "height": 480})
        for _ in range(rng.integers(0, 5)):
            size = rng.uniform(20, 300, 2)
            corner = rng.uniform(0, 400, 2)
            flags = rng.integers(0, 3, 17) * (rng.random() > 0.15)
            places = np.round(corner + rng.random((17, 2)) * size)
            keypoints = np.column_stack([places * (flags > 0)[:, None], flags])
            people.append({
                "id": len(people) + 1, "image_id": image, "category_id": 1,
                "bbox": np.round([*corner, *size], 2).tolist(), "area": round(float(size.prod() * rng.uniform(0.3, 0.8)), 4),
                "iscrowd": int(rng.random() < 0.1), "num_keypoints": int((flags > 0).sum()),
                "keypoints": keypoints.astype(int).ravel().tolist(),
            })
            for _ in range(rng.integers(0, 3)):
                error = rng.choice([0.0, 0.02, 0.05, 0.2]) * np.sqrt(size.prod())
                found = np.column_stack([places + rng.normal(0, 1, (17, 2)) * error, rng.random(17)])
                results.append({"image_id": image, "category_id": 1, "keypoints": np.round(found, 2).ravel().tolist(),
                                "score": round(float(rng.random()), 1)})
        for _ in range(rng.integers(0, 25) * (rng.random() < 0.2)):
            found = np.column_stack([rng.uniform(0, 640, (17, 2)), rng.random(17)])
            results.append({"image_id": image, "category_id": 1, "keypoints": np.round(found, 2).ravel().tolist(),
                            "score": round(float(rng.random()), 1)})
    order = rng.permutation(len(results))
    results = [results[i] for i in order]
    if rng.random() < 0.3:
        for result in results:
            result["bbox"] = np.round(rng.uniform(10, 250, 4), 1).tolist()
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}, results


def statistics(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(COCO(str(truth)), COCO(str(truth)).loadRes(str(results)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, map(float, evaluation.stats)))


def write(folder, case):
    truth, results = folder / "truth.json", folder / "results.json"
    truth.write_text(json.dumps(case[0], separators=(",", ":")) + "\n")
    results.write_text(json.dumps(case[1], separators=(",", ":")) + "\n")
    return truth, results


def check(ditn, cases):
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(cases):
            truth, results = write(pathlib.Path(folder), random_case(seed, int(seed % 17) + 2))
            if not json.loads(results.read_text()):
                continue
            expected = statistics(truth, results)
            command = [ditn, "score", "coco", "--json", "--truth", truth, "--results", results]
            ours = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            difference = max(abs(ours[name] - expected[name]) for name in NAMES)
            worst = max(worst, difference)
            if difference > 1e-9:
                print(f"seed {seed}: ditn {ours}, pycocotools {expected}")
    print(f"{cases} cases, largest difference {worst:.1e}")
    return worst <= 1e-9


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(0 if check(sys.argv[2], int(sys.argv[3])) else 1)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    scores = statistics(*write(folder, random_case(3, 8)))
    (folder / "pycocotools.json").write_text(json.dumps(scores) + "\n")
