"""What is trained: the stylizer of one painting, that of many, and the encoder from a painting to its code.

One more network: a module that paints a batch of frames, in a file of its own. A size of one is a preset in
`train/config.py`.
"""
