"""What training sees: pairs of frames with the motion between them, from photos, from clips, or mixed.

One more kind: a `PairStream` (`base.py`) in a file of its own; `train/batches.py` chooses it.
"""
