"""The file names that stand for pictures and for videos; nothing else is imported with them."""

WRITTEN_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PICTURE_SUFFIXES = (*WRITTEN_PICTURE_SUFFIXES, ".jfif", ".heic", ".heif", ".avif")  # read
VIDEO_SUFFIXES = (  # read, where a folder is searched or a page's links; a file that is named may have any other
    *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".ts"),
    *(".3gp", ".flv", ".m2ts", ".mts", ".vob", ".wmv", ".y4m"),
)
WRITTEN_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi")
