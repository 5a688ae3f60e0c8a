"""Makes the code of a painting. It runs once a painting, so it takes whichever library for processors is there."""

from pathlib import Path
from typing import Any

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import painting_view
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.formats.encoder import read_encoder_manifest


class Encoder:
    """An opened NAME-encoder.onnx."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ArtmirrorError: it is missing, damaged, no encoder, or no library is there to run it.
        """
        self.manifest = read_encoder_manifest(path)
        self._path = path
        self._run = _opened(path)

    def code(self, bgr: Pixels) -> Vector:  # (h, w, 3) uint8 BGR, of any size
        """The painting's code, (C,) float32.

        Raises:
            ArtmirrorError: the library fails.
        """
        try:
            found = np.asarray(self._run(painting_view(bgr)[None]), np.float32)
        except Exception as error:  # libraries have many classes of errors
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArtmirrorError(f"{self._path} fails: {told}; copy it again") from error
        if found.shape != (self.manifest.code_length,) or not np.isfinite(found).all():
            raise ArtmirrorError(f"{self._path} gives no code of {self.manifest.code_length} numbers; copy it again")
        return found


def _opened(path: Path) -> Any:
    """A function from (1, h, w, 3) uint8 BGR to a code."""
    try:
        from artmirror.runtime.engines.openvino import compile_encoder

        return compile_encoder(path)
    except ImportError:
        pass
    try:
        from artmirror.runtime.engines.onnxruntime import compile_encoder as compile_by_onnxruntime
    except ImportError:
        raise ArtmirrorError(
            "a painting's code needs openvino or onnxruntime; install one with pip install openvino"
        ) from None
    return compile_by_onnxruntime(path)
