"""Archives: what is done, what is left, what fails, what is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.runtime.batch import processes, training
from artmirror.runtime.batch.cli import main
from artmirror.runtime.batch.ledger import DONE, NAME, Entry, Ledger
from artmirror.runtime.batch.processes import TRIES, ProcessRunner
from artmirror.runtime.batch.storage import fetched, names_in, put_when_whole, stamp_of
from artmirror.runtime.batch.tasks import BatchSettings, Task, find_tasks, output_name, shard
from artmirror.runtime.batch.training import trainings
from artmirror.runtime.batch.work import Done
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.pictures import save_picture
from tests.fakes.show_parts import wait_until

STYLE = ("--style", "starry", "--quality", "nano")


def archive(folder: Path, count: int, side: int = 64) -> Path:
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (8, 12, 3), np.uint8)
        path = folder / ("sub" if number % 2 else "") / f"p{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(np.kron(coarse, np.ones((side // 8, side // 8, 1), np.uint8)), path)
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_a_folder_is_painted_once_and_then_what_is_missing_or_changed(tmp_path: Path) -> None:
    source, target = archive(tmp_path / "in", 4), tmp_path / "out"
    arguments = (str(source), str(target), *STYLE, "--workers", "1")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "4 of 4 files painted" in first.output
    painted = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    assert painted == ["p000.png", "p002.png", "sub/p001.png", "sub/p003.png"]
    assert not (cv2.imread(str(target / "p000.png")) == cv2.imread(str(source / "p000.png"))).all()
    for line in lines(target):
        assert line["result"] == "done"
        assert line["output_sha256"] == file_sha256(Path(line["output"]))
        assert line["input_sha256"] == file_sha256(source / line["name"])
    assert "4 done already, 0 to paint" in run(*arguments).output
    (target / "p000.png").unlink()
    archive(source / "sub" / "..", 1)  # the same bytes, another time
    save_picture(np.full((64, 96, 3), 90, np.uint8), source / "sub" / "p003.png")
    again = run(*arguments)
    assert "2 done already, 2 to paint" in again.output
    assert "0 done already" in run(*arguments, "--strength", "0.5", "--dry-run").output  # another picture
    assert "4 of 4" in run(*arguments, "--again").output


def test_the_hash_of_a_setting_is_of_what_comes_out() -> None:
    base = BatchSettings(styles=("starry",), quality="nano")
    assert base.fingerprint() == BatchSettings(styles=("starry",), quality="nano", threads=4, memory=9).fingerprint()
    others = [
        BatchSettings(styles=("wave",), quality="nano"),
        BatchSettings(styles=("starry",), quality="lite"),
        BatchSettings(styles=("starry",), quality="nano", strength=0.9),
        BatchSettings(styles=("starry",), quality="nano", size=(64, 64)),
        BatchSettings(styles=("starry:1", "wave:2")),
        BatchSettings(styles=("starry:1", "wave:3")),
    ]
    assert len({one.fingerprint() for one in (base, *others)}) == 7


def test_one_that_fails_is_tried_and_named_and_ends_nothing(tmp_path: Path) -> None:
    source = archive(tmp_path / "in", 3)
    (source / "broken.jpg").write_bytes(b"no picture")
    done = run(str(source), str(tmp_path / "out"), *STYLE, "--workers", "1")
    assert done.exit_code == 1
    assert "3 of 4 files painted" in done.output
    assert "1 of the files could not be painted: broken.jpg" in done.output
    failed = [line for line in lines(tmp_path / "out") if line["result"] == "failed"]
    assert [(line["name"], line["tries"]) for line in failed] == [("broken.jpg", TRIES)]
    assert "no picture" in failed[0]["error"] or "not a picture" in failed[0]["error"]
    assert "3 done already, 1 to paint" in run(str(source), str(tmp_path / "out"), *STYLE).output


def test_shards_share_the_work_and_a_folder(tmp_path: Path) -> None:
    source, target = archive(tmp_path / "in", 5), tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert run(str(source), str(target), *STYLE, "--workers", "1", "--shard", part).exit_code == 0
    assert len(list(target.rglob("*.png"))) == 5
    assert sorted(path.name for path in target.glob("*.jsonl")) == ["batch-1-of-2.jsonl", "batch-2-of-2.jsonl"]
    tasks = [Task(str(n), "", "") for n in range(10)]
    parts = [shard(tasks, f"{n}/3") for n in (1, 2, 3)]
    assert sorted(task.name for part in parts for task in part) == [task.name for task in tasks]
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0"):
        with pytest.raises(ArtmirrorError, match="wanted I/N"):
            shard(tasks, wrong)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.jpg", "a.jpg"),
        ("b/A.PNG", "b/A.PNG"),
        ("c.mp4", "c.mp4"),
        ("d.heic", "d.heic.png"),
        ("e.gif", "e.gif.mp4"),
        ("f.mts", "f.mts.mp4"),
    ],
)
def test_names_of_what_is_painted(name: str, wanted: str) -> None:
    assert output_name(name) == wanted


def test_only_pictures_and_films_are_tasks() -> None:
    names = ["b.jpg", "a.txt", ".hidden.jpg", "c/d.mp4", "e.JPG", "batch.jsonl"]
    assert [task.name for task in find_tasks(names, "in", "out")] == ["b.jpg", "c/d.mp4", "e.JPG"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing", "out"), "is no folder"),
        (("in", "in"), "nothing is written over"),
        (("empty", "out"), "holds no picture"),
        (("in", "out", "--style", "stary"), "did you mean starry"),
        (("in", "out", "--shard", "3"), "wanted I/N"),
        (("in", "file/out"), "cannot make"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "in", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert told in done.output
    assert "Traceback" not in done.output


def test_a_folder_inside_the_first_is_not_painted_again(tmp_path: Path) -> None:
    source = archive(tmp_path / "in", 2)
    assert run(str(source), str(source / "painted"), *STYLE, "--workers", "1").exit_code == 0
    assert "2 files, 2 done already" in run(str(source), str(source / "painted"), *STYLE).output


def test_dry_run_says_how_long_and_paints_nothing(tmp_path: Path) -> None:
    done = run(str(archive(tmp_path / "in", 3)), str(tmp_path / "out"), *STYLE, "--dry-run", "--workers", "2")
    assert done.exit_code == 0
    assert "3 pictures: about" in done.output
    assert "with 2 workers" in done.output
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_worker_that_is_killed_costs_one_try(tmp_path: Path) -> None:
    """The first worker is killed in the middle of it; all files are there in the end, and right."""
    source = archive(tmp_path / "in", 12, 256)
    alone = tmp_path / "alone"
    assert run(str(source), str(alone), *STYLE, "--workers", "1").exit_code == 0
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "artmirror.runtime.batch.cli",
            str(source),
            str(tmp_path / "out"),
            *STYLE,
            "--workers",
            "2",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = []

    def kill_one() -> bool:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        everyone = [
            int(pid)
            for task in Path(f"/proc/{process.pid}/task").iterdir()
            for pid in (task / "children").read_text().split()
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        assert children.exists()
        if not everyone or not list((tmp_path / "out").rglob("*.png")):
            return process.poll() is not None
        os.kill(everyone[0], signal.SIGKILL)
        killed.append(everyone[0])
        return True

    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    wait_until(kill_one, 60)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.png"))
    assert len(names) == 12
    assert all(file_sha256(alone / name) == file_sha256(tmp_path / "out" / name) for name in names)


def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = archive(tmp_path / "in", 30, 256)
    command = [sys.executable, "-m", "artmirror.runtime.batch.cli", str(source), str(tmp_path / "out"), *STYLE]
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(list((tmp_path / "out").rglob("*.png"))) >= 2, 60)
    process.send_signal(signal.SIGINT)
    told, err = process.communicate(timeout=60)
    if process.returncode == 130:  # else it was done before
        assert "the same command goes on" in err
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == 30
    assert not list((tmp_path / "out").rglob("*.part*")), told


class Executor:
    """In place of a process: does what it is told."""

    def __init__(self, fail: Any) -> None:
        self._fail = fail

    def submit(self, function: Any, task: Task, settings: BatchSettings) -> Any:
        fail = self._fail

        class Future:
            def result(self) -> Done:
                problem = fail(task)
                if problem is not None:
                    raise problem
                return Done(1, 1, "", "", 1, 0.0, 0.0, "fake")

        return Future()

    def shutdown(self, **options: Any) -> None:
        pass


def test_a_full_disk_on_one_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fail(task: Task) -> Exception | None:
        asked.append(task.name)
        if task.name == "full" or (task.name == "once" and asked.count("once") == 1):
            return ArtmirrorError("cannot write: No space left on device")
        return None

    monkeypatch.setattr(ProcessRunner, "_executor", lambda self: Executor(fail))
    told: dict[str, Any] = {}
    runner = ProcessRunner(BatchSettings(), 2)
    tasks = [Task(name, "", "") for name in ("a", "full", "once", "b")]
    runner.run(tasks, lambda task, found, tries: told.update({task.name: (found, tries)}), lambda: False)
    assert told["full"] == ("cannot write: No space left on device", TRIES)
    assert told["once"][1] == 2
    assert isinstance(told["a"][0], Done)
    assert isinstance(told["b"][0], Done)
    assert processes.TRIES == 3


def test_a_damaged_line_of_the_ledger_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / NAME)
    entry = Entry("a", DONE, "s", 3, 7, "x" * 64, "out/a", "y", 1, 0.0, 0.1, 1, "w")
    ledger.add(entry)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"name": "b", "resu')
    again = Ledger(tmp_path / NAME)
    assert list(again.entries) == ["a"]
    task = Task("a", "in/a", "out/a")
    assert again.is_done(task, "s", 3, 7)
    assert not again.is_done(task, "t", 3, 7)
    assert not again.is_done(task, "s", 4, 7)
    assert not again.is_done(task, "s", 3, 8)
    assert again.is_done(task, "s", 3, 8, "x" * 64)


def test_a_storage_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)  # where the ledger of a storage lies
    source = archive(tmp_path / "in", 3)
    done = run(f"file://{source}", f"file://{tmp_path}/out", *STYLE, "--workers", "1")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3
    assert (tmp_path / NAME).is_file()


def test_the_parts_of_a_storage() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a/b.png", b"abc")
    assert names_in("memory://bucket") == ["a/b.png"]
    assert stamp_of("memory://bucket/a/b.png") == (3, 0)
    assert stamp_of("memory://bucket/none")[0] == -1
    with fetched("memory://bucket/a/b.png") as path:
        assert path.read_bytes() == b"abc"
    with put_when_whole("memory://bucket/c/d.png") as path:
        path.write_bytes(b"de")
    assert memory.cat("/bucket/c/d.png") == b"de"
    with pytest.raises(ArtmirrorError, match="cannot be reached"):
        names_in("nothing://bucket")


def test_paintings_are_trained_one_by_one_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for st-train, which notes what it is asked for and fails once."""
    archive(tmp_path / "paintings", 5)  # every second one lies in a folder below, and is none of these
    program = tmp_path / "bin" / "st-train"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nfrom pathlib import Path\n"
        "a = sys.argv[1:]\n"
        f"log = Path({str(tmp_path / 'asked')!r})\n"
        "log.open('a').write(os.environ.get('CUDA_VISIBLE_DEVICES', '-') + ' ' + ' '.join(a) + '\\n')\n"
        "out = Path(a[a.index('-o') + 1])\n"
        "if out.stem == 'p002' and not Path(str(out) + '.tried').exists():\n"
        "    Path(str(out) + '.tried').touch(); print('out of memory'); sys.exit(1)\n"
        "out.write_text('style')\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(training.sys, "executable", str(tmp_path / "bin" / "python"))
    arguments = (
        "train",
        str(tmp_path / "paintings"),
        "-o",
        str(tmp_path / "styles"),
        "--base",
        "any.pt",
        "--steps",
        "9",
    )
    first = run(*arguments, "--workers", "2", "--gpu", "0", "--gpu", "1")
    assert first.exit_code == 1
    assert "p002.png: out of memory" in first.output
    second = run(*arguments)
    assert second.exit_code == 0, second.output
    assert "3 paintings, 2 done already" in second.output
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 4
    assert {line.split()[0] for line in asked[:3]} <= {"0", "1"}
    assert all("--base any.pt --steps 9" in line for line in asked)
    with pytest.raises(ArtmirrorError):
        trainings(tmp_path / "bin", tmp_path, ".style")


@pytest.mark.slow
def test_a_ray_cluster_loses_a_node_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes; one is killed in the middle. All outputs are there, and those of a single process."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-token-for-this-test-alone")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from artmirror.runtime.batch.cluster import RayRunner

    source = archive(tmp_path / "in", 200)
    assert run(str(source), str(tmp_path / "alone"), *STYLE, "--workers", "1").exit_code == 0
    settings = BatchSettings(styles=("starry",), quality="nano", threads=1)
    names = names_in(str(source))
    tasks = find_tasks(names, str(source), str(tmp_path / "out"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    told: dict[str, Any] = {}
    try:
        runner = RayRunner(settings, cluster.address)

        def kill() -> None:
            end_s = time.monotonic() + 60
            while len(told) < 10 and time.monotonic() < end_s:
                time.sleep(0.02)
            cluster.remove_node(second, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        runner.run(tasks, lambda task, found, tries: told.update({task.name: (found, tries)}), lambda: False)
        killer.join()
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
    assert len(told) == 200
    assert all(isinstance(found, Done) for found, _ in told.values()), [
        x for x in told.values() if isinstance(x[0], str)
    ]
    for name in names:
        assert file_sha256(tmp_path / "alone" / name) == file_sha256(tmp_path / "out" / name)
