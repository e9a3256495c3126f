"""Links to copy, and what the browser allows a page that did not come by https."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import streamlit as st

from vae.web.core.mount import component

FIELD = '<div class="frame"></div>'


def is_secure(url: str) -> bool:
    """Whether a page at this address may copy and open the camera: by https, or from this very machine.

    As browsers decide it (W3C, Secure Contexts, 3.1); an address that is not known counts as secure.
    """
    address = urlsplit(url)
    host = address.hostname or "localhost"
    if address.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def show_link(query: Mapping[str, str]) -> None:
    """This page's address with a query, to be copied."""
    address = urlsplit(st.context.url or "")
    link = f"{address.scheme}://{address.netloc}{address.path or '/'}?{urlencode(query)}"
    component("core/copy", ("core/copy",), FIELD)(key="copy-link", data={"link": link})
