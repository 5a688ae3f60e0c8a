"""What is measured of the project is understood by its commands, and the README says what the records say."""

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from artmirror.benchmarks.cli import main as st_bench
from artmirror.benchmarks.records.speed import Session, read_session, write_session
from artmirror.benchmarks.records.temporal import read_temporal, write_temporal
from artmirror.benchmarks.studies import project
from artmirror.benchmarks.studies.project import FULL, MOSAICS, RECORDS, STYLE, check_networks, commands
from artmirror.benchmarks.studies.project_tables import (
    NETWORKS,
    SPEED,
    TEMPORAL,
    check_machine,
    fill,
    speed_table,
    tables,
    temporal_table,
)
from artmirror.export.cli import main as st_export
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.runtime.gallery.variants import variants
from tests.fakes.benchmark_records import (
    make_environment,
    make_painter,
    make_record,
    make_round,
    make_start,
    make_start_record,
    make_temporal,
)

ENGINES = [Path("/a/starry.onnx"), Path("/a/starry-lite.onnx")]
ALL = commands(Path("/data"), Path("/work"), ENGINES, FULL)


class TestCommands:
    @pytest.mark.parametrize("command", ALL, ids=lambda command: f"{command[0]}-{Path(command[-1]).name}")
    def test_are_understood(self, command: list[str]) -> None:
        name, *arguments = command
        program: click.Command = {"st-bench": st_bench, "st-export": st_export}[name]
        with contextlib.suppress(click.exceptions.Exit):
            context = program.make_context(name, arguments)  # raises a usage error for what it does not know
            if isinstance(program, click.Group):
                inner_name, inner, rest = program.resolve_command(context, [*context._protected_args, *context.args])
                assert inner is not None
                inner.make_context(inner_name, rest, parent=context)

    def test_every_record_is_written_once_and_reported(self) -> None:
        names = {*SPEED.values(), *TEMPORAL.values()}
        outputs = [Path(command[command.index("-o") + 1]).name for command in ALL if "-o" in command]
        assert sorted(name for name in outputs if name.endswith(".json")) == sorted(names)
        reports = [command for command in ALL if command[:2] == ["st-bench", "report"]]
        assert [Path(command[command.index("-o") + 1]).name for command in reports] == [
            "report.md",
            "report.html",
            "report-pictures.html",
        ]
        for command in reports:
            assert {Path(word).name for word in command if word.endswith(".json")} == names
            assert ("--frames" in command) == (command is reports[-1])

    def test_pictures_are_kept_of_the_record_that_the_page_names_first(self) -> None:
        (kept,) = (command for command in ALL if "--keep-frames" in command)
        shown = ALL[-1]
        assert kept[kept.index("--keep-frames") + 1] == shown[shown.index("--frames") + 1]
        first = next(word for word in shown if "temporal-" in word)
        assert kept[kept.index("-o") + 1] == first

    def test_all_variants_run_in_all_back_ends_and_both_peers_stand_beside_ours(self) -> None:
        opened = [" ".join(command) for command in ALL if command[0] == "st-bench" and command[1] != "report"]
        assert all(f"/work/{engine.stem}.ncnn.param" in opened[0] for engine in ENGINES)
        assert "--backend openvino --backend onnxruntime" in opened[1]
        assert all(str(engine) in words for engine in ENGINES for words in opened[:4])
        assert all(f"/work/{path.stem}.onnx" in opened[4] for path in MOSAICS)
        assert opened[4].count("--against") == 2
        assert opened[5].startswith("st-bench temporal any ")
        assert opened[5].count("--against") == 2
        assert opened[5].count("--painting ") == len(project.PAINTINGS)


