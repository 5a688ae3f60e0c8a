"""`st-bench`: its commands; the first is meant where none is named."""

import click

from artmirror.benchmarks.compare.cli import compare
from artmirror.benchmarks.gpu.cli import gpu
from artmirror.benchmarks.look.cli import look
from artmirror.benchmarks.predict.cli import capacity, predict
from artmirror.benchmarks.report.cli import report
from artmirror.benchmarks.speed.cli import speed
from artmirror.benchmarks.speed.training import training
from artmirror.benchmarks.temporal.cli import temporal
from artmirror.benchmarks.temporal.flow_cli import flow
from artmirror.runtime.common.command import DefaultGroup


@click.group("st-bench", cls=DefaultGroup)
def main() -> None:
    """The commands; the first is meant where none is named."""


for command in (speed, temporal, compare, report, predict, capacity, flow, look, training, gpu):
    main.add_command(command)


if __name__ == "__main__":
    main()
