"""The world roads: what the driver of CarRacing sees, with what the driver does and how the road lies.

A driver of our own follows the road and now and then turns the wheel at random, so that the pictures hold grass, bends
and skids as well. Frames of a drive follow each other: `drive` and `frame` in the table say which comes next, and the
actions of a row are those that lead from its frame to the next. Every eighth drive lies in `test`, the others in `train`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from vae.data.worlds.world import Sample, World, rng_of

SIZE = 64
FRAMES = 400  # of a drive
SKIPPED = 50  # frames while the camera zooms in
TEST_EVERY = 8
AHEAD, FAR = 4, 12  # tiles ahead that the driver steers by, and up to which a bend is measured
_TILE_HALF = 40 / 6  # half the road's width in the units of the simulation


def _ahead(track: np.ndarray, place: np.ndarray, angle: float) -> dict[str, float]:
    """How the road lies before a car at a place (x, y) that looks at `angle` radians; angles in degrees, right is +."""
    near = int(np.linalg.norm(track - place, axis=1).argmin())
    along = track[(near + 1) % len(track)] - track[near - 1]
    far = track[(near + FAR + 1) % len(track)] - track[(near + FAR - 1) % len(track)]
    side = np.array([along[1], -along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
    forward = np.array([-np.sin(angle), np.cos(angle)])

    def degrees(a: np.ndarray, b: np.ndarray) -> float:
        return float(-np.rad2deg(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))

    aim = track[(near + AHEAD) % len(track)] - place
    return {
        "aim": degrees(forward, aim),
        "road_angle": degrees(forward, along),
        "bend": degrees(along, far),
        "offset": float((place - track[near]) @ side) / _TILE_HALF,
    }


class _Driver:
    """Follows the road with an unsteady hand, and sometimes turns the wheel at random for a while."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.wander, self.left, self.turn = rng, 0.0, 0, 0.0
        self.unsteady = float(rng.choice([0.05, 0.15, 0.3]))

    def action(self, aim: float, speed: float) -> np.ndarray:
        """Steering -1..1, gas and brake 0..1."""
        rng, aim = self.rng, np.deg2rad(aim)
        if self.left > 0:
            self.left -= 1
            steering = self.turn
        else:
            steering = 1.4 * aim + self.wander
            if rng.random() < 0.02:
                self.left, self.turn = int(rng.integers(4, 14)), float(rng.choice([-1, 0, 1]))
        self.wander = 0.95 * self.wander + self.unsteady * float(rng.normal())
        gas = 0.3 if speed < rng.choice([30, 45]) else 0.0
        brake = 0.15 if speed > 50 or (abs(aim) > 0.5 and speed > 28) else 0.0
        return np.array([np.clip(steering, -1, 1), gas, brake], np.float64)


def picture_of(view: np.ndarray) -> np.ndarray:
    """The simulation's view (96, 96, 3), without its instruments, uint8 (SIZE, SIZE, 3)."""
    return np.asarray(Image.fromarray(view[:84, 6:90]).resize((SIZE, SIZE), Image.Resampling.BOX))


def drive_of(environment: Any, drive: int, seed: int, frames: int) -> Iterator[Sample]:
    """One drive on a track of its own."""
    part = "test" if drive % TEST_EVERY == TEST_EVERY - 1 else "train"
    rng = rng_of(seed, drive)
    view, _ = environment.reset(seed=int(rng.integers(2**31)))
    game, driver = environment.unwrapped, _Driver(rng)
    track = np.array([tile[2:4] for tile in game.track])
    for frame in range(frames + SKIPPED):
        hull = game.car.hull
        speed = float(np.linalg.norm(np.array(hull.linearVelocity)))
        road = _ahead(track, np.array(hull.position), hull.angle)
        action = driver.action(road.pop("aim"), speed)
        if frame >= SKIPPED:
            told = {"drive": drive, "frame": frame - SKIPPED, "speed": speed, **road}
            told |= dict(zip(("steering", "gas", "brake"), map(float, action)))
            yield Sample(f"{part}/drive-{drive:04d}-{frame - SKIPPED:04d}", picture_of(view), told)
        view, _, ended, cut, _ = environment.step(action)
        if ended or cut:
            return


def draw(count: int, seed: int) -> Iterator[Sample]:
    """Drives on random tracks, frame by frame."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window
    import gymnasium

    environment = gymnasium.make("CarRacing-v3", render_mode=None, max_episode_steps=FRAMES + 2 * SKIPPED)
    drive = 0
    try:
        while count > 0:
            for sample in drive_of(environment, drive, seed, min(FRAMES, count)):
                yield sample
                count -= 1
            drive += 1
    finally:
        environment.close()


WORLD = World(
    name="roads",
    title="Roads",
    draw=draw,
    packages=("gymnasium", "Box2D", "pygame"),
    count=16_000,
    factors={
        "drive": "number of the drive",
        "frame": "number of the frame in it (1/50 s)",
        "speed": "speed (units a second)",
        "road_angle": "how far the road points to the right (degrees)",
        "bend": "bend of the road ahead to the right (degrees)",
        "offset": "place on the road, right is + (half widths)",
        "steering": "steering, right is + (full locks)",
        "gas": "gas (share)",
        "brake": "brake (share)",
    },
    labels={},
    licence="pictures computed by CarRacing of Gymnasium (MIT licence)",
    player="road",
    order=("drive", "frame"),
    limits=(
        "A dream drifts: the road soon differs from the true one under the same actions, though it goes on being a road.",
        "One simulation, one kind of road, no other cars; nothing here can steer a real car.",
    ),
)
