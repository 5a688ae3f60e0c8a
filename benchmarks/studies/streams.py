"""Several live streams on one machine: one engine that they share against a process for each.

    python -m artmirror.benchmarks.studies.streams --seconds 8 -o streams.json

Each stream is a test picture of 640x360 at 30 FPS, as a camera gives it: frames that find no time are dropped.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery.variants import quality_of

_SOURCE = "synthetic:640x360@30"
_COUNTS = (1, 2, 4, 8)


def _started(style: str, streams: int, frames: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "artmirror.runtime.cli", "--style", style, "--json"]
    command += ["--quality", quality_of(Path(f"{style}.onnx"))]
    command += ["--live", "--steady", "off", "--max-frames", str(frames)]
    for _ in range(streams):
        command += ["--input", _SOURCE, "-o", "null:"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    told, wrong = process.communicate()
    rows = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    if process.returncode or not rows:
        raise ArtmirrorError(f"st-run failed: {wrong.strip().splitlines()[-1:]}")
    return rows


def measure(style: str, streams: int, seconds: float, *, shared: bool) -> dict[str, float]:
    """Frames a second of a stream and of all, and the worst stream's latency.

    Raises:
        ArtmirrorError: a run failed.
    """
    frames = round(30 * seconds)
    counts = [streams] if shared else [1] * streams
    processes = [_started(style, count, frames) for count in counts]
    rows = [row for process in processes for row in _ended(process)]
    fps = [row["fps"] for row in rows]
    return {
        "fps": statistics.mean(fps),
        "slowest_fps": min(fps),
        "all_fps": sum(fps),
        "latency_p50_ms": statistics.median(row["latency_ms"]["p50"] for row in rows),
        "latency_p95_ms": max(row["latency_ms"]["p95"] for row in rows),
        "dropped": sum(row["frames_dropped"] for row in rows) / sum(row["frames_in"] for row in rows),
    }


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=8.0)
@click.option("--style", "styles", multiple=True, default=("starry", "starry-nano"))
@click.option("-o", "--output", type=click.Path(path_type=Path), default="streams.json")
def main(seconds: float, styles: tuple[str, ...], output: Path) -> None:
    """Measure 1, 2, 4 and 8 streams, sharing an engine and each in a process of its own."""
    found = []
    for style in styles:
        for streams in _COUNTS:
            for shared in (True, False):
                if streams == 1 and not shared:
                    continue  # the same
                row = {"style": style, "streams": streams, "shared": shared}
                row |= measure(style, streams, seconds, shared=shared)
                found.append(row)
                how = "one engine" if shared else "a process each"
                click.echo(
                    f"{style}, {streams} streams, {how}: {row['fps']:.1f} FPS each (slowest {row['slowest_fps']:.1f}), "
                    f"{row['all_fps']:.0f} in all, latency {row['latency_p50_ms']:.0f} ms "
                    f"(p95 {row['latency_p95_ms']:.0f}), {row['dropped']:.0%} dropped"
                )
                time.sleep(0.5)
    output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
