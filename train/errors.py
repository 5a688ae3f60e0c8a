"""Errors that a user of training can act on."""

import click


class TrainError(click.ClickException):
    """A training failure told in one line: what was got, what was wanted, what to do. Exit code 1."""
