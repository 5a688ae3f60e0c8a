"""`st-bench temporal`: how much painted clips flicker.

One more painter (a network of another kind): a class that keeps the Protocol of `painters.py`, in a file of its own.
"""
