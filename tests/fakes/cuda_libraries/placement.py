"""Tells where ONNX Runtime puts the nodes of files, opened as the runtime opens them on a GPU.

python -m tests.fakes.cuda_libraries.placement FILE ...
python -m tests.fakes.cuda_libraries.placement --refused FILE

Prints JSON: by file, what is wrong, and nothing where all nodes are on the GPU; or what the runtime says to a file.
"""

import json
import sys
from pathlib import Path

import click
import onnxruntime as ort

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.onnxruntime_cuda import open_session, session_options

CUDA = "CUDAExecutionProvider"


def look(path: str) -> str:
    options = session_options((360, 640), CUDA)
    # Else a session is refused at the first node that is elsewhere, and the others are not told.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, options, providers=[CUDA])
    if session.get_providers()[0] != CUDA:
        return "the provider did not start"
    parts = session.get_provider_graph_assignment_info()
    places = [(node.op_type, part.ep_name) for part in parts for node in part.get_nodes()]
    if not places:
        return "no nodes"
    return ", ".join(f"{operator} on {place}" for operator, place in places if place != CUDA)


def refused(path: str) -> str:
    try:
        open_session(Path(path), (360, 640), [(CUDA, {})], "GPU")
    except ArtmirrorError as error:
        return error.message
    return ""


if __name__ == "__main__":
    if sys.argv[1] == "--refused":
        click.echo(refused(sys.argv[2]))
        sys.exit()
    click.echo(json.dumps({path: look(path) for path in sys.argv[1:]}))
