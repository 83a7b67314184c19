# SPDX-License-Identifier: MIT OR Apache-2.0
"""opencv_frames.py URL FILE COUNT: writes the pictures that OpenCV's VideoCapture gives as grey samples.
COUNT 0 is all."""

import sys

import cv2

url, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
written = 0
with open(path, "wb") as file:
    while count == 0 or written < count:
        good, picture = capture.read()
        if not good:
            break
        file.write(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).tobytes())
        written += 1
