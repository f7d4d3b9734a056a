"""What the network that ships with the program finds in ordinary photographs: COCO people, a picture each.

    python tools/shipped_sheet.py --data DIR [--ditn target/release/ditn] [--out docs/shipped.svg] [--drawn FOLDER]

DIR holds coco/ in the release's layout (datasets/coco/README.md). Of the pictures that are there, those of val2017 first,
each in the order of its number, the first twelve are taken that show a person with at least 9 labelled joints, right
shoulder and left hip among them, at least 120 pixels high; of each the largest such person, with the annotated box. OUT is
a drawing of the skeletons alone, without the photographs: annotated in grey, found in colour. The photographs with the
skeletons in them go to FOLDER. Prints how many labelled joints of arms and legs are found within 0.2 of the distance from
right shoulder to left hip, as PCK@0.2 counts them.

Needs Python alone.
"""

import argparse
import json
import math
import pathlib
import subprocess
import tempfile

PICTURES = 12
COLUMNS = 6
CELL = 150
MARGIN = 12
COCO = ["nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
        "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
        "right ankle"]
LIMBS = [(side, a, b) for side in ("left", "right")
         for a, b in [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip")]]
COLOURS = {"left": "#2a7de1", "right": "#e8622c", None: "#1f9d55"}


def chosen(data):
    """(picture, box, joints by name) of the people."""
    found = []
    for split in ("val2017", "train2017"):
        file = data / "coco" / "annotations" / f"person_keypoints_{split}.json"
        if not file.exists():
            continue
        people = {}
        for person in json.loads(file.read_text())["annotations"]:
            k = person.get("keypoints", [])
            joints = {name: k[3 * n:3 * n + 2] for n, name in enumerate(COCO) if k and k[3 * n + 2] > 0}
            fits = not person["iscrowd"] and len(joints) >= 9 and person["bbox"][3] >= 120
            if fits and {"right shoulder", "left hip"} <= joints.keys():
                area = person["bbox"][2] * person["bbox"][3]
                people[person["image_id"]] = max(people.get(person["image_id"], (0,)), (area, person["bbox"], joints),
                                                 key=lambda entry: entry[0])
        for number, (_, box, joints) in sorted(people.items()):
            picture = data / "coco" / split / f"{number:012}.jpg"
            if picture.exists() and len(found) < PICTURES:
                found.append((picture, box, joints))
    return found


def predict(ditn, people, out):
    """The joints by name that the network that ships finds for each person."""
    boxes = out / "boxes.json"
    boxes.write_text(json.dumps([{"picture": str(picture), "box": box} for picture, box, _ in people]))
    command = [ditn, "predict", *(picture for picture, _, _ in people), "--boxes", boxes, "--out", out, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [{name: (joint["x"], joint["y"]) for name, joint in zip(report["joints"], person["joints"])}
            for person in report["people"]]


def lines(joints):
    """(side, ends) of the bones of a skeleton."""
    pairs = [(side, f"{side} {a}", f"{side} {b}") for side, a, b in LIMBS]
    pairs += [(None, "left shoulder", "right shoulder"), (None, "left hip", "right hip"), (None, "neck", "head top")]
    return [(side, joints[a], joints[b]) for side, a, b in pairs if a in joints and b in joints]


def cell(person, found, left, top):
    """One person's skeletons in a square at that place."""
    _, (x, y, width, height), truth = person
    scale = (CELL - 2 * MARGIN) / max(width, height)

    def at(place):
        return (left + CELL / 2 + (place[0] - x - width / 2) * scale, top + CELL / 2 + (place[1] - y - height / 2) * scale)

    clip = f"c{left}-{top}"
    drawn = [f'<clipPath id="{clip}"><rect x="{left}" y="{top}" width="{CELL - 4}" height="{CELL - 4}"/></clipPath>',
             f'<g clip-path="url(#{clip})"><rect x="{left}" y="{top}" width="{CELL}" height="{CELL}" fill="#f4f4f2"/>']
    for joints, thickness, colour in [(truth, 7, lambda _: "#bdbdb8"), (found, 2.5, COLOURS.get)]:
        for side, a, b in lines(joints):
            (ax, ay), (bx, by) = at(a), at(b)
            drawn.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" stroke="{colour(side)}" '
                         f'stroke-width="{thickness}" stroke-linecap="round"/>')
    return drawn + ["</g>"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--ditn", default="target/release/ditn")
    parser.add_argument("--out", type=pathlib.Path, default="docs/shipped.svg")
    parser.add_argument("--drawn", type=pathlib.Path)
    arguments = parser.parse_args()
    people = chosen(arguments.data)
    with tempfile.TemporaryDirectory() as scratch:
        drawn = arguments.drawn or pathlib.Path(scratch)
        drawn.mkdir(parents=True, exist_ok=True)
        poses = predict(arguments.ditn, people, drawn)

    hits = labelled = 0
    for person, found in zip(people, poses):
        picture, _, truth = person
        near = 0.2 * math.dist(truth["right shoulder"], truth["left hip"])
        counted = [name for name in truth if name in found]
        hit = sum(math.dist(truth[name], found[name]) <= near for name in counted)
        print(f"{picture.name}  {hit:2} of {len(counted)}")
        hits, labelled = hits + hit, labelled + len(counted)
    print(f"all  {hits} of {labelled}")

    rows = -(-len(people) // COLUMNS)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * CELL}" height="{rows * CELL}">',
           '<rect width="100%" height="100%" fill="white"/>']
    for number, (person, found) in enumerate(zip(people, poses)):
        svg += cell(person, found, number % COLUMNS * CELL + 2, number // COLUMNS * CELL + 2)
    arguments.out.write_text("\n".join(svg + ["</svg>", ""]))


if __name__ == "__main__":
    main()
