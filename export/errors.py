"""Errors that a user of export can act on."""

from artmirror.runtime.common.errors import ArtmirrorError


class ExportError(ArtmirrorError):
    """An export failure told in one line. Exit code 1."""
