"""A source of frames, an engine, sinks: the real-time path. Never imports torch."""