class TestMistakes:
    @pytest.mark.parametrize("arguments", [[], ["--quick"], ["--readme", "--data", "x"], ["--readme", "--quick"]])
    def test_what_to_do_must_be_clear(self, arguments: list[str]) -> None:
        done = CliRunner().invoke(project.main, arguments)
        assert done.exit_code == 2
        assert "wanted either --data FOLDER" in done.output

    def test_missing_data_is_named_before_anything_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(project, "call", lambda command: pytest.fail(f"ran {command}"))
        (tmp_path / "styles").mkdir()
        (tmp_path / project.PAINTING).touch()
        done = CliRunner().invoke(project.main, ["--data", str(tmp_path)])
        assert done.exit_code == 1
        assert f"{tmp_path} lacks peers/mosaic_style.jpg, weights/" in done.output
        assert project.PAINTING not in done.output
        assert "make bench DATA=FOLDER" in done.output

    def test_changed_networks_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(project, "ROOT", tmp_path)
        (tmp_path / "a.onnx").write_bytes(b"a")
        (tmp_path / "b.onnx").write_bytes(b"b")
        with pytest.raises(ArtmirrorError, match="measure first: make bench"):
            check_networks(tmp_path)
        digest = file_sha256(tmp_path / "a.onnx")
        (tmp_path / NETWORKS).write_text(f"{digest}  a.onnx\n")
        check_networks(tmp_path)
        (tmp_path / NETWORKS).write_text(f"{digest}  a.onnx\n{digest}  b.onnx\n{digest}  c.pt\n")
        with pytest.raises(ArtmirrorError, match=r"^b\.onnx, c\.pt changed since .*: make bench$"):
            check_networks(tmp_path)


class TestTables:
    def test_speed_has_a_column_for_each_network_and_marks_a_busy_machine(self) -> None:
        quiet, busy = (make_round(20), make_round(20.2), make_round(20)), (make_round(10), make_round(12))
        table = speed_table(
            [
                Session(
                    replace(make_environment(), commit="0123456789abcdef-dirty"),
                    (
                        make_record(*quiet),
                        make_record(*busy, scenario="pipeline", source="clip.mp4"),
                        make_record(*busy, engine="starry-lite.ncnn", preset="lite", backend="ncnn", precision="fp32"),
                    ),
                ),
                Session(
                    replace(make_environment(), commit="0123456789abcdef-dirty"),
                    (make_record(make_round(40, [20, 30] * 5), scenario="live", source="synthetic:640x360@30"),),
                    starts=(make_start_record((make_start(2000),) * 3, (make_start(500),) * 3),),
                ),
            ]
        )
        caption, blank, head, marks, *rows = table.splitlines()
        assert "](report.md) on a processor (2 cores), 2026-01-01, commit 0123456-dirty; 640x360" in caption
        assert "medians of 3 rounds" in caption
        assert "from clip.mp4 to nowhere" in caption
        assert (blank, head) == ("", "|  | starry (`tiny`) | starry-lite (`lite`) |")
        assert marks == "| --- | ---: | ---: |"
        assert rows[:3] == [
            "| OpenVINO bf16, engine alone, FPS | 50.0 |  |",
            "| OpenVINO bf16, source to sink, FPS | 91.7~ |  |",
            "| ncnn fp32, engine alone, FPS |  | 91.7~ |",
        ]
        assert rows[3:5] == [
            "| OpenVINO bf16, live at 30 FPS: FPS shown | 25.0 |  |",
            "| OpenVINO bf16, live at 30 FPS: latency, ms, p50 / p95 | 25 / 30 |  |",
        ]
        assert rows[-2:] == [
            "| start to the first painted frame, s, cold / cached | 2.00 / 0.50 |  |",
            "| peak memory of that process, MB | 150 |  |",
        ]

    def test_temporal_error_stands_beside_the_input(self) -> None:
        table = temporal_table(make_temporal(make_painter("input", 0.01, 9), make_painter("mosaic", 0.04, 2)))
        caption, _, head, _, floor, ours = table.splitlines()
        assert "shot (6); style and content against painting.jpg" in caption
        assert head == "| network | on | e_stab step 1 | of input | e_stab step 5 | of input | style | content | ms |"
        assert floor.startswith("| input |  | 0.0100 | 1.00x | 0.0200 | 1.00x | 9.500 |")
        assert ours.startswith("| mosaic |  | 0.0400 | 4.00x | 0.0800 | 4.00x | 2.500 |")

    def test_records_of_two_machines_do_not_stand_beside_each_other(self) -> None:
        check_machine([make_environment(), replace(make_environment(), time="later")])
        with pytest.raises(ArtmirrorError, match="different machines"):
            check_machine([make_environment(), replace(make_environment(), cpu="another")])

    def test_tables_are_of_the_records_in_the_folder(self, tmp_path: Path) -> None:
        session = Session(make_environment(), (make_record(make_round(20)),))
        for name in SPEED.values():
            write_session(session, tmp_path / name)
        for name, error in zip(TEMPORAL.values(), (0.01, 0.02, 0.03), strict=True):
            write_temporal(make_temporal(make_painter("input", error, 9)), tmp_path / name)
        found = tables(tmp_path, "docs/measurements/bench/report.md")
        assert "50.0" in found["speed"]
        assert "0.0100" in found["temporal-variants"]
        assert "0.0200" in found["temporal-mosaic"]


