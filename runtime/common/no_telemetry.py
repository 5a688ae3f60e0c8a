"""Importing this keeps the libraries behind the back ends from reporting their use to their makers.

Both do by default. OpenVINO calls from a thread that forks the process, at every import; ONNX Runtime (from 1.29, on
Linux and macOS) keeps a device's id under the user's cache folder and uploads while the process runs and ends. A
program in a museum calls nobody, and does not end late where the network swallows such calls.
"""

import os
import sys

# A module that is None cannot be imported; OpenVINO's tools have a stand-in for a machine without this one.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
