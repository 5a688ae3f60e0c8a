"""Measures engines and the whole pipeline, and writes records."""
