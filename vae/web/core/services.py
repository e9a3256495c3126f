"""What one running app has once, for all visitors: the models, and the worker that refines photos."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vae.bundles.registry import default_registry
from vae.photos.refine import Refiner
from vae.space import computing

registry = default_registry()
refiner = Refiner()


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """End the refining worker with the app."""
    try:
        yield
    finally:
        refiner.close()
        computing.close()
