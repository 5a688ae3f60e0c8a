"""`st-bench predict`: its tables, its words for mistakes, and a fit to records."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnx import helper

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.predict.cards import CARDS
from artmirror.benchmarks.predict.measured import read_measured
from artmirror.benchmarks.predict.passes import RULES, passes_of
from artmirror.benchmarks.predict.roofline import PROFILED, Roofs, frame_s
from artmirror.benchmarks.records.speed import Ceilings, Session, write_session
from artmirror.benchmarks.speed.workload import read_layers
from artmirror.benchmarks.studies.fit import main as fit_study
from artmirror.runtime.formats.manifest import read_manifest
from tests.fakes.benchmark_records import make_environment, make_record, make_round
from tests.fakes.tiny_networks import write_network

ROOFS = Ceilings(2, (9e9, 1e10), {"fp32": (1e11,), "bf16": (2e11,)})


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], terminal_width=200)


def words(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.split()


@pytest.fixture
def networks(tmp_path: Path) -> list[Path]:
    """Five of growing width."""
    return [
        write_network(
            tmp_path / f"w{width}.onnx",
            helper.make_node("Conv", ["x", "w"], ["z"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["z", "v"], ["y"], pads=[1, 1, 1, 1]),
            w=(width, 3, 3, 3),
            v=(3, width, 3, 3),
        )
        for width in (8, 16, 32, 48, 64)
    ]


def write_records(path: Path, networks: Sequence[Path], ceilings: Ceilings | None = ROOFS) -> Path:
    """Records of frames that take exactly what `PROFILED` says."""
    records = []
    for network in networks:
        passes = passes_of(read_layers(network, (360, 640)), RULES["compiled"], "bf16")
        frame_ms = 1e3 * frame_s(passes, Roofs(2e11, 1e10), PROFILED)
        sha = read_manifest(network).graph_sha256
        for scenario in ("engine", "pipeline"):
            round_ = make_round(frame_ms if scenario == "engine" else 99.0)
            records.append(make_record(round_, engine=network.stem, graph_sha256=sha, scenario=scenario))
    write_session(Session(make_environment(), tuple(records), ceilings), path)
    return path


def test_without_a_card_all_of_them() -> None:
    shown = words(predict("starry"))
    assert all(card.key in shown for card in CARDS)
    assert "compiled" in shown
    assert "ncnn" in shown


def test_one_card_with_what_binds() -> None:
    result = predict("starry", "--gpu", "GeForce 940M", "--precision", "fp32", "--verbose")
    shown = words(result)
    assert "assumed, no card was at hand" in result.output.replace("\n", " ")
    assert shown.count("arithmetic") >= 10  # a line for each pass, and which roof is nearer
    assert shown.count("memory") >= 10
    assert len(words(predict("starry", "--gpu", "940m"))) < len(shown)


def test_another_card_by_its_figures(networks: list[Path]) -> None:
    """The same as the table's where the figures are the same."""
    card = next(card for card in CARDS if card.key == "rtx3060")
    known = predict(networks[0], "--gpu", card.key, "--precision", "fp32").output
    figures = ("--flops", f"{card.fp32_flop_per_s / 1e12}T", "--bandwidth", f"{card.bytes_per_s / 1e9}g")
    own = predict(networks[0], *figures, "--precision", "fp32").output
    assert own == known.replace(card.name, "another card")


def test_a_larger_frame_takes_longer(networks: list[Path]) -> None:
    times = []
    for size in ("320x180", "640x360"):
        output = predict(networks[0], "--gpu", "940m", "--size", size).output
        times.append(float(next(line for line in output.splitlines() if line.startswith("compiled:")).split()[1]))
    assert 3 < times[1] / times[0] < 5


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("starry", "--gpu", "gtx1051"), "did you mean gtx1050"),
            (("starry", "--flops", "1T"), "go together"),
            (("starry", "--gpu", "940m", "--flops", "1T", "--bandwidth", "1G"), "give one of both"),
            (("starry", "--flops", "fast", "--bandwidth", "1G"), "got 'fast'; wanted a number above 0"),
            (("starry", "--flops", "0T", "--bandwidth", "1G"), "wanted a number above 0"),
            (("stary",), "did you mean starry"),
            (("none.onnx",), "cannot read none.onnx"),
        ],
    )
    def test_one_line_that_says_what_to_do(self, arguments: tuple[str, ...], told: str) -> None:
        result = predict(*arguments)
        assert result.exit_code in (1, 2)
        assert told in result.output
        assert "Traceback" not in result.output

    def test_files_of_another_kind(self, tmp_path: Path) -> None:
        plan = tmp_path / "starry.plan"
        plan.write_bytes(b"plan")
        assert "wanted the .onnx that st-export wrote" in predict(plan).output
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"nothing")
        assert "is no ONNX file" in predict(broken).output


def fit(*arguments: object) -> Result:
    """Run the study."""
    return CliRunner().invoke(fit_study, [str(argument) for argument in arguments])


class TestFit:
    def test_records_that_are_not_there(self) -> None:
        assert "cannot read none.json" in fit("--record", "none.json", "starry").output

    def test_tells_predicted_and_measured(self, tmp_path: Path, networks: list[Path]) -> None:
        records = write_records(tmp_path / "records.json", networks)
        result = fit("--record", records, *networks)
        shown = words(result)
        assert "openvino: 5 frames" in result.output
        assert all(f"w{width}" in shown for width in (8, 16, 32, 48, 64))
        assert "median error 0.0%; each predicted from the others 0.0%" in result.output

    def test_rows_are_the_engine_alone_under_the_machines_roofs(self, tmp_path: Path, networks: list[Path]) -> None:
        rows = read_measured([write_records(tmp_path / "records.json", networks)], networks)["openvino"]
        assert rows[0].name == "w8 bf16 640x360"
        assert {row.roofs for row in rows} == {Roofs(2e11, 1e10)}
        assert max(row.frame_s for row in rows) < 0.099

    def test_a_network_whose_file_is_not_given(self, tmp_path: Path, networks: list[Path]) -> None:
        records = write_records(tmp_path / "records.json", networks)
        assert "measured w64, which is none of the files given" in fit("--record", records, *networks[:4]).output

    def test_records_without_roofs(self, tmp_path: Path, networks: list[Path]) -> None:
        records = write_records(tmp_path / "records.json", networks, None)
        assert "holds no roofs of the machine" in fit("--record", records, *networks).output
