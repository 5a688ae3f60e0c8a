"""What is trained: the stylizer.

One more network: a module that paints a batch of frames, in a file of its own. A size of one is a preset in
`train/config.py`.
"""
