"""What one running app has once, for all visitors: the models, and the workers that refine and measure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vae.bundles.registry import default_registry
from vae.evaluation.lanes import Workshop
from vae.photos.refine import Refiner
from vae.space import computing

registry = default_registry()
refiner = Refiner()
workshop = Workshop()


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """End the workers with the app."""
    try:
        yield
    finally:
        refiner.close()
        workshop.close()
        computing.close()
