"""The yardstick: how far a network's look is from the best that is possible, and a blind test for people."""
