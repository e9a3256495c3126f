"""The world brain: slices of one average head, bent and lit so that no two are alike.

The average of 152 healthy adults (ICBM 2009a, symmetric; Fonov et al. 2011, doi 10.1016/j.neuroimage.2010.07.033) has
no variety of its own. It is made here: smooth random warps, the size of the head, wider and narrower ventricles,
tissues mixed to four kinds of contrast, the uneven light of a coil. There is no disease in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from vae.data.worlds.world import Sample, World, between, folder_of, rng_of

SIZE = 96
# How bright grey matter, white matter and fluid are in each kind of scan.
CONTRASTS = {
    "T1": (0.62, 0.95, 0.22),
    "T2": (0.62, 0.42, 1.0),
    "PD": (0.85, 0.7, 0.95),
    "FLAIR": (0.7, 0.5, 0.12),
}
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_BOX = ((70, 127), (88, 163), (68, 102))  # voxels in which the lateral ventricles are the largest fluid
_AROUND, _REACH, _STEPS = 30, 12.0, 4  # mm about them that move at all, that move by a third, steps of the flow


@functools.cache
def _volumes() -> tuple[np.ndarray, ...]:
    """Grey matter, white matter, fluid and T1, float32 (197, 233, 189) in 0..1, 1 mm a voxel."""
    import nibabel
    from scipy.ndimage import gaussian_filter

    folder = folder_of("nilearn") / "datasets" / "data"
    t1, grey, white = (
        np.asarray(nibabel.load(folder / _FILE.format(part)).dataobj, np.float32) / 255 for part in ("t1", "gm", "wm")
    )
    inside = gaussian_filter((t1 > 0.05).astype(np.float32), 1) > 0.5
    return grey, white, np.clip(inside - grey - white, 0, 1), t1


@functools.cache
def _walls() -> tuple[np.ndarray, np.ndarray]:
    """Which way the ventricles' walls lie: a field (3, a, b, c), and the voxel of its first corner (3,).

    The gradient of the distance to the wall (outwards, 1 long, 0 in the middle of a ventricle), faded out by _REACH.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, label

    fluid = _volumes()[2]
    cut = tuple(slice(low, high) for low, high in _BOX)
    parts, _ = label(fluid[cut] > 0.5)
    inside = np.zeros(fluid.shape, bool)
    inside[cut] = parts == 1 + np.bincount(parts[parts > 0] - 1).argmax()
    corner = np.array([max(0, low - _AROUND) for low, _ in _BOX])
    inside = inside[tuple(slice(first, high + _AROUND) for first, (_, high) in zip(corner, _BOX))]
    away = gaussian_filter(distance_transform_edt(~inside) - distance_transform_edt(inside), 1.5)
    return np.stack(np.gradient(away)) * np.exp(-((np.maximum(away, 0) / _REACH) ** 2)), corner


def _widened(voxel: np.ndarray, by: float) -> np.ndarray:
    """Places (3, s, s) in voxels -> where each was before the walls moved outwards by so many mm.

    In small steps, each against the field: so a place in a narrow horn comes to its middle, not out on the other side.
    """
    from scipy.ndimage import map_coordinates

    field, corner = _walls()
    for _ in range(_STEPS):
        here = voxel - corner[:, None, None]
        voxel = voxel - by / _STEPS * np.stack([map_coordinates(part, here, order=1) for part in field])
    return voxel


def _smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """A smooth random field (SIZE, SIZE) of mean square 1."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.normal(size=(SIZE, SIZE)), sigma)
    return field / max(field.std(), 1e-9)


def slice_of(rng: np.random.Generator, **fixed: float) -> tuple[np.ndarray, dict[str, float]]:
    """One axial slice, uint8 (SIZE, SIZE), front up, and its factors; `fixed` says what some of them are."""
    from scipy.ndimage import map_coordinates

    volumes = _volumes()
    kind = list(CONTRASTS)[int(rng.integers(len(CONTRASTS)))]
    told = {
        "height": between(rng, -36, 50),
        "nod": between(rng, -7, 7),
        "lean": between(rng, -7, 7),
        "head_width": between(rng, 0.92, 1.08),
        "head_length": between(rng, 0.92, 1.08),
        "ventricles": between(rng, -1.5, 5),
        "coil_shading": between(rng, 0, 0.16),
    } | fixed
    step = 2.15  # mm a pixel
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * step
    u, v = np.meshgrid(axis, axis, indexing="ij")
    tilt = np.tan(np.deg2rad([told["lean"], told["nod"]]))
    place = np.stack([u, v, told["height"] + tilt[0] * u + tilt[1] * v])  # (3, s, s), mm from the volume's middle
    place /= np.array([told["head_width"], told["head_length"], 1.0])[:, None, None]
    strength = rng.uniform(1.0, 3.0)
    place += strength * np.stack([_smooth(rng, 14) for _ in range(3)])
    voxel = _widened(place + np.array(volumes[0].shape)[:, None, None] / 2, told["ventricles"])
    grey, white, fluid, t1 = (map_coordinates(volume, voxel, order=1) for volume in volumes)
    bright = np.array(CONTRASTS[kind]) * rng.uniform(0.95, 1.05, 3)
    image = bright[0] * grey + bright[1] * white + bright[2] * fluid
    if kind == "T1":
        image = 0.6 * image + 0.44 * t1
    image = image * (1 + told["coil_shading"] * _smooth(rng, 28))
    picture = (255 * np.clip(np.rot90(image), 0, 1)).round().astype(np.uint8)
    return picture, {**told, **{name: float(name == kind) for name in CONTRASTS}}


def draw(count: int, seed: int) -> Iterator[Sample]:
    """Slices at random heights."""
    for place in range(count):
        picture, factors = slice_of(rng_of(seed, place))
        yield Sample(f"slice-{place:06d}", picture, factors)


WORLD = World(
    name="brain",
    title="Brain scans",
    draw=draw,
    packages=("nilearn", "nibabel", "scipy"),
    count=14_000,
    factors={
        "height": "height of the slice (mm)",
        "nod": "tilt forwards (degrees)",
        "lean": "tilt to the side (degrees)",
        "head_width": "width of the head (average heads)",
        "head_length": "length of the head (average heads)",
        "ventricles": "size of the ventricles (mm of their walls)",
        "coil_shading": "uneven light (share of the brightness)",
    },
    labels={name: f"a {name} scan" for name in CONTRASTS},
    licence="Copyright 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, "
    "McGill University: use, copy, modify and distribute for any purpose without fee, with this notice",
    player="scan",
    seen={"ventricles": {f"in a {name} scan": {"height": (-25, 5), name: (1, 1)} for name in CONTRASTS}},
    limits=(
        "Made from one average of 152 healthy adults by random warps: no person's brain, no disease, not for diagnosis.",
        "Axial slices only, from the base of the brain to its top; folds of the cortex are smooth.",
    ),
)
