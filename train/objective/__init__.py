"""What training minimises: VGG-19, the four losses of Huang et al. 2017, the warp that they see motion with.

One more loss: a module that returns a scalar, in `losses.py`, its term in `Objective`, its weight in `LossWeights`.
"""
