"""`st-bench gpu`: all that is to be measured on a GPU, in one call.

One more engine there: a row in the table of engines in `cli.py`; one more figure of it: a field of `Row` in
`benchmarks/records/gpu.py`, measured in `rows.py`, shown in `table.py`.
"""
