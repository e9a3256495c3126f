"""The .lsz file: exact there and back, near the entropy bound, the same in every process, and no stranger gets in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from vae import children
from vae.bundles.bundle import Bundle, open_bundle
from vae.evaluation import lsz
from vae.evaluation.coding import STEPS, Spread, factor, finest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """64 numbers of different spread, precise to exp(-1.5) of a unit."""
    spread = np.linspace(0.2, 3, 64)
    mu = np.random.default_rng(0).standard_normal((1000, 64)) * spread
    return write_bundle(tmp_path_factory.mktemp("models") / "wide", mu)


def test_a_thousand_codes_come_back_exactly_near_the_bound(model: Bundle) -> None:
    packed = lsz.encode(model, model.codes.mu)
    again = lsz.decode(model, packed.data)
    assert np.array_equal(again.symbols, packed.symbols) and len(again.symbols) == 1000
    assert packed.bound / 8 < len(packed.data) < 1.005 * packed.bound / 8 + lsz.overhead(1000)


def test_the_bound_is_the_entropy_of_what_is_written(model: Bundle) -> None:
    """Gaussian numbers rounded to a fine step need h(N) - log2(step) bits each."""
    packed = lsz.encode(model, model.codes.mu, 8)
    spread = lsz.spread_of(model)
    theory = (0.5 * np.log2(2 * np.pi * np.e) + np.log2(spread.std / spread.widths(8))).sum()
    assert packed.bound / 1000 == pytest.approx(theory, rel=0.01)


def test_one_picture_costs_no_more_than_a_byte_over_its_bound(model: Bundle) -> None:
    for mu in model.codes.mu[:20]:
        packed = lsz.encode(model, mu[None])
        assert len(packed.data) - lsz.overhead(1) <= packed.bound / 8 + 1.5
        assert np.array_equal(lsz.decode(model, packed.data).symbols, packed.symbols)


def test_the_natural_step_adds_noise_of_the_posteriors_variance(model: Bundle) -> None:
    packed = lsz.encode(model, model.codes.mu)
    error = ((lsz.codes_of(model, packed) - model.codes.mu) ** 2).mean(0)
    wide = lsz.spread_of(model).std > 1  # where the spread of the codes is well over a step
    assert error[wide] == pytest.approx(np.exp(-3.0), rel=0.2)


def test_a_budget_is_kept_and_used(model: Bundle) -> None:
    mu, before = model.codes.mu[:1], np.inf
    for most in (20, 30, 40, 60):
        packed = lsz.encode_within(model, mu, most)
        assert packed is not None and most - 6 <= len(packed.data) <= most
        error = float(((lsz.codes_of(model, packed) - mu) ** 2).mean())
        assert error < before
        before = error
    assert lsz.encode_within(model, mu, lsz.overhead(1) - 1) is None


def test_another_process_writes_and_reads_the_same_bytes(model: Bundle, tmp_path: Path) -> None:
    mine = lsz.encode(model, model.codes.mu[:5])
    (tmp_path / "mine.lsz").write_bytes(mine.data)
    program = (
        "import sys, pathlib, numpy as np\n"
        "from vae.bundles.bundle import open_bundle\nfrom vae.evaluation import lsz\n"
        "bundle, file = open_bundle(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "symbols = lsz.decode(bundle, file.read_bytes()).symbols\n"
        "assert lsz.encode(bundle, bundle.codes.mu[:5]).data == file.read_bytes()\n"
        "sys.stdout.buffer.write(symbols.astype('<i4').tobytes())"
    )
    command = [sys.executable, "-c", program, str(model.path), str(tmp_path / "mine.lsz")]
    out = subprocess.run(command, env=children.environment(), capture_output=True, check=True).stdout
    assert out == mine.symbols.astype("<i4").tobytes()


def test_damage_is_found_wherever_it_is(model: Bundle) -> None:
    data = lsz.encode(model, model.codes.mu[:1]).data
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(lsz.LszError, match=r"^This .*[^.]*\.$"):
            lsz.decode(model, bytes(broken))
    for end in (0, 5, 9, len(data) - 1):
        with pytest.raises(lsz.LszError):
            lsz.decode(model, data[:end])
    with pytest.raises(lsz.LszError, match="damaged"):
        lsz.decode(model, data + b"\0")


@pytest.mark.parametrize(
    "data, word", [(b"", "no .lsz"), (b"\x89PNG" + bytes(60), "no .lsz"), (b"LS\x09" + bytes(20), "version 9")]
)
def test_foreign_files_are_refused_in_a_sentence(model: Bundle, data: bytes, word: str) -> None:
    with pytest.raises(lsz.LszError, match=word):
        lsz.decode(model, data)


def test_a_file_of_another_model_is_refused_with_its_name(model: Bundle, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", np.random.default_rng(1).standard_normal((50, 64)))
    data = lsz.encode(other, other.codes.mu[:1]).data
    with pytest.raises(lsz.LszError, match=other.digest[:8]):
        lsz.decode(model, data)
    assert lsz.digest_of(data) == other.digest[:8]


def test_a_file_of_an_earlier_state_of_the_model_is_read(model: Bundle) -> None:
    data = lsz.encode(model, model.codes.mu[:3]).data
    later = open_bundle(model.path)
    later.digest, later.formerly = "0123456789ab", (model.digest,)
    assert np.array_equal(lsz.decode(later, data).symbols, lsz.decode(model, data).symbols)
    later.formerly = ()
    with pytest.raises(lsz.LszError, match="another model"):
        lsz.decode(later, data)


def test_an_absurd_count_does_not_ask_for_memory(model: Bundle) -> None:
    data = bytearray(lsz.encode(model, model.codes.mu[:2]).data)
    data[10:14] = b"\xff\xff\xff\xff"
    with pytest.raises(lsz.LszError, match="names 4,294,967,295"):
        lsz.decode(model, bytes(data))


def test_what_is_no_code_is_refused(model: Bundle) -> None:
    for wrong in (np.zeros((1, 3)), np.full((1, 64), np.nan), np.zeros((0, 64))):
        with pytest.raises(lsz.LszError, match="not codes"):
            lsz.encode(model, wrong)


def test_a_model_that_knows_no_sigma_is_written_all_the_same(tmp_path: Path) -> None:
    """A plain autoencoder: the finest steps must still reach all codes."""
    mu = np.random.default_rng(0).standard_normal((400, 3)) * [0.01, 1, 50]
    plain = write_bundle(tmp_path / "plain", mu, logvar=-20.0)
    for step in (0, lsz.NATURAL):
        packed = lsz.encode(plain, plain.codes.mu, step)
        assert np.array_equal(lsz.decode(plain, packed.data).symbols, packed.symbols)
        off = np.abs(lsz.codes_of(plain, packed) - plain.codes.mu).max(0) / plain.stats.std
        assert (off <= 0.51 * factor(step) / lsz.FINEST + 1e-3).all()


def test_numbers_are_restored_to_what_is_expected_within_their_step() -> None:
    """Of a wide step a Gaussian's mean lies nearer to its centre than the middle does."""
    spread = Spread.of(np.zeros(1), np.ones(1), np.ones(1))
    draws = np.random.default_rng(0).standard_normal((200_000, 1))
    step = min(range(STEPS), key=lambda one: abs(factor(one) - 2))
    symbols = spread.quantise(draws, step)
    for symbol in (0, 1, -1):
        chosen = symbols[:, 0] == symbol
        found = spread.restore(np.array([[symbol]]), step)[0, 0]
        assert found == pytest.approx(draws[chosen].mean(), abs=0.01)


def test_the_finest_step_that_fits_is_found() -> None:
    spread = Spread.of(np.zeros(8), np.ones(8), np.full(8, 0.1))
    values = np.random.default_rng(0).standard_normal((1, 8))
    step, symbols, data = finest(spread, values, 6)
    assert len(data) <= 6 and np.array_equal(spread.unpack(data, 1, step), symbols)
    assert all(len(spread.pack(spread.quantise(values, finer), finer)) > 6 for finer in range(step - 8))
