"""Opens a file of records that has a page: of `st-bench`, or of `st-bench temporal`."""

from pathlib import Path

from artmirror.benchmarks.records.json_file import read_text
from artmirror.benchmarks.records.speed import Session
from artmirror.benchmarks.records.temporal import KIND, TemporalSession
from artmirror.runtime.common.plain_data import parse_json


def read_records(path: Path) -> Session | TemporalSession:
    """Read a file by what it says it is.

    Raises:
        ArtmirrorError: the file is missing, damaged, or no record of st-bench.
    """
    text = read_text(path)
    return TemporalSession.from_json(text, str(path)) if _kind(text) == KIND else Session.from_json(text, str(path))


def _kind(text: str) -> object:
    try:
        values = parse_json(text)
    except ValueError:
        return None  # whoever reads it says what is wrong
    return values.get("kind") if isinstance(values, dict) else None
