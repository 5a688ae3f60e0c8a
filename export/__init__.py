"""A checkpoint in, a self-describing ONNX file out."""

from artmirror.runtime.common import no_telemetry as no_telemetry  # before OpenVINO or ONNX Runtime is imported
