"""`st-run` in the test's own process."""

from click.testing import CliRunner

from artmirror.runtime.cli import main


def run(*arguments: object) -> tuple[int, str, str]:
    """Run it with these words: exit code, stdout and stderr."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def one_line_of(code: int, *arguments: object) -> str:
    """The one line of its error, of a call that ends with this exit code."""
    found, _, err = run(*arguments)
    assert found == code, (arguments, err)
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, err
    assert err.strip().splitlines()[-1] == errors[0]
    return errors[0]