class TestBlocks:
    PAGE = "before\n<!-- bench: a -->\nold\nolder\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n<!-- /bench -->\nend\n"

    def test_only_blocks_are_replaced(self) -> None:
        tables = {"b": "two \\1\n", "a": "one\n"}
        filled = fill(self.PAGE, tables)
        assert filled == self.PAGE.replace("old\nolder\n", "one\n").replace("b -->\n", "b -->\ntwo \\1\n")
        assert fill(filled, tables) == filled

    @pytest.mark.parametrize(
        "page",
        [
            "no block",
            PAGE.replace("bench: b", "bench: c"),
            PAGE + "<!-- bench: a -->\n<!-- /bench -->\n",
            PAGE.replace("<!-- /bench -->\nbetween", "between"),
            PAGE + "<!-- /bench -->\n",
        ],
    )
    def test_a_page_without_the_blocks_is_refused(self, page: str) -> None:
        with pytest.raises(ArtmirrorError, match="wanted some of <!-- bench: a -->, <!-- bench: b -->, each once"):
            fill(page, {"a": "one\n", "b": "two\n"})


@pytest.fixture
def records() -> Path:
    """The committed records."""
    return RECORDS


class TestCommitted:
    @pytest.mark.parametrize("page", project.PAGES, ids=lambda page: page.name)
    def test_the_pages_say_what_the_records_say(self, records: Path, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        found = fill(text, tables(records, project.PAGES[page]))
        assert found == text, "python -m artmirror.benchmarks.studies.project --readme"

    def test_the_measured_networks_are_those_that_are_here(self, records: Path) -> None:
        check_networks(records)
        bundled = {path.stem: read_manifest(path).graph_sha256 for path in variants(STYLE).values()}
        for name in SPEED.values():
            session = read_session(records / name)
            measured = [subject for subject in (*session.records, *session.starts) if subject.backend != "ncnn"]
            assert {subject.engine: subject.graph_sha256 for subject in measured} == bundled, name
        painters = read_temporal(records / TEMPORAL["variants"]).painters[1:]
        assert {painter.info.label: painter.info.sha256 for painter in painters} == bundled

    def test_records_and_reports_are_small_and_hold_neither_pictures_nor_paths(self, records: Path) -> None:
        files = sorted(records.iterdir())
        assert sum(path.stat().st_size for path in files) < 3_000_000
        for path in files:
            text = path.read_text(encoding="utf-8")
            assert "data:image" not in text, path.name
            assert not re.search(r"(?<![\w<./])/(?:home|root|work|tmp|Users)/", text), path.name
