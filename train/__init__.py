"""Photos and one painting in, a checkpoint (`starry.pt`) out. Imports torch."""
