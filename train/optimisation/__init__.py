"""Pictures that are optimised one by one, without a network that paints: slow, and the best look that there is.

One more method: a module that turns pictures into pictures, its paper and equations at its top, and its option in
`train/paint_cli.py`.
"""
