"""`st-export inspect`: an ONNX, a plan or ncnn's files told on a terminal."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import onnx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from artmirror.export.cost import GraphCost, NodeCost, graph_cost
from artmirror.export.plan.layers import PlanLayers, read_layers
from artmirror.export.plan.library import find_library
from artmirror.export.plan.options import DEFAULT_SIZES
from artmirror.export.to_onnx import graph_of
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.kind import EngineKind, kind_of, read_any_manifest
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.formats.plan import PlanInfo, read_plan, sizes_taken
from artmirror.train.config import NetworkConfig
from artmirror.train.networks.many_style import ManyStyle
from artmirror.train.networks.stylizer import Stylizer


def print_inspection(path: Path, size: tuple[int, int] | None, verbose: bool, console: Console) -> None:
    """Print everything that a file of ours says and that can be computed from it.

    Args:
        size: (H, W) of the frame to estimate for; None for the plan's own or the usual one.
        verbose: Every node and every layer, not only their counts.

    Raises:
        ArtmirrorError: the file is missing, not ours, damaged, or does not take the size.
    """
    manifest, info = read_any_manifest(path)
    engine = read_plan(path)[2] if info is not None else memoryview(b"")
    model = onnx.load(path) if kind_of(path) is EngineKind.ONNX else _graph_again(manifest)
    chosen = _check_size(path, manifest, info, size)
    cost = graph_cost(model, chosen)
    _print_manifest(path, manifest, info, console)
    if info is not None:
        _print_layers(read_layers(engine, find_library(info.library)), verbose, console)
    _print_nodes(cost, chosen, verbose, console)


def _graph_again(manifest: Manifest) -> onnx.ModelProto:
    """The ONNX graph of what holds none, or one of another kind: the manifest says which network it was made from."""
    config = NetworkConfig.from_dict(manifest.network)
    painter = Stylizer(config) if manifest.style is None else ManyStyle(config)
    return graph_of(VideoFilter(painter), fp16=manifest.precision == "fp16")[0]


def _check_size(path: Path, manifest: Manifest, info: PlanInfo | None, size: tuple[int, int] | None) -> tuple[int, int]:
    sizes = sizes_taken(manifest, info)
    if sizes is None:
        return size or DEFAULT_SIZES.best
    if size and size not in sizes:
        low, high = (f"{width}x{height}" for height, width in (sizes.smallest, sizes.largest))
        raise ArtmirrorError(f"{path} takes {low} to {high}, not {size[1]}x{size[0]}: use another --size")
    return size or sizes.best


def _print_manifest(path: Path, manifest: Manifest, info: PlanInfo | None, console: Console) -> None:
    table = Table("field", title=f"{path.name}, {path.stat().st_size / 1e6:.2f} MB")
    table.add_column("value", overflow="fold")
    for name, value in (asdict(manifest) | (asdict(info) if info else {})).items():
        if value is None or value is False or value == []:
            continue
        text = json.dumps(value) if isinstance(value, dict | list) else str(value)
        if name.endswith("_size"):
            name, text = f"{name} (width x height)", f"{value[1]}x{value[0]}"
        table.add_row(name, escape(text))
    console.print(table)


def _print_layers(found: PlanLayers, verbose: bool, console: Console) -> None:
    if not found.layers:
        console.print("layers of the plan: not readable here; its library tells them on the GPU that it is for")
        return
    title = f"{len(found.layers)} layers of the plan, from its {found.source}"
    if verbose:
        table = Table("layer", "operation", "reads", "nodes inside", title=title, min_width=len(title))
        for layer in found.layers:
            table.add_row(escape(layer.name), layer.operation, layer.precision, escape(", ".join(layer.nodes)))
    else:
        table = Table("operation", "reads", "layers", title=title, min_width=len(title))
        counts = Counter((layer.operation, layer.precision) for layer in found.layers)
        for (operation, precision), count in counts.most_common():
            table.add_row(operation, precision, str(count))
    console.print(table)


def _print_nodes(cost: GraphCost, size: tuple[int, int], verbose: bool, console: Console) -> None:
    where = f"{size[1]}x{size[0]}"
    if verbose:
        table = Table("node", "operation", "reads", "shape", "MMAC", "MB read", "MB written", title=f"nodes at {where}")
        for node in cost.nodes:
            table.add_row(
                escape(node.name),
                node.op_type,
                node.precision,
                "x".join(map(str, node.shape)),
                f"{node.macs / 1e6:.1f}" if node.macs else "",
                f"{node.bytes_read / 1e6:.2f}",
                f"{node.bytes_written / 1e6:.2f}",
            )
        console.print(table)
    table = Table("operation", "reads", "nodes", "MMAC", "MB moved", title=f"graph at {where}, nothing fused")
    groups: dict[tuple[str, str], list[NodeCost]] = {}
    for node in cost.nodes:
        groups.setdefault((node.op_type, node.precision), []).append(node)
    for (op_type, precision), nodes in groups.items():
        part = GraphCost(tuple(nodes))
        table.add_row(
            op_type,
            precision,
            str(len(nodes)),
            f"{part.macs / 1e6:.1f}" if part.macs else "",
            f"{part.bytes_moved / 1e6:.2f}",
        )
    console.print(table)
    console.print(
        f"one frame at {where}: {cost.macs / 1e9:.3f} GMAC ({2 * cost.macs / 1e9:.3f} GFLOP in convolutions), "
        f"at most {cost.bytes_moved / 1e6:.1f} MB moved"
    )
