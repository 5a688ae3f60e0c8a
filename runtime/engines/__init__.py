"""What paints: one file for each library, and the devices that they run on.

One more back end: a class that keeps the Protocol of `base.py`, its name and its choice in `open.py`, and a row in
`tests/runtime/engines/test_contract.py`.
"""
