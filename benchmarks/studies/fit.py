"""How well st-bench predict tells the frame times of this machine: `python -m artmirror.benchmarks.studies.fit`.

Measure eight networks or more: st-bench A.onnx B.onnx ... -o bf16.json, once more with --full-precision -o fp32.json,
then: fit --record bf16.json --record fp32.json A.onnx B.onnx ... Networks of other shapes need no training: st-train
--steps 1 --network channels=8,16,24 ... and st-export --no-parity.
"""

from pathlib import Path

import click
from rich.console import Console

from artmirror.benchmarks.arguments import engine_path
from artmirror.benchmarks.grid import rich_grid
from artmirror.benchmarks.predict.fit import fit_efficiencies
from artmirror.benchmarks.predict.measured import read_measured
from artmirror.benchmarks.predict.roofline import PROFILED
from artmirror.benchmarks.predict.table import fit_grid, fit_lines
from artmirror.runtime.common.command import Command, common_options


@click.command("fit", cls=Command)
@click.argument("engines", nargs=-1, required=True, metavar="ENGINE...")
@click.option(
    "--record",
    "records",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE",
    help="What st-bench measured of the ENGINEs; may be given more than once.",
)
@common_options("fit")
def main(engines: tuple[str, ...], records: tuple[Path, ...], debug: bool) -> None:
    """Fit the shares of the roofs to measured frames, and print prediction beside measurement."""
    console = Console(markup=False, highlight=False, emoji=False)
    for backend, measured in read_measured(records, [engine_path(name) for name in engines]).items():
        fitted = fit_efficiencies(measured, PROFILED, f"fitted to {backend}")
        grid = fit_grid(f"{backend}: {len(measured)} frames, predicted against measured", measured, fitted)
        console.print(grid.title, rich_grid(grid), *fit_lines(measured, fitted), sep="\n")


if __name__ == "__main__":
    main()
