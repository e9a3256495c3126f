"""The Lab without the live component: a picture in, the tables of two benches out."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.data.pictures import read_image
from vae.evaluation.compressing import BUDGETS
from vae.evaluation.lab_report import HEADS, shown
from vae.evaluation.lanes import LabError
from vae.photos.aligning import FaceError
from vae.photos.faces import ImageError
from vae.web.core import services
from vae.web.lab.pictures import _samples, read_png
from vae.web.live.encoding import fit

COLUMNS = ("title", "bytes", "psnr", "ssim", "perceptual")


def _table(entries: list[dict[str, Any]]) -> None:
    keys = [key for key in COLUMNS if any(one.get(key) is not None for one in entries)]
    st.table([{HEADS[key]: shown(key, one.get(key)) for key in keys} for one in entries])


def page(bundle: Bundle) -> None:
    """Streamlit's own widgets; nothing here moves."""
    file = st.file_uploader("A picture of yours. It stays in memory.", key="lab_plain_file", max_upload_size=20)
    try:
        if file is not None:
            picture, _ = fit(bundle, read_image(file.getvalue()), True)
        else:
            picture = read_png(bundle, _samples(bundle)[0]["src"])
    except (BundleError, FaceError, ImageError) as error:
        st.warning(f"{file.name if file else 'The sample'}: {error}", icon=":material/info:")
        st.stop()
    budget = st.selectbox("Bytes", BUDGETS, 1, key="lab_plain_budget")
    sigma = st.select_slider("Noise, sigma of 255", (25, 50, 100), key="lab_plain_sigma")
    pictures = np.ascontiguousarray(picture[None])
    asked = {
        "In one pass": ("reconstruct", {}),
        f"In at most {budget} bytes": ("compress", {"budget": budget}),
        "Denoised": ("denoise", {"kind": "gaussian", "strength": float(sigma)}),
    }
    for heading, (op, args) in asked.items():
        st.subheader(heading)
        try:
            job = services.workshop.start(bundle, op, args, pictures=pictures)
        except LabError as error:
            st.warning(str(error))
            return
        with st.spinner("Measuring"):
            job.wait(120)
        if job.result is None:
            st.warning(job.error or "This took too long; try again.")
            continue
        _table(job.result["entries"])
