"""Where painted frames go: one file for each kind of sink.

One more: a class that keeps the Protocol of `base.py`, in a file of its own, and its URI in `open.py`.
"""
