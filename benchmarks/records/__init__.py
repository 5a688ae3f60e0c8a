"""What a measurement leaves behind: raw values and the environment, as JSON. The wings speak to each other by these.

One more kind of record: frozen data and its check in a file of its own, and its name in `any.py`.
"""
