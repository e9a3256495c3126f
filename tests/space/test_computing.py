"""UMAP and t-SNE in processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.space.lab import codes
from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.space import computing, kept, views
from vae.space.errors import AtlasError


@pytest.mark.parametrize("name", ["umap-5", "tsne-10"])
def test_computed_views_keep_clusters_apart_and_are_cached(clusters: Bundle, home: Path, name: str) -> None:
    spec = views.parse(name.replace("-", ":"))
    assert views.view(clusters, spec) is None
    job = computing.compute(clusters, name)
    assert job is computing.compute(clusters, name)  # a second visitor joins in
    assert job.wait(300) == "done", job.error
    assert job.progress == 1 and job.stage != "Starting"
    view = views.view(clusters, spec)
    one, two = view.xy[:120], view.xy[120:]
    spread = max(one.std(0).max(), two.std(0).max())
    assert np.linalg.norm(one.mean(0) - two.mean(0)) > 3 * spread
    assert list(home.glob("cache/*.part")) == []


def test_a_damaged_cache_file_is_made_anew(clusters: Bundle, home: Path) -> None:
    path = kept.cache_file(clusters, "umap-50")
    path.parent.mkdir(parents=True)
    for content in (b"no archive", b""):
        path.write_bytes(content)
        assert views.view(clusters, views.parse("umap:50")) is None
    np.savez(path, values=np.full((240, 2), np.nan))
    assert views.view(clusters, views.parse("umap:50")) is None
    np.savez(path, values=np.zeros((239, 2), np.float32))
    assert views.view(clusters, views.parse("umap:50")) is None


def test_a_computation_can_be_cancelled_and_leaves_nothing(clusters: Bundle, home: Path) -> None:
    job = computing.compute(clusters, "umap-15")
    job.cancel()
    assert job.wait(300) == "cancelled" and not job.target.exists()
    with pytest.raises(AtlasError, match="no computation"):
        computing.compute(clusters, "umap-16")


def test_a_failed_computation_says_why(tmp_path: Path, home: Path) -> None:
    broken = write_bundle(tmp_path / "broken", codes(40)[0])
    (tmp_path / "broken" / "stats.npz").write_bytes(b"changed")
    job = computing.compute(broken, "error")
    assert job.wait(300) == "failed"
    assert "stats.npz" in job.error and job.error.count(".") <= 3
