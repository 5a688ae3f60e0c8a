"""The file names that stand for pictures and for videos."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi")  # that can be written; what can be read is libav's business
