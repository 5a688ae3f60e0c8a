"""Frames that st-bench measured, beside the passes of the networks they were measured with: what a fit takes."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import get_args

from artmirror.benchmarks.predict.fit import Measured
from artmirror.benchmarks.predict.passes import RULES, Pass, Precision, passes_of
from artmirror.benchmarks.predict.roofline import Roofs
from artmirror.benchmarks.records.speed import Record, read_session
from artmirror.benchmarks.speed.summary import summarize
from artmirror.benchmarks.speed.workload import read_layers
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import read_manifest


def read_measured(record_paths: Sequence[Path], engine_paths: Sequence[Path]) -> dict[str, list[Measured]]:
    """The engine-only records of the files, by back end; a network of every precision and size is a row.

    Records of ncnn are passed over: its files are others, with other checksums.

    A frame's time is one over the median FPS of the rounds, with the engine kept full.

    Args:
        record_paths: Written by st-bench -o FILE.json, with the machine's roofs.
        engine_paths: The .onnx files that were measured, found again by their checksums.

    Raises:
        ArtmirrorError: a file cannot be read, has no roofs, or belongs to no file of the other kind.
    """
    files = {read_manifest(path).graph_sha256: path for path in engine_paths}

    @cache
    def passes(graph_sha256: str, size: tuple[int, int], precision: Precision) -> tuple[Pass, ...]:
        return passes_of(read_layers(files[graph_sha256], size), RULES["compiled"], precision)

    found: dict[str, list[Measured]] = {}
    for path in record_paths:
        session = read_session(path)
        if session.ceilings is None:
            raise ArtmirrorError(f"{path} holds no roofs of the machine; measure again with --ceilings, on a processor")
        memory = max(session.ceilings.copy_bytes_per_s)
        products = {name: max(values) for name, values in session.ceilings.product_flop_per_s.items()}
        for record in session.records:
            precision = _precision(record)
            if record.scenario != "engine" or record.backend == "ncnn" or precision not in products:
                continue
            if record.graph_sha256 not in files:
                raise ArtmirrorError(
                    f"{path} measured {record.engine}, which is none of the files given; name its .onnx as well"
                )
            size = (record.height, record.width)
            name = f"{record.engine} {precision} {size[1]}x{size[0]}"
            row = Measured(
                name,
                passes(record.graph_sha256, size, precision),
                Roofs(products[precision], memory),
                1 / summarize(record).fps_median,
            )
            found.setdefault(record.backend, []).append(row)
    return found


def _precision(record: Record) -> Precision | None:
    return next((known for known in get_args(Precision) if known == record.precision), None)
