"""A source of frames, an engine, sinks: the real-time path. Never imports torch."""

from artmirror.runtime.common import no_telemetry as no_telemetry  # before any back end is imported
