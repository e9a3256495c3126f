"""MIG, SAP and DCI on made-up codes whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from vae.evaluation import disentangling as d

COUNT = 4000


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    """A label, four classes and a number, independent of each other."""
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, 2, COUNT), rng.integers(0, 4, COUNT), rng.standard_normal(COUNT)], 1).astype(float)


@pytest.fixture(scope="module")
def sorted_code(factors: np.ndarray) -> np.ndarray:
    """One axis a factor, and two that say nothing."""
    rng = np.random.default_rng(1)
    return np.concatenate([factors + 0.01 * rng.standard_normal(factors.shape), rng.standard_normal((COUNT, 2))], 1)


def test_information_of_known_cases() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 20_000)
    assert d.entropy(a) == pytest.approx(np.log(4), rel=1e-3)
    assert d.mutual_information(a, a) == pytest.approx(np.log(4), rel=1e-3)
    assert d.mutual_information(a, a // 2) == pytest.approx(np.log(2), rel=1e-2)
    assert d.mutual_information(a, rng.integers(0, 9, 20_000)) < 1e-3


def test_bins_are_as_full_and_few_values_stay() -> None:
    counts = np.bincount(d.binned(np.random.default_rng(0).standard_normal(2000)))
    assert len(counts) == d.BINS and counts.min() == counts.max() == 100
    assert d.binned(np.array([5, 5, 9])).tolist() == [0, 0, 1]


def test_a_sorted_code_scores_near_one(sorted_code: np.ndarray, factors: np.ndarray) -> None:
    found = d.judged(sorted_code, factors, ("label", "class", "number"))
    assert [one["best"] for one in found["factors"]] == [0, 1, 2]
    assert found["mig"] > 0.88 and found["sap"] > 0.85
    assert found["disentanglement"] > 0.85 and found["completeness"] > 0.85 and found["informativeness"] > 0.95


def test_a_turned_code_says_as_much_and_is_not_sorted(sorted_code: np.ndarray, factors: np.ndarray) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))
    found = d.judged(sorted_code @ turn, factors, ("label", "class", "number"))
    assert found["mig"] < 0.3 and found["sap"] < 0.35 and found["disentanglement"] < 0.45
    assert found["informativeness"] > 0.85


def test_a_code_that_says_nothing_scores_nothing(factors: np.ndarray) -> None:
    noise = np.random.default_rng(3).standard_normal((COUNT, 5))
    found = d.judged(noise, factors, ("label", "class", "number"))
    assert max(found[key] for key in ("mig", "sap", "disentanglement", "completeness", "informativeness")) < 0.1


def test_the_gap_is_between_the_best_two_axes() -> None:
    assert d.mig(np.array([[0.7, 0.2], [0.5, 0.1], [0.1, 0.2]])) == pytest.approx([0.2, 0.0])
    assert d.mig(np.array([[0.7]])) == pytest.approx([0.7])


def test_sap_of_two_axes_that_say_the_same_is_zero(factors: np.ndarray) -> None:
    twice = np.stack([factors[:, 0], factors[:, 0]], 1) + 0.01 * np.random.default_rng(4).standard_normal((COUNT, 2))
    assert d.sap(twice, factors[:, :1])[0] < 0.01
    alone = np.stack([factors[:, 0], np.random.default_rng(5).standard_normal(COUNT)], 1)
    assert d.sap(alone, factors[:, :1])[0] == pytest.approx(1, abs=0.1)


def test_dci_is_its_formula() -> None:
    """Two axes: one serves a factor alone, the other two alike."""
    table = np.array([[1.0, 0, 0], [0, 1.0, 1.0]])
    found = d.dci(table, np.array([1.0, 0.5, 0.0]))
    assert found["disentanglement"] == pytest.approx(1 / 3 * 1 + 2 / 3 * (1 - np.log(2) / np.log(3)))
    assert found["completeness"] == pytest.approx(1) and found["informativeness"] == pytest.approx(0.5)
    assert d.dci(np.ones((2, 1)), np.ones(1))["disentanglement"] is None


def test_classes_are_one_factor_and_constant_labels_go() -> None:
    values, names = d.factors_of(np.eye(3, dtype=np.uint8)[[0, 1, 2, 1]], ("a", "b", "c"))
    assert values[:, 0].tolist() == [0, 1, 2, 1] and names == ("Class",)
    labels = np.array([[1, 0, 1], [1, 1, 0], [1, 1, 1]], np.uint8)
    values, names = d.factors_of(labels, ("always", "x", "y"))
    assert names == ("x", "y") and values.shape == (3, 2)
