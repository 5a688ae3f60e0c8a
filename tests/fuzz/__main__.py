"""python -m tests.fuzz: thousands of spoiled files, and what of the project does with them.

python -m tests.fuzz --inputs 3000                 all kinds, in two processes
python -m tests.fuzz --kind onnx --inputs 500      one kind
python -m tests.fuzz --kind onnx --number 41 --keep DIR   one input again, in this process; its file is left in DIR
"""

import sys
import time
from collections import Counter
from pathlib import Path

import click

from tests.fuzz.pool import Result, run_all

NAMES = (
    *("picture", "video", "onnx", "plan", "ncnn", "checkpoint", "state", "many"),
    *("shard", "dataset", "collected", "report", "paintings", "style", "encoder", "record", "config"),
)


@click.command()
@click.option("--inputs", default=3000, help="How many, evenly of all kinds.")
@click.option("--kind", "names", multiple=True, type=click.Choice(NAMES), help="Only these.")
@click.option("--jobs", default=2, help="Processes.")
@click.option("--first", default=0, help="The number of the first of each kind.")
@click.option("--number", type=int, help="This one alone, in this process.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the file of --number.")
def main(inputs: int, names: tuple[str, ...], jobs: int, first: int, number: int | None, keep: Path | None) -> None:
    """Read spoiled files; exit code 1 where one was not read and not refused in one line."""
    names = names or NAMES
    if number is not None:
        from tests.fuzz.worker import read, spoil

        folder = keep or Path("build/fuzz")
        folder.mkdir(parents=True, exist_ok=True)
        fault, told = read(names[0], spoil(names[0], number, folder))
        click.echo(fault or told or "nothing was wrong with it")
        return
    started_s = time.monotonic()
    done, refused, faults = Counter[str](), Counter[str](), Counter[str]()

    def observe(result: Result) -> None:
        done[result.kind] += 1
        refused[result.kind] += bool(result.told)
        if result.fault:
            faults[result.kind] += 1
            click.echo(
                f"--- {result.kind} {result.number} ({result.seconds:.1f} s)\n{result.fault.strip()}", color=False
            )
            sys.stdout.flush()

    run_all(((name, first + number) for number in range(-(-inputs // len(names))) for name in names), jobs, observe)
    for name in names:
        click.echo(f"{name:12} {done[name]:5} inputs {refused[name]:5} refused {faults[name]:4} faults")
    click.echo(f"{done.total()} inputs, {faults.total()} faults, {time.monotonic() - started_s:.0f} s")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
