"""Where frames come from: one file for each kind of source.

One more: a class that keeps the Protocol of `base.py`, in a file of its own, and its URI in `open.py`.
"""
