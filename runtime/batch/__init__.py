"""Archives: thousands of files, one task each, by processes of this machine or by a Ray cluster; extra `[cluster]`.

    tasks (what there is) --> runner (processes | Ray) --> work (one file, st-run's own way)
                                  |
                               ledger (what was done)

One more way to run tasks: a class with `run` as in `processes.py`, chosen in `cli.py`.
"""
