"""What all measuring has in common: being stopped, and when a machine counts as busy."""

BUSY_SPREAD = 0.10  # rounds that differ by more of their median tell of a busy machine


class Stopped(Exception):
    """A run was asked to stop; what it measured is void."""
