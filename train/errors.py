"""Errors that a user of training can act on."""

import click


class TrainError(click.ClickException):
    """A training failure told in one line: what was got, what was wanted, what to do. Exit code 1."""


class PeerError(TrainError):
    """Another process of the same run failed, and tells why; this one ends in silence."""
