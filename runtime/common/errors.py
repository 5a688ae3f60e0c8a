"""Errors that a user can act on."""

import re

import click

_LONGEST = 2000  # characters of a message
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # and half characters


class ArtmirrorError(click.ClickException):
    """A runtime failure told in one line: what was got, what was wanted, what to do. Exit code 1.

    It is click's own exception, so every command prints it as one line without a traceback; a program that uses
    the package as a library catches this class. What a file said of itself may stand in the message: what cannot be
    printed in a line is replaced.
    """

    def __init__(self, message: str) -> None:
        cut = message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ..."
        super().__init__(_UNPRINTABLE.sub("?", cut.replace("\n", " ")))


class CannotRunHere(ArtmirrorError):
    """The file is whole, but this machine lacks what it needs: a GPU, a driver, a library, or the right one of them."""
