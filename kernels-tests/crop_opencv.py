"""Makes crop_opencv.png: what OpenCV's warpAffine gives for the transforms of crop.rs, one crop below the other.

Needs: pip install numpy 'opencv-python-headless==4.10.0.84'. Run it in this folder.
"""

import cv2
import numpy as np

WIDTH, HEIGHT = 24, 20
TRANSFORMS = [  # from a pixel of the crop to one of the picture, in 4096ths
    [4096, 0, 0, 0, 4096, 0],
    [2901, -2897, 40961, 2897, 2901, -20483],
    [-3547, 2051, 81937, 2049, 3551, -10001],
    [7001, 333, -30011, -1235, 6007, 8191],
    [911, 1501, 20477, -1499, 913, 70003],
    [-4096, 0, 126976, 0, 4096, -2048],
]

words = (np.arange(32 * 28, dtype=np.uint32) * np.uint32(0x9E3779B1)) ^ np.uint32(0x5BD1E995)
picture = np.stack([words & 255, words >> 8 & 255, words >> 16 & 255], axis=-1).astype(np.uint8).reshape(28, 32, 3)
crops = [
    cv2.warpAffine(picture, np.array(t).reshape(2, 3) / 4096, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    for t in TRANSFORMS
]
cv2.imwrite("crop_opencv.png", np.concatenate(crops)[..., ::-1])
