"""The yardstick: how far a network's look is from the best that is possible, and a blind test for people.

One more figure of a look: its value in the class Point of `yardstick.py`, and a column in `cli.py`.
"""
