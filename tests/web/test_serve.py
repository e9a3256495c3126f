"""The address that the app is served at."""

from __future__ import annotations

import pytest

from vae.web.serve import address, shown


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ("127.0.0.1", 8501)),
        ({"PORT": "", "HOST": ""}, ("127.0.0.1", 8501)),
        ({"PORT": "80", "HOST": "0.0.0.0"}, ("0.0.0.0", 80)),
    ],
)
def test_the_environment_gives_the_address(environment: dict[str, str], wanted: tuple[str, int]) -> None:
    assert address(environment) == wanted


@pytest.mark.parametrize("port", ["abc", "0", "99999", "-1", "8501.5", "\u0663"])
def test_a_port_that_is_none_is_a_sentence(port: str) -> None:
    with pytest.raises(SystemExit, match="PORT is .* 1 to 65535"):
        address({"PORT": port})


def test_a_host_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(SystemExit, match="HOST is 'no such host'"):
        address({"HOST": "no such host"})


@pytest.mark.parametrize(
    ("host", "wanted"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("studio.local", "studio.local")]
)
def test_what_is_printed_can_be_opened(host: str, wanted: str) -> None:
    assert shown(host, 8501) == f"http://{wanted}:8501"
