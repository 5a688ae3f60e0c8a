"""Does a change of painting cost a frame? `python -m artmirror.benchmarks.studies.switching any.onnx`.

A live source of even rate, a network for many paintings, and a hand that turns to another style again and again.
"""

import json
from pathlib import Path
from statistics import median

import click
import numpy as np

from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import Look
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.gallery.palette import Paint, Palette
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.sinks.null import NullSink
from artmirror.runtime.sources.open import open_source

_STYLES = 12
_WARM_UP = 30  # frames before the first change


@click.command(cls=Command)
@click.argument("network", type=click.Path(path_type=Path))
@click.option("--switches", type=click.IntRange(1), default=100, help="Changes of the style.")
@click.option("--every", type=click.IntRange(1), default=5, help="Frames from one to the next.")
@click.option("--source", default="synthetic:640x360@30", help="What is painted, live.")
@click.option("--fade", "fade_s", type=click.FloatRange(0), default=0.1, help="Seconds that a crossfade takes.")
@click.option("--device", help="As of st-run.")
@common_options("switching")
def main(network: Path, switches: int, every: int, source: str, fade_s: float, device: str | None, debug: bool) -> None:
    """Paint live with NETWORK, change the style again and again, and tell what frames took."""
    frames = _WARM_UP + switches * every
    opened = open_source(source, size=None, live=True, max_frames=frames)
    engine = open_engine(network, size=opened.size, device=device)
    length = engine.manifest.style_length
    if not length:
        raise ArtmirrorError(f"{network} paints one painting; wanted a network for many")
    rng = np.random.default_rng(0)
    palette = Palette(
        [Paint(str(number), rng.uniform(-1, 1, length).astype(np.float32) * 0.5) for number in range(_STYLES)],
        fade_s=fade_s,
    )
    asked = turned = 0

    def look() -> Look:
        nonlocal asked, turned
        asked += 1
        if asked > _WARM_UP and asked % every == 0 and turned < switches:
            palette.turn(1)
            turned += 1
        return palette.look()

    statistics = Pipeline(opened, engine, [NullSink()], look=look).run()
    engine.close()
    times_ms = [float(time_ns) / 1e6 for time_ns in statistics.engine_ns[_WARM_UP:]]
    found = {
        "frames": statistics.frames_in,
        "switches": turned,
        "dropped": statistics.frames_dropped,
        "median_ms": median(times_ms),
        "slowest_ms": max(times_ms),
        "slowest_of_median": max(times_ms) / median(times_ms),
        "over_twice": sum(time_ms > 2 * median(times_ms) for time_ms in times_ms),
    }
    click.echo(json.dumps({key: round(value, 3) for key, value in found.items()}))


if __name__ == "__main__":
    main()
