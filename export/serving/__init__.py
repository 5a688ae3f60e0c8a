"""Settings for servers that others make. One more: its file here, a page in docs/serving.md, a test that reads it."""
