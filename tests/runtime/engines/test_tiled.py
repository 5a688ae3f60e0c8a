"""Pictures in tiles: the same as painted whole, whatever their size and shape."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.open import BYTES_PER_PIXEL, open_engine, open_for_show
from artmirror.runtime.engines.tiled import TiledEngine, tiles_along
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.gallery.bundled import styles_folder

SMALL_TILES = 330 * 330  # pixels


def landscape(size: tuple[int, int]) -> Pixels:
    """Soft shades, edges and noise, and a dark corner: no part of it looks like the whole."""
    rng = np.random.default_rng(5)
    down, across = np.mgrid[: size[0], : size[1]].astype(np.float32)
    shade = 120 + 70 * np.sin(across / 37) * np.cos(down / 53) + across * 60 / size[1]
    shade[: size[0] // 3, : size[1] // 2] *= 0.2
    shade[size[0] // 2 :, size[1] // 2 :] += 40 * np.sign(np.sin(across / 9))[size[0] // 2 :, size[1] // 2 :]
    noisy = shade[..., None] * (0.7, 1.0, 0.85) + rng.normal(0, 6, (*size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def painted(engine: TiledEngine, frame: Pixels, look: Look) -> Pixels:
    slot = engine.allocate(1)[0]
    slot.frame[:] = frame
    stylize(engine, slot, look)
    return slot.stylized


def both_ways(name: str, size: tuple[int, int], look: Look) -> tuple[Pixels, Pixels, TiledEngine]:
    path = styles_folder() / f"{name}.onnx"
    frame = landscape(size)
    whole = open_engine(path, size=size, full_precision=True)
    slot = whole.allocate(1)[0]
    slot.frame[:] = frame
    stylize(whole, slot, look)
    tiled = TiledEngine(path, read_any_manifest(path)[0], size, SMALL_TILES, None)
    return slot.stylized, painted(tiled, frame, look), tiled


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("starry-nano", (501, 707)),
        ("starry-lite", (402, 519)),
        ("starry", (400, 401)),
        ("wave-nano", (355, 1003)),
        ("starry-nano", (2100, 70)),
    ],
)
def test_tiles_paint_as_the_whole_does(name: str, size: tuple[int, int]) -> None:
    whole, tiled, engine = both_ways(name, size, Look(0.9))
    off: NDArray[np.int16] = np.abs(whole.astype(np.int16) - tiled)
    assert engine.tiles > 1
    assert off.mean() <= 1
    assert off.max() <= 40
    # Where tiles meet it is no worse than elsewhere.
    for tiles, axis in ((engine._rows, 0), (engine._columns, 1)):
        for edge in [tile.first for tile in tiles[1:]]:
            assert np.take(off, range(edge - 4, edge + 4), axis).mean() <= off.mean() * 1.5 + 0.3


class TestTiles:
    @pytest.mark.parametrize("margin", [20, 64])
    @pytest.mark.parametrize("side", [331, 332, 400, 401, 402, 403, 1000, 4001])
    def test_cover_a_side_once_with_their_margins(self, side: int, margin: int) -> None:
        tiles = tiles_along(side, 320, margin)
        assert tiles[0].first == 0
        assert tiles[-1].last == side
        assert [tile.first for tile in tiles[1:]] == [tile.last for tile in tiles[:-1]]
        assert len({tile.length for tile in tiles}) == 1
        assert tiles[-1].start + tiles[-1].length == side
        for tile in tiles:
            assert tile.start % 4 == 0
            assert tile.first % 4 == 0
            assert tile.first == 0 or tile.first - tile.start >= margin
            assert tile.last == side or tile.start + tile.length - tile.last >= margin

    def test_one_where_it_fits(self) -> None:
        assert len(tiles_along(320, 320, 64)) == 1


class TestOpening:
    def test_the_memory_that_may_be_taken_decides(self) -> None:
        path = styles_folder() / "starry-nano.onnx"
        need = 480 * 640 * BYTES_PER_PIXEL
        assert open_for_show(path, size=(480, 640), memory=need).tiled is None
        opened = open_for_show(path, size=(480, 640), memory=need - 1)
        assert opened.tiled is opened.engine
        assert "takes about 0.1 GB at once" in opened.reason
        assert "tiles" in opened.engine.describe().note
        opened.engine.close()

    def test_other_back_ends_say_who_can(self) -> None:
        path = styles_folder() / "starry-nano.onnx"
        with pytest.raises(ArtmirrorError, match="--backend openvino, which paints in tiles"):
            open_for_show(path, size=(480, 640), memory=1000, backend="onnxruntime")

    def test_a_damaged_file_is_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "a.onnx"
        path.write_bytes((styles_folder() / "starry-nano.onnx").read_bytes()[:-2000])
        with pytest.raises(ArtmirrorError):
            open_for_show(path, size=(480, 640), memory=1000)


def test_the_share_that_is_done_grows_to_one() -> None:
    path = styles_folder() / "starry-nano.onnx"
    engine = TiledEngine(path, read_any_manifest(path)[0], (400, 500), SMALL_TILES, None)
    shares: list[float] = []
    engine.observe = shares.append
    painted(engine, landscape((400, 500)), Look())
    assert shares == sorted(shares)
    assert shares[-1] == 1
