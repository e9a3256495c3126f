"""What the page is told of pictures and costs before a training."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from tests.jobs.making import in_process, png, recipe
from vae.config import DataConfig
from vae.jobs import answers, jobs


def test_trial_measures_time_and_memory(home):
    cost = answers.trial({"recipe": recipe(50).to_dict(), "count": 120})
    assert cost["steps"] == 50 and cost["seconds"] > 0 and cost["images_per_s"] > 1
    assert 50e6 < cost["memory"] < cost["memory_limit"]
    by_time = answers.trial({"recipe": recipe(0, minutes=0.5).to_dict(), "count": 120})
    assert by_time["seconds"] == pytest.approx(30, rel=0.2)


def inspect(path: Path, size: int = 8, channels: int = 3) -> dict:
    """What the page is told of a zip or folder."""
    return answers.inspect({"data": DataConfig((str(path),)).to_dict(), "image_size": size, "channels": channels})


def test_hostile_and_broken_archives_are_counted_and_used_as_far_as_they_go(tmp_path):
    path = tmp_path / "mixed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20):  # mixed sizes and modes
            archive.writestr(f"{i % 2}/good-{i}.png", png(i, 9 + i, ["L", "RGB", "P", "LA", "RGBA"][i % 5]))
        archive.writestr("0/again.png", png(0, 9))
        archive.writestr("../../outside.png", png(99))
        link = zipfile.ZipInfo("0/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        for i in range(1000):
            archive.writestr(f"1/bad-{i}.png", b"\x89PNG\r\n\x1a\n" + bytes([i % 251]) * 40)
    found = inspect(path)
    assert (found["count"], found["duplicates"], found["refused_total"]) == (20, 1, 1002)
    reasons = {reason: count for reason, count, _ in found["refused"]}
    assert reasons["has a path outside the archive"] == 1 and reasons["is a link or a special file"] == 1
    assert sum(count for reason, count in reasons.items() if "cannot be decoded" in reason) == 1000
    assert found["labels"] == {"0": 10, "1": 10}
    assert sorted(tmp_path.iterdir()) == [path], "nothing is unpacked"
    assert found["sheet"].startswith("iVBOR")


def test_a_bomb_is_refused_and_one_picture_is_a_data_set(home, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(30 * 2**20))
    with pytest.raises(ValueError, match="no usable"):
        inspect(bomb)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "one.png").write_bytes(png(1))
    assert inspect(alone)["count"] == 1
    job = jobs.create(recipe(6).replace(data={"sources": [str(alone)]}), "One picture")
    assert in_process(job, monkeypatch) == 0 and job.state == "finished", job.status
