"""What a measurement leaves behind: raw values and the environment, as JSON. The wings speak to each other by these.

One more kind of record: frozen data in a file of its own, opened with what `json_file.py` has; and its name in
`any.py`, where it has a page.
"""
