"""Where things lie for tests: the checkout, and the folder of shared data beside it, which need not be there."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
STARRY = ROOT / "runtime" / "styles" / "starry.onnx"
