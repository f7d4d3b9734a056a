"""Makes a small file in the structure of MPII's original release, mpii_human_pose_v1_u12_1.mat, for the tests.

Needs: pip install numpy scipy. Run it in the project's folder: python tools/mpii_release.py tests/mpii/release.mat
"""

import sys

import numpy as np
from scipy.io import savemat


def structs(records):
    """A 1 x N structure array; every record has the same fields."""
    array = np.empty((1, len(records)), dtype=[(name, object) for name in records[0]])
    for i, record in enumerate(records):
        for name, value in record.items():
            array[0, i][name] = value
    return array


EMPTY = np.zeros((0, 0))


def person(points, head=(10.0, 20.0, 40.0, 60.0), scale=2.0, center=(120.0, 140.0)):
    x1, y1, x2, y2 = head
    return {
        "x1": x1, "y1": y1, "x2": x2, "y2": y2,
        "annopoints": structs([{"point": structs(points)}]) if points else EMPTY,
        "scale": scale if scale else EMPTY,
        "objpos": structs([{"x": center[0], "y": center[1]}]) if center else EMPTY,
    }


def picture(name, people):
    return {
        "image": structs([{"name": name}]), "annorect": structs(people) if people else EMPTY,
        "frame_sec": EMPTY, "vididx": EMPTY,
    }


def point(x, y, joint, visible):
    return {"x": x, "y": y, "id": float(joint), "is_visible": visible}


whole = person([point(100.0 + j, 200.5 + 2 * j, j, float(j % 2 == 0)) for j in reversed(range(16))])
spelled = person([point(5.0, 6.0, 9, "0"), point(7.0, 8.0, 6, "1")])
unknown = person([point(9.0, 10.0, 0, EMPTY)])
headless = {key: value for key, value in whole.items() if key not in ("x1", "y1", "x2", "y2")}
only_head = {key: value for key, value in whole.items() if key in ("x1", "y1", "x2", "y2")}

pictures = [
    # Of these, the third has no joints, the fourth no place.
    picture("first.jpg", [whole, spelled, person([]), person([point(1.0, 2.0, 3, 1.0)], scale=None, center=None)]),
    picture("second.jpg", [unknown]),
    # A test picture.
    picture("third.jpg", [only_head]),
    picture("fourth.jpg", [headless]),
    picture("fifth.jpg", []),
]
release = structs([{
    "annolist": structs(pictures),
    "img_train": np.array([[1, 1, 0, 1, 1]], dtype=np.uint8),
    "version": "12",
    "single_person": np.array([[np.array([1.0])], [np.array([1.0])], [EMPTY], [np.array([1.0])], [EMPTY]], dtype=object),
}])
savemat(sys.argv[1], {"RELEASE": release}, do_compression=True)
