"""docs/demo is what st-export --web writes today."""

import gzip
import json

import pytest

from artmirror.export.web.network import read_network
from artmirror.runtime.gallery.bundled import find_style
from tests.places import ROOT

DEMO = ROOT / "docs" / "demo"
INDEX = json.loads((DEMO / "site.json").read_text())


@pytest.mark.parametrize("name", ["index.html", "page.css", "page.js", "painter.js"])
def test_the_page_is_that_of_the_package(name: str) -> None:
    assert (DEMO / name).read_bytes() == (ROOT / "export" / "web" / name).read_bytes()


def test_it_has_three_styles_and_their_networks_are_those_of_the_gallery() -> None:
    assert len(INDEX["styles"]) == 3
    for style in INDEX["styles"]:
        for quality in ("fine", "fast"):
            file = DEMO / style[quality]["file"]
            wanted, _ = read_network(find_style(file.name.removesuffix(".onnx.gz")))
            assert gzip.decompress(file.read_bytes()) == wanted
