"""Measures engines and the whole pipeline, and writes records."""

from artmirror.runtime.common import no_telemetry as no_telemetry  # before OpenVINO or ONNX Runtime is imported
