"""Faces in photos: read a photo, find its faces, align them to a model's eye template, paste them back.

The one name by which the wings above know all of it; each part has a file of its own.
Points are (x, y) in pixels, (0, 0) in the middle of the top left pixel. Pictures are uint8
(h, w, 3) RGB. dlib and its models are loaded on first use.
"""

from vae.data.kinds import MAX_BYTES, PictureError
from vae.data.pictures import read_image
from vae.photos.aligning import TEMPLATE, Eyes, FaceError, Point, align, align_matrix, usual_eyes
from vae.photos.describing import SAME_PERSON, describe, same_person
from vae.photos.finding import (
    MIN_EYE_DISTANCE,
    USABLE_EYE_DISTANCE,
    Face,
    Faces,
    check_face,
    find_face,
    find_faces,
    remark,
)
from vae.photos.pasting import detail, feather_mask, paste_back

ImageError = PictureError  # the name that pages catch

__all__ = [
    "MAX_BYTES", "MIN_EYE_DISTANCE", "SAME_PERSON", "TEMPLATE", "USABLE_EYE_DISTANCE", "Eyes", "Face", "FaceError", "Faces", "ImageError", "Point",
    "align", "align_matrix", "check_face", "describe", "detail", "feather_mask", "find_face", "find_faces",
    "paste_back", "read_image", "remark", "same_person", "usual_eyes",
]  # fmt: skip
