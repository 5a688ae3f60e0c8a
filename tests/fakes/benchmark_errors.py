"""How every command of st-bench tells a mistake."""

from click.testing import Result


def check_one_line(result: Result, message: str) -> None:
    """Check that a command ended with one line that holds `message`, and with no traceback."""
    assert result.exit_code in (1, 2)
    assert [message in line for line in result.stderr.splitlines() if line.startswith("Error: ")] == [True]
    assert "Traceback" not in result.output
