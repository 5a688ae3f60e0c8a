"""What became of every clip and every shot: report.json, report.md, and a table for the terminal."""

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.plain_data import Positive, Whole, fitted, read_json
from artmirror.train.prepare.contact_sheet import Cell, contact_sheets, encoded_page
from artmirror.train.prepare.shots import Chunk, Shot

REPORT_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class Source:
    """One clip, as a file."""

    name: str
    bytes: Whole
    digest: str
    size: tuple[int, int] | None = None  # width, height; None if it cannot be read
    fps: Positive = 0.0
    frames: Whole = 0
    remarks: tuple[str, ...] = ()
    error: str = ""
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class ShotReport:
    """One shot: what was measured, and what became of it."""

    name: str
    source: str
    start_s: float
    end_s: float
    first_frame: Whole
    frames: Whole
    motion_px: float
    trust: float | None
    luma: float
    contrast: float
    sharpness: float | None
    margins: tuple[float, float, float, float]  # black bars cropped away: left, top, right, bottom, as shares
    usable_frames: Whole
    chunks: Whole
    frames_used: Whole
    kept: bool
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class _Summary:
    bytes: Whole
    frames_held_out: Whole


@dataclass(frozen=True, slots=True)
class _ReportFile:
    """What is read of `report.json`."""

    settings: dict[str, Any]
    sources: list[Source]
    shots: list[ShotReport]
    summary: _Summary


