"""The contract between export and runtime: the manifest, and how each kind of file carries it.

One more kind of file: a file here that reads and writes its manifest, and its kind in `kind.py`.
"""
