"""Found as `tensorrt` by programs on a simulated machine: the stand-in for the library, on the simulated driver."""

import sys

from tests.fakes.cuda_driver.gpu import SimulatedGpu
from tests.fakes.tensorrt_runtime import FakeTensorRt

sys.modules[__name__] = FakeTensorRt(SimulatedGpu())
