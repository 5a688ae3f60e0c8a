"""A real pytest is run, on checkouts made here, and what it says is read."""

from pathlib import Path
from textwrap import dedent

import pytest

from artmirror.benchmarks.gpu import marked_tests
from artmirror.benchmarks.gpu.marked_tests import run_marked_tests

_MARKED = """\
    import os, time
    import pytest

    pytestmark = pytest.mark.gpu
    """


def make_checkout(folder: Path, **files: str) -> Path:
    """A checkout with these files of tests, by their names without beginning and end."""
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['gpu: needs a GPU']\n")
    for name, text in files.items():
        (folder / "tests" / f"test_{name}.py").write_text(dedent(_MARKED) + dedent(text))
    return folder


def test_counts_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = """
        def test_good(): ...

        def test_bad(): assert 1 == 2

        @pytest.fixture
        def broken():
            yield
            raise ValueError

        def test_that_leaves_badly(broken): ...

        @pytest.mark.parametrize("number", [1, 2])
        def test_not_here(number): pytest.skip("no TensorRT")
        """
    checkout = make_checkout(tmp_path, some=some, unreadable="import no_such_module")
    (tmp_path / "tests" / "test_others.py").write_text("def test_of_no_gpu(): assert False")
    found = run_marked_tests(checkout, 60)
    assert found.reason is None
    assert found.passed == 1
    assert found.failed == (
        "tests/test_unreadable.py",
        "tests/test_some.py::test_bad",
        "tests/test_some.py::test_that_leaves_badly",
    )
    assert found.skipped == {"no TensorRT": 2}
    assert 0 < found.duration_s < 60
    assert "assert 1 == 2" in capsys.readouterr().err


def test_what_hangs_is_cut_off(tmp_path: Path) -> None:
    found = run_marked_tests(make_checkout(tmp_path, slow="def test_endless(): time.sleep(100)"), 0.1)
    assert str(found.reason).startswith("cut off after 0 s")
    assert found.passed == 0


def test_what_ends_the_process_is_named(tmp_path: Path) -> None:
    text = """
        def test_good(): ...

        def test_fatal(): os.kill(os.getpid(), 9)

        def test_never_reached(): ...
        """
    found = run_marked_tests(make_checkout(tmp_path, fatal=text), 60)
    assert found.reason == "pytest ended with exit code -9, in tests/test_fatal.py::test_fatal"
    assert (found.passed, found.failed, found.skipped) == (1, ("tests/test_fatal.py::test_fatal",), {})


def test_where_they_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a checkout of the source" in str(run_marked_tests(tmp_path, 60).reason)
    checkout = make_checkout(tmp_path, good="def test_good(): ...")
    monkeypatch.setattr(marked_tests, "find_spec", lambda name: None)
    assert "pytest is not installed" in str(run_marked_tests(checkout, 60).reason)
