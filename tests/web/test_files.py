"""The modules that a page is told to fetch at once are those that it imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from vae.web.core import files


def test_all_imports_are_found_through_folders_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "page/page.js": 'import { a } from "../live/a.js";\nimport {\n  b,\n  c,\n} from "./b.js";\nimport "./style.css";\n',
        "page/b.js": 'export { c } from "../live/c.js";\n/* import("./never.js") comes later */\nimport("./late.js");\n',
        "live/a.js": 'import * as page from "../page/page.js";\n',
        "live/c.js": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(files, "WEB", tmp_path)
    assert files.modules.__wrapped__("page/page") == ("page/page.js", "live/a.js", "page/b.js", "live/c.js")


@pytest.mark.parametrize("page", ["explore/explore", "atlas/atlas", "blend/blend", "learn/learn", "lab/lab"])
def test_what_a_page_imports_is_there(page: str) -> None:
    assert all((files.WEB / path).is_file() for path in files.modules(page)) and len(files.modules(page)) > 10