@dataclass(frozen=True, slots=True)
class Report:
    """All that `prepare` found; it holds no times, so that two runs over the same clips report the same."""

    settings: dict[str, Any]
    sources: list[Source]
    shots: list[ShotReport]
    bytes_written: int = 0
    frames_held_out: int = 0

    @classmethod
    def of(
        cls,
        sources: Sequence[Source],
        shots: Sequence[Shot],
        chunks: Sequence[Chunk],
        held: Collection[int],
        settings: dict[str, Any],
    ) -> "Report":
        """Bring together what the run found; `held` are the numbers of the sources that are held out."""
        chunk_count = Counter(chunk.shot for chunk in chunks)
        frames_used: Counter[int] = Counter()
        for chunk in chunks:
            frames_used[chunk.shot] += chunk.frames
        return cls(
            settings=settings,
            sources=[replace(source, held_out=index in held) for index, source in enumerate(sources)],
            shots=[
                ShotReport(
                    name=f"shot{shot.number:06d}",
                    source=sources[shot.source].name,
                    start_s=shot.start_s,
                    end_s=shot.end_s,
                    first_frame=shot.first_frame,
                    frames=shot.frames,
                    motion_px=shot.motion_px,
                    trust=_known(shot.trust),
                    luma=shot.luma,
                    contrast=shot.contrast,
                    sharpness=_known(shot.sharpness),
                    margins=tuple(round(share, 4) for share in shot.margins),  # type: ignore[arg-type]
                    usable_frames=shot.usable_frames,
                    chunks=chunk_count[shot.number],
                    frames_used=frames_used[shot.number],
                    kept=not shot.dropped,
                    rule=shot.dropped,
                    why=shot.why,
                )
                for shot in shots
            ],
            frames_held_out=sum(chunk.frames for chunk in chunks if chunk.source in held),
        )

    @classmethod
    def read(cls, folder: Path) -> "Report":
        """Read the report of a finished dataset.

        Raises:
            ArtmirrorError: it is missing or damaged.
        """
        path = folder / REPORT_FILE
        try:
            found = fitted(read_json(path), _ReportFile)
            lost = {shot.source for shot in found.shots} - {entry.name for entry in found.sources if entry.fps > 0}
            if lost:
                raise ValueError(f"it has shots of {min(lost)[:80]!r}, which is none of its sources")
        except (OSError, ValueError) as error:
            raise ArtmirrorError(f"{path} cannot be read ({error}); --overwrite makes the dataset again") from None
        summary = found.summary
        return cls(found.settings, found.sources, found.shots, summary.bytes, summary.frames_held_out)

    def with_bytes(self, count: int) -> "Report":
        """Return the report with `count` more bytes of shards."""
        return replace(self, bytes_written=self.bytes_written + count)

    def summary(self) -> dict[str, Any]:
        """The figures of the table."""
        dropped = Counter(shot.rule for shot in self.shots if not shot.kept)
        fps = {source.name: source.fps for source in self.sources}
        seconds = sum(shot.frames_used / fps[shot.source] for shot in self.shots)
        return {
            "files": len(self.sources),
            "files_unreadable": sum(bool(source.error) for source in self.sources),
            "files_held_out": sum(source.held_out for source in self.sources),
            "shots": len(self.shots),
            "shots_kept": sum(shot.kept for shot in self.shots),
            "dropped": dict(dropped.most_common()),
            "frames": sum(source.frames for source in self.sources),
            "frames_used": sum(shot.frames_used for shot in self.shots),
            "frames_held_out": self.frames_held_out,
            "chunks": sum(shot.chunks for shot in self.shots),
            "minutes": round(seconds / 60, 3),
            "bytes": self.bytes_written,
            "mb_per_minute": round(self.bytes_written / 1e6 / (seconds / 60), 1) if seconds else 0.0,
        }

    def complaint(self) -> str:
        """Why nothing can be used, in one line."""
        rules = Counter(shot.rule for shot in self.shots if not shot.kept)
        told = [f"{count} shot(s) {rule}" for rule, count in rules.most_common()]
        told += [source.error for source in self.sources if source.error][:1]
        return f"{', '.join(told)}; report.md says more"

    def json(self) -> str:
        """The whole report."""
        content = {
            "summary": self.summary(),
            "settings": self.settings,
            "sources": [asdict(source) for source in self.sources],
            "shots": [asdict(shot) for shot in self.shots],
        }
        return json.dumps(content, indent=1)

    def remarks(self) -> list[tuple[str, str]]:
        """Files with faults, and their faults."""
        return [(source.name, text) for source in self.sources for text in (source.error, *source.remarks) if text]

    def rows(self) -> list[tuple[str, str]]:
        """The summary as words."""
        figures = self.summary()
        rows = [("files", str(figures["files"]))]
        if figures["files_unreadable"]:
            rows.append(("  unreadable", str(figures["files_unreadable"])))
        if figures["files_held_out"]:
            rows.append(("  held out", f"{figures['files_held_out']} ({figures['frames_held_out']} frames)"))
        rows += [("shots found", str(figures["shots"])), ("  kept", str(figures["shots_kept"]))]
        rows += [(f"  dropped: {rule}", str(count)) for rule, count in figures["dropped"].items()]
        rows += [
            ("frames", str(figures["frames"])),
            ("  used", f"{figures['frames_used']} in {figures['chunks']} chunks, {figures['minutes']:.1f} min"),
        ]
        if figures["bytes"]:
            rows.append(("shards", f"{figures['bytes'] / 1e6:.1f} MB, {figures['mb_per_minute']:.0f} MB/min"))
        return rows

    def table(self) -> Table:
        """The summary for the terminal."""
        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(justify="right")
        for row in self.rows():
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """The report to read: summary, files with remarks, every shot."""
        lines = ["# Clips", "", "| | |", "| --- | ---: |"]
        lines += [f"| {name.strip()} | {value} |" for name, value in self.rows()]
        remarks = self.remarks()
        if remarks:
            lines += ["", "## Files with faults", "", "| file | |", "| --- | --- |"]
            lines += [f"| {_cell(name)} | {_cell(text)} |" for name, text in remarks]
        lines += ["", "## Shots", ""]
        columns = ["shot", "file", "start s", "end s", "frames", "used", "motion px", "trust", "luma", "contrast"]
        columns += ["sharpness", "kept, or why not"]
        lines += [f"| {' | '.join(columns)} |", f"| --- | --- {'| ---: ' * 9}| --- |"]
        for shot in self.shots:
            figures = (shot.start_s, shot.end_s, shot.frames, shot.frames_used, shot.motion_px)
            figures += (shot.trust, shot.luma, shot.contrast, shot.sharpness)  # type: ignore[assignment]
            verdict = "kept" if shot.kept else f"{shot.rule}: {shot.why}"
            cells = [shot.name, _cell(shot.source), *("" if figure is None else f"{figure:g}" for figure in figures)]
            lines.append(f"| {' | '.join(cells)} | {verdict} |")
        return "\n".join(lines) + "\n"


def write_report(output: Path, report: Report, shots: Sequence[Shot]) -> None:
    """Write report.json, report.md and the contact sheets of the kept and of the dropped shots.

    Raises:
        ArtmirrorError: the folder cannot be written.
    """
    for stale in output.glob("contact_sheet*.jpg"):
        stale.unlink()
    names = [source.name for source in report.sources]
    kept = [
        Cell(
            shot.thumbnail,
            f"shot{shot.number:06d}  {shot.motion_px:.2f} px",
            f"{names[shot.source]} {shot.start_s:g} s",
        )
        for shot in shots
        if not shot.dropped
    ]
    dropped = [
        Cell(shot.thumbnail, f"shot{shot.number:06d}  {shot.dropped}", shot.why) for shot in shots if shot.dropped
    ]
    for name, cells in (("contact_sheet", kept), ("contact_sheet_dropped", dropped)):
        for number, page in enumerate(contact_sheets(cells), start=1):
            write_whole(output / f"{name}{f'-{number}' if number > 1 else ''}.jpg", encoded_page(page))
    write_whole(output / "report.md", report.markdown().encode())
    write_whole(output / REPORT_FILE, report.json().encode())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
