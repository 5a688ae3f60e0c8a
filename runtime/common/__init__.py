"""The ground floor of the house: what every room may use (errors, files, pictures, video, flow).

One more: a file with a noun's name. It needs numpy, OpenCV, PyAV, click and rich only, never torch or the library of
an engine.
"""
