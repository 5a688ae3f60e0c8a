"""OpenVINO's own ways."""

import os
import subprocess
import sys
from pathlib import Path

_CODE = """
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.gallery.bundled import find_style
engine = open_engine(find_style("starry-nano"), size=(64, 96))
slot = engine.allocate(1)[0]
slot.frame[:] = 90
stylize(engine, slot)
print(engine.describe().precision, slot.stylized.std() > 1)
"""


def test_a_processor_whose_bf16_may_not_be_used_computes_in_fp32(tmp_path: Path) -> None:
    """As a machine without AVX-512 is imitated; also where there is none."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fp32", "True"]
