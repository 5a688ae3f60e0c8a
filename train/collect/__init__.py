"""`st-data collect`: from a page or a list to a folder of clips.

One more kind of list: a function in `links.py` that gives the addresses of videos.
"""
