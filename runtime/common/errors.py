"""Errors that a user can act on."""

import click


class ArtmirrorError(click.ClickException):
    """A runtime failure told in one line: what was got, what was wanted, what to do. Exit code 1.

    It is click's own exception, so every command prints it as one line without a traceback; a program that uses
    the package as a library catches this class.
    """


class CannotRunHere(ArtmirrorError):
    """The file is whole, but this machine lacks what it needs: a GPU, a driver, a library, or the right one of them."""
