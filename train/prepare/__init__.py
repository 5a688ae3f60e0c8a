"""`st-data prepare`: from clips to a dataset, which reaches training by file alone.

One more rule that drops shots: its number in `measure.py`, its limit and its words in `shots.py`.
"""
