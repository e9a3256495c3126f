"""Figures of a map: equal to their definitions on small cases, and at their ends where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vae.evaluation import reducing


def naive_continuity(data: np.ndarray, places: np.ndarray, k: int) -> float:
    """Venna and Kaski's sum, word by word."""
    n, total = len(data), 0

    def order(points: np.ndarray, i: int) -> list[int]:
        apart = np.linalg.norm(points - points[i], axis=1)
        return [int(j) for j in np.argsort(apart, kind="stable") if j != i]

    for i in range(n):
        near, on_map = order(data, i)[:k], order(places, i)
        total += sum(on_map.index(j) + 1 - k for j in near if j not in on_map[:k])
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * total


@pytest.mark.parametrize("k", [1, 4, 10])
def test_continuity_is_its_definition(k: int) -> None:
    rng = np.random.default_rng(0)
    data, places = rng.standard_normal((40, 5)), rng.standard_normal((40, 2))
    assert reducing.continuity(data, places, k) == pytest.approx(naive_continuity(data, places, k))


def test_a_true_map_is_perfect_and_a_torn_one_is_not() -> None:
    line = np.linspace(0, 1, 60)[:, None]
    assert reducing.trustworthiness(line, line) == 1 and reducing.continuity(line, line) == 1
    torn = np.where(line < 0.5, line, line + 50)[:, [0]]
    torn[::7] -= 100  # some points are moved far off: neighbours in the data are lost
    assert reducing.continuity(line, torn) < 0.9
    folded = np.abs(line - 0.5)  # both ends fall together: strangers become neighbours
    assert reducing.trustworthiness(line, folded) < reducing.continuity(line, folded)


def test_purity_counts_the_own_class_and_chance_is_its_floor() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], 50)
    apart = rng.standard_normal((100, 2)) + 20 * classes[:, None]
    assert reducing.purity(apart, classes) == 1
    mixed = reducing.purity(rng.standard_normal((100, 2)), classes)
    assert mixed == pytest.approx(reducing.chance(classes), abs=0.08) and reducing.chance(classes) == 0.5
    unknown = classes.copy()
    unknown[:10] = -1
    assert reducing.purity(apart, unknown) == 1 and np.isnan(reducing.purity(apart, np.full(100, -1)))


def test_too_few_points_are_refused_and_small_sets_ask_for_fewer_neighbours() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        reducing.continuity(np.zeros((4, 2)), np.zeros((4, 2)))
    data = np.random.default_rng(0).standard_normal((8, 3))
    assert reducing.judged(data, data, None) == {"trustworthiness": 1, "continuity": 1}


def test_sizes_rise_to_the_last_one() -> None:
    assert reducing.sizes_up_to(10) == [1, 2, 3, 4, 6, 8, 10]
    assert reducing.sizes_up_to(1) == [1]
