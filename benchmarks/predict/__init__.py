"""`st-bench predict`: frame rates on hardware that is not here.

One more card: a row in `cards.py`; one more kind of layer: its cost in `passes.py`.
"""
