"""From video files to a dataset and back: which shots stay, why others go, and runs that are killed and go on."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2

# isort: split
import av
import numpy as np
import pytest
import webdataset
from click.testing import CliRunner
from rich.console import Console

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import decode_flow_png
from artmirror.runtime.common.pixels import Size
from artmirror.train.data_cli import main
from artmirror.train.prepare.files import find_videos
from artmirror.train.prepare.folder import PrepareConfig
from artmirror.train.prepare.measure import Measurement, measure
from artmirror.train.prepare.progress import PrepareProgress
from artmirror.train.prepare.report import Report
from artmirror.train.prepare.run import prepare
from artmirror.train.prepare.shards import StoredFlow
from artmirror.train.prepare.shots import Rules
from artmirror.train.prepare.video import Margins, VideoReader, filled
from tests.fakes.media import write_clip
from tests.fakes.moving_clips import HEIGHT, WIDTH, pan, write_clips
from tests.places import ROOT, SHARED

CONFIG = PrepareConfig(size=Size(HEIGHT, WIDTH))
Prepared = tuple[Path, Report]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of clips, made once."""
    return write_clips(tmp_path_factory.mktemp("clips") / "clips")


@pytest.fixture(scope="module")
def prepared(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Return the dataset of all clips, and its report; tests must not change it."""
    folder = tmp_path_factory.mktemp("prepared") / "dataset"
    return folder, prepare([clips], folder, CONFIG)


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files below, with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read_samples(folder: Path) -> list[dict[str, bytes]]:
    """Read a dataset with webdataset, by its dataset.json."""
    shards = json.loads((folder / "dataset.json").read_bytes())["shards"]
    return list(webdataset.WebDataset([str(folder / shard["file"]) for shard in shards], shardshuffle=False))


class TestReport:
    def test_every_shot_is_judged(self, prepared: Prepared) -> None:
        verdicts = [(shot.source, shot.frames, shot.rule) for shot in prepared[1].shots]
        assert verdicts[:-1] == [
            ("a_two_shots.mp4", 60, ""),
            ("a_two_shots.mp4", 40, ""),
            ("b_black.mp4", 30, "dark"),
            ("below/e_copy.mkv", 40, "duplicate"),
            ("below/f_mirrored.mp4", 40, "duplicate"),
            ("c_static.mp4", 40, "static"),
            ("d_blurred.mp4", 30, "blurred"),
            ("g_good.avi", 40, ""),
        ]
        assert verdicts[-1][0] == "j_cut_off.mkv"
        assert 20 < verdicts[-1][1] < 50
        assert verdicts[-1][2] == ""

    def test_reasons_have_their_numbers(self, prepared: Prepared) -> None:
        why = {shot.source: shot.why for shot in prepared[1].shots if not shot.kept}
        assert why["b_black.mp4"].endswith("wanted 16")
        assert why["below/e_copy.mkv"].startswith("shows what shot 0 shows")
        assert why["below/f_mirrored.mp4"].startswith("shows mirrored what shot 0 shows")

    def test_figures_are_measured(self, prepared: Prepared) -> None:
        first, second, good = (prepared[1].shots[index] for index in (0, 1, 7))
        assert first.motion_px == pytest.approx(2, rel=0.05)
        assert second.motion_px == pytest.approx(np.hypot(1, 1), rel=0.05)
        assert good.motion_px == pytest.approx(3, rel=0.05)
        assert (second.start_s, second.end_s) == (2.4, 4.0)
        assert first.luma == pytest.approx(pan(1, 60)[30].mean(), abs=12)
        assert all(shot.trust is not None and shot.trust > 0.7 for shot in (first, second, good))

    def test_broken_files_are_told_and_left_out(self, prepared: Prepared) -> None:
        faults = dict(prepared[1].remarks())
        assert set(faults) >= {"h_empty.mp4", "i_text.mov"}
        assert "is empty" in faults["h_empty.mp4"]
        assert prepared[1].summary()["files_unreadable"] == 2

    def test_files_to_read_and_to_look_at(self, prepared: Prepared) -> None:
        folder, report = prepared
        data = json.loads((folder / "report.json").read_bytes())
        assert data["summary"]["dropped"] == {"duplicate": 2, "dark": 1, "static": 1, "blurred": 1}
        assert data["summary"]["shots_kept"] == 4
        assert Report.read(folder) == replace(report, settings=data["settings"])
        text = (folder / "report.md").read_text()
        assert "| shot000002 | b_black.mp4 | 0 | 1.2 | 30 | 0 |" in text
        assert "dark: mean luma" in text
        kept, dropped = (cv2.imread(str(folder / name)) for name in ("contact_sheet.jpg", "contact_sheet_dropped.jpg"))
        assert kept.shape == dropped.shape  # four and five cells: one row each
        assert kept[8:100, 8:190].std() > 20
        assert not (folder / ".prepare").exists()


class TestDataset:
    def test_description(self, prepared: Prepared) -> None:
        folder, report = prepared
        data = json.loads((folder / "dataset.json").read_bytes())
        assert (data["format_version"], data["width"], data["height"], data["frames_per_chunk"]) == (1, 160, 96, 16)
        assert sum(shard["chunks"] for shard in data["shards"]) == report.summary()["chunks"]
        assert [source["name"] for source in data["sources"]] == ["a_two_shots.mp4", "g_good.avi", "j_cut_off.mkv"]
        assert str(folder.parent) not in json.dumps(data)

    def test_chunks_hold_the_frames_of_the_clip(self, prepared: Prepared) -> None:
        samples = {sample["__key__"]: sample for sample in read_samples(prepared[0])}
        # 60 frames without two at the beginning and one at the cut: 57 = 3 x 16 + 9; 40 without three: 37 = 2 x 16 + 5.
        keys = [key for key in samples if key < "shot000002"]
        assert keys == [*(f"shot000000-00{i}" for i in range(4)), "shot000001-000", "shot000001-001"]
        assert [json.loads(samples[key]["json"])["frames"] for key in keys] == [16, 16, 16, 9, 16, 16]
        about = json.loads(samples["shot000001-001"]["json"])
        assert about == {
            "source": "a_two_shots.mp4",
            "shot": 1,
            "first_frame": 77,
            "fps": 25.0,
            "frames": 16,
            "motion_px": pytest.approx(np.hypot(1, 1), rel=0.05),
        }
        original = pan(2, 40, dx=1, dy=1)
        for index in range(16):
            jpeg = np.frombuffer(samples["shot000001-001"][f"{index:02d}.jpg"], np.uint8)
            frame = cv2.imdecode(jpeg, cv2.IMREAD_COLOR).astype(int)
            errors = [np.abs(frame - original[37 - 20 + index + shift]).mean() for shift in (-1, 0, 1)]
            assert errors[1] < 5 < 1.5 * errors[1] + 5 < errors[0] + errors[2]
        assert "16.jpg" not in samples["shot000001-001"]

    def test_bytes_do_not_depend_on_workers(self, clips: Path, prepared: Prepared, tmp_path: Path) -> None:
        prepare([clips], tmp_path, CONFIG, workers=3)
        assert tree(tmp_path) == tree(prepared[0])

    def test_flow_is_stored(self, clips: Path, tmp_path: Path) -> None:
        config = replace(CONFIG, flow=StoredFlow("dis", (1, 2)))
        prepare([clips / "g_good.avi"], tmp_path, config)
        sample = read_samples(tmp_path)[0]
        names = sorted(name for name in sample if name.endswith("flow.png"))
        assert len(names) == 15 + 14
        for name, dx in (("03-04", 3), ("03-05", 6)):  # the camera has turned round: at first it goes left
            flow, valid = decode_flow_png(sample[f"{name}.flow.png"], name)
            assert valid.mean() > 0.7
            np.testing.assert_allclose(np.median(flow[valid], axis=0), (-dx, 0), atol=0.15)

    def test_whole_sources_are_held_out(self, clips: Path, tmp_path: Path) -> None:
        report = prepare([clips], tmp_path, replace(CONFIG, holdout=0.4))
        held = {source.name for source in report.sources if source.held_out}
        assert held
        sources = [
            {json.loads(sample["json"])["source"] for sample in read_samples(folder)}
            for folder in (tmp_path / "holdout", tmp_path)
        ]
        assert sources[0] == held
        assert sources[0] | sources[1] == {"a_two_shots.mp4", "g_good.avi", "j_cut_off.mkv"}
        assert not sources[0] & sources[1]
        frames = [
            sum(json.loads(s["json"])["frames"] for s in read_samples(f)) for f in (tmp_path / "holdout", tmp_path)
        ]
        assert frames[0] == report.frames_held_out
        assert 0.1 < frames[0] / sum(frames) <= 0.4

    def test_one_source_cannot_be_held_out(self, clips: Path, tmp_path: Path) -> None:
        with pytest.raises(ArtmirrorError, match="only one file has usable shots"):
            prepare([clips / "g_good.avi"], tmp_path, replace(CONFIG, holdout=0.4))


class TestAgain:
    def test_a_finished_dataset_is_left_as_it_is(self, clips: Path, prepared: Prepared) -> None:
        before = {path: path.stat().st_mtime_ns for path in prepared[0].rglob("*")}
        report = prepare([clips], prepared[0], CONFIG)
        assert report.summary() == prepared[1].summary()
        assert {path: path.stat().st_mtime_ns for path in prepared[0].rglob("*")} == before

    @pytest.mark.parametrize(
        ("config", "told"),
        [
            (replace(CONFIG, frames_per_chunk=8), r"other settings: frames_per_chunk \(16, now 8\)"),
            (replace(CONFIG, rules=Rules(min_luma=20)), "other settings: rules"),
        ],
    )
    def test_other_settings_are_an_error(
        self, clips: Path, prepared: Prepared, config: PrepareConfig, told: str
    ) -> None:
        with pytest.raises(ArtmirrorError, match=told):
            prepare([clips], prepared[0], config)

    def test_other_clips_are_an_error(self, clips: Path, prepared: Prepared) -> None:
        with pytest.raises(ArtmirrorError, match="a dataset of other clips; run with the same again"):
            prepare([clips / "g_good.avi"], prepared[0], CONFIG)

    def test_overwrite_replaces_what_is_ours_alone(self, clips: Path, tmp_path: Path) -> None:
        good = [clips / "g_good.avi"]
        prepare(good, tmp_path, CONFIG)
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(ArtmirrorError, match="other settings"):
            prepare(good, tmp_path, replace(CONFIG, frames_per_chunk=9))
        prepare(good, tmp_path, replace(CONFIG, frames_per_chunk=9), overwrite=True)
        assert json.loads((tmp_path / "dataset.json").read_bytes())["frames_per_chunk"] == 9
        assert (tmp_path / "mine.txt").read_text() == "mine"

    def test_a_dry_run_writes_no_shards_and_is_no_obstacle(self, clips: Path, tmp_path: Path) -> None:
        good = [clips / "g_good.avi"]
        report = prepare(good, tmp_path, replace(CONFIG, frames_per_chunk=9), dry_run=True)
        assert report.summary()["chunks"] == 4
        assert (tmp_path / "contact_sheet.jpg").exists()
        assert not list(tmp_path.glob("shard-*"))
        assert not (tmp_path / "dataset.json").exists()
        prepare(good, tmp_path, CONFIG)
        assert len(read_samples(tmp_path)) == 2

    def test_killed_at_the_very_end_it_is_finished_and_a_lost_shard_is_told(self, clips: Path, tmp_path: Path) -> None:
        prepare([clips / "g_good.avi"], tmp_path, CONFIG)
        (tmp_path / ".prepare" / "train").mkdir(parents=True)
        prepare([clips / "g_good.avi"], tmp_path, CONFIG)
        assert not (tmp_path / ".prepare").exists()
        (tmp_path / "shard-000000.tar").unlink()
        with pytest.raises(ArtmirrorError, match=r"lacks shard-000000\.tar; --overwrite"):
            prepare([clips / "g_good.avi"], tmp_path, CONFIG)


KILLED = """
import os, signal, sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
import artmirror.train.prepare.run, artmirror.train.prepare.shards  # before the forks: they take long
from tests.train.prepare.test_run import CONFIG
ENDS = (".npz", ".tar", ".part")
output, *clips = map(Path, sys.argv[1:])
for stage, at in (("measuring", 50), ("measuring", 101), ("writing", 1), ("writing", 3), ("writing", 7)):
    def observe(what, done, total):
        if what.startswith(stage) and done >= at:
            os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if not child:
        artmirror.train.prepare.run.prepare(clips, output, replace(CONFIG, shard_bytes=1), observe=observe)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    files = sorted(path.name for path in output.rglob("*") if "measured" in path.name or "shard" in path.name)
    print(os.waitstatus_to_exitcode(status), *(sum(name.endswith(end) for name in files) for end in ENDS))
"""


def test_killed_again_and_again_the_dataset_is_the_same(clips: Path, tmp_path: Path) -> None:
    config, some = replace(CONFIG, shard_bytes=1), [clips / "a_two_shots.mp4", clips / "g_good.avi"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), *map(str, some)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [run[0] for run in runs] == [-signal.SIGKILL] * 5
    assert [run[1] for run in runs] == [0, 1, 2, 2, 2]  # measurements are kept
    assert [run[2] for run in runs] == [0, 0, 0, 2, 6]  # and shards, here of one chunk each
    assert [run[3] for run in runs] == [0, 0, 1, 1, 1]  # beside the one that was half written
    prepare(some, tmp_path / "killed", config)
    prepare(some, tmp_path / "whole", config)
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


class TestVideo:
    def test_nothing_usable_is_an_error(self, clips: Path, tmp_path: Path) -> None:
        with pytest.raises(
            ArtmirrorError, match=r"none of 2 file\(s\) gave a usable shot: 1 shot\(s\) dark, .*h_empty"
        ):
            prepare([clips / "b_black.mp4", clips / "h_empty.mp4"], tmp_path, CONFIG)
        assert "dark: mean luma" in (tmp_path / "report.md").read_text()

    def test_files_are_found_once_and_named_below_what_they_share(self, clips: Path) -> None:
        found = find_videos([clips, clips / "b_black.mp4", clips / "below"])
        assert [file.name for file in found][:4] == [
            "a_two_shots.mp4",
            "b_black.mp4",
            "below/e_copy.mkv",
            "below/f_mirrored.mp4",
        ]
        assert len(found) == 10
        with pytest.raises(ArtmirrorError, match="absent does not exist"):
            find_videos([clips / "absent"])

    def test_a_folder_without_videos_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        with pytest.raises(ArtmirrorError, match=r"no video in .*; wanted \.3gp"):
            find_videos([tmp_path])

    def test_cuts_are_found_to_the_frame(self, tmp_path: Path) -> None:
        frames = [*pan(1, 12), *pan(2, 9, dx=3), *pan(3, 20, dx=0, dy=1)]
        assert measure(write_clip(tmp_path / "cuts.mp4", frames)).cuts == (12, 21)

    def test_a_measurement_is_read_back_as_it_was(self, clips: Path) -> None:
        measured = measure(clips / "a_two_shots.mp4")
        again = Measurement.from_bytes(measured.to_bytes())
        assert (again.size, again.cuts, again.fps) == (Size(HEIGHT, WIDTH), (60,), 25.0)
        assert again.thumbnails == measured.thumbnails
        assert len(again.thumbnails) == 2
        np.testing.assert_array_equal(again.hashes, measured.hashes)
        np.testing.assert_array_equal(again.motion, measured.motion)

    def test_bars_are_cropped_and_the_rest_fills_the_frame(self, tmp_path: Path) -> None:
        boxed = [cv2.copyMakeBorder(frame, 16, 16, 0, 0, cv2.BORDER_CONSTANT) for frame in pan(1, 30)]
        prepare([write_clip(tmp_path / "boxed.mp4", boxed)], tmp_path / "dataset", CONFIG)
        (shot,) = Report.read(tmp_path / "dataset").shots
        assert shot.margins[1] == shot.margins[3] == pytest.approx(16 / (HEIGHT + 32), abs=0.012)
        assert shot.margins[0] == shot.margins[2] == 0
        jpeg = np.frombuffer(read_samples(tmp_path / "dataset")[0]["00.jpg"], np.uint8)
        frame = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
        assert frame[:3].mean() > 60
        assert frame[-3:].mean() > 60

    def test_portrait_and_turned_clips_fill_the_frame_from_their_middle(self, tmp_path: Path) -> None:
        picture = np.zeros((192, 108, 3), np.uint8)
        picture[96 - 30 : 96 + 30] = (0, 255, 0)  # the middle of what is seen
        lying = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
        for name, frames, turn in (("portrait.mp4", picture, 0), ("turned.mp4", lying, -90)):
            reader = VideoReader(write_clip(tmp_path / name, [frames] * 3, rotation=turn))
            frame = filled(next(reader.frames()), Size(60, 108))
            assert frame.shape == (60, 108, 3)
            assert (np.abs(frame[4:-4].astype(int) - (0, 255, 0)) < 12).all(), name

    def test_margins_shift_the_middle(self, tmp_path: Path) -> None:
        picture = np.full((100, 200, 3), 60, np.uint8)
        picture[:, 100:] = 200
        reader = VideoReader(write_clip(tmp_path / "halves.mp4", [picture] * 2))
        frame = filled(next(reader.frames()), Size(100, 100), Margins(left=0.5))
        assert frame.shape == (100, 100, 3)
        assert frame[:, 4:].min() > 180

    def test_interlaced_frames_are_deinterlaced(self, tmp_path: Path) -> None:
        fields = [cv2.GaussianBlur(frame, (0, 0), 2) for frame in pan(1, 24, dx=6)]
        woven = [first.copy() for first in fields[::2]]
        for frame, second in zip(woven, fields[1::2], strict=True):
            frame[1::2] = second[1::2]
        path = tmp_path / "interlaced.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"x264-params": "interlaced=1:tff=1", "crf": "8"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for picture in woven:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            container.mux(stream.encode(None))
        frames = [filled(frame, Size(HEIGHT, WIDTH)) for frame in VideoReader(path).frames()]
        assert len(frames) == len(woven)
        combs = [np.abs(np.diff(np.stack(each).astype(int), axis=1)).mean() for each in (woven, frames, fields)]
        assert combs[1] < 1.2 * combs[2] < 0.6 * combs[0]

    def test_a_variable_rate_gives_every_frame_once(self, tmp_path: Path) -> None:
        times = [Fraction(index * index, 100) for index in range(20)]
        reader = VideoReader(write_clip(tmp_path / "variable.mkv", pan(1, 20), times=times))
        assert [frame.time_s for frame in reader.frames()] == pytest.approx([float(t) for t in times], abs=0.002)


class TestCommand:
    def test_prepares_and_summarises(self, clips: Path, tmp_path: Path) -> None:
        words = ["prepare", str(clips / "g_good.avi"), str(clips / "h_empty.mp4"), "-o", str(tmp_path / "dataset")]
        done = CliRunner().invoke(main, [*words, "--size", "160x96", "--store-flow", "--flow-gap", "2"])
        assert done.exit_code == 0, done.output
        assert "shots found" in done.output
        assert "h_empty.mp4: " in done.output
        settings = json.loads((tmp_path / "dataset" / "dataset.json").read_bytes())["settings"]
        assert settings["flow"] == {"estimator": "dis", "gaps": [2]}
        assert settings["rules"]["min_luma"] == 16.0

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--size", "640"], "wanted WIDTHxHEIGHT with both at least 64, as in 640x360"),
            (["--size", "640x3"], "wanted WIDTHxHEIGHT with both at least 64"),
            (["--flow-gap", "16"], "--flow-gap 16 does not fit into 16 frames per chunk"),
            (["--min-frames", "4"], "4 is not in the range x>=8"),
        ],
    )
    def test_wrong_words_are_told(self, clips: Path, tmp_path: Path, words: list[str], told: str) -> None:
        done = CliRunner().invoke(main, ["prepare", str(clips), "-o", str(tmp_path / "dataset"), *words])
        assert done.exit_code == 2
        assert told in done.output
        assert not (tmp_path / "dataset").exists()


class TestProgress:
    def test_without_a_terminal_lines_come_now_and_then(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
        told = io.StringIO()
        with PrepareProgress(Console(file=told)) as progress:
            for done in range(0, 100, 4):
                now_s[0] += 1
                progress.observe("measuring frames", done, 100)
        assert told.getvalue() == "measuring frames: 36 of 100\nmeasuring frames: 76 of 100\n"

    def test_a_terminal_gets_a_bar_for_each_stage(self) -> None:
        told = io.StringIO()
        with PrepareProgress(Console(file=told, force_terminal=True, width=80)) as progress:
            progress.observe("measuring frames", 7, 10)
            progress.observe("measuring frames", 10, 10)
            progress.observe("writing chunks", 3, 4)
        assert "10/10" in told.getvalue()
        assert "writing chunks" in told.getvalue()
        assert "3/4" in told.getvalue()


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "data" / "clips").is_dir(), reason="needs the shared data folder")
def test_real_clips_are_all_kept(tmp_path: Path) -> None:
    names = ("001.mp4", "009.mp4", "019.mp4")  # a roller coaster, a quick and empty one, a soft one
    report = prepare([SHARED / "data" / "clips" / name for name in names], tmp_path, PrepareConfig())
    assert [(shot.kept, shot.frames) for shot in report.shots] == [(True, 70), (True, 144), (True, 40)]
    for sample in read_samples(tmp_path):
        assert cv2.imdecode(np.frombuffer(sample["00.jpg"], np.uint8), cv2.IMREAD_COLOR).shape == (360, 640, 3)
