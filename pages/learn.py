"""Learn: the introduction to autoencoders and variational autoencoders, alive."""

from __future__ import annotations

from vae.web.learn import live

live.mount()
