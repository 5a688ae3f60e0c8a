"""What a build shows on a terminal, and how a signal stops it."""

import os
import signal

import pytest

from artmirror.export.plan.bars import BuildBars


def test_phases_are_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with BuildBars() as bars:
        bars.start("Building engine", None, 2)
        assert bars.advance("Building engine", 0)
        bars.start("Tactic selection", "Building engine", 40)
        assert bars.advance("Tactic selection", 11)
    shown = capsys.readouterr().err
    assert "Building engine" in shown
    assert "1/2" in shown
    assert "  Tactic selection" in shown
    assert "12/40" in shown


def test_a_phase_that_ends_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with BuildBars() as bars:
        bars.start("Building engine", None, 2)
        bars.finish("Building engine")
        bars.finish("Building engine")  # libraries are not believed to say it once
        assert bars.advance("Building engine", 1)
        capsys.readouterr()
    assert "Building" not in capsys.readouterr().err


def test_a_log_has_no_bars(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with BuildBars() as bars:
        bars.start("Building engine", None, 2)
        assert bars.advance("Building engine", 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build_at_its_next_step(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with BuildBars() as bars:
        bars.start("Building engine", None, 2)
        assert bars.advance("Building engine", 0)
        os.kill(os.getpid(), number)
        assert not bars.advance("Building engine", 1)
        assert bars.stopped
    assert signal.getsignal(number) is before
