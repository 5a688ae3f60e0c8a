"""Which TensorRT is installed: `tensorrt` 10.x or 11.x, or `tensorrt_rtx`, which have the same interface.

What differs between them is asked of the module by `hasattr`, never told from a version number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from artmirror.runtime.common.errors import ArtmirrorError

LIBRARIES = ("tensorrt", "tensorrt_rtx")
INSTALL = {"tensorrt": "pip install tensorrt", "tensorrt_rtx": "pip install tensorrt-rtx-cu13"}
CURRENT = "current"  # the target that is the GPU at hand


class BuildProgress(Protocol):
    """Shown while an engine is built. Phases nest: `parent` is the one around."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins."""

    def advance(self, phase: str, step: int) -> bool:
        """A step is done; False stops the build."""

    def finish(self, phase: str) -> None:
        """A phase ends."""


@dataclass(frozen=True, slots=True)
class Library:
    """An installed TensorRT."""

    name: str
    version: str
    trt: Any  # the module

    @property
    def targets(self) -> tuple[str, ...]:
        """GPUs elsewhere that it builds for: ("sm75", "sm86", ...), empty where it only builds for the GPU at hand."""
        members = getattr(getattr(self.trt, "ComputeCapability", None), "__members__", {})
        return tuple(name.lower() for name in members if name not in {"NONE", "CURRENT"})


def find_library(name: str | None = None, targets: Iterable[str] = (CURRENT,)) -> Library | None:
    """The first installed library that builds for these targets, or None.

    Args:
        name: Take this one of `LIBRARIES` and no other.
        targets: "current" and names like "sm86".

    Raises:
        ArtmirrorError: one is installed and does not load, or does not build for the targets.
    """
    elsewhere = [target for target in targets if target != CURRENT]
    refusal = None
    for candidate in (name,) if name else LIBRARIES:
        try:
            module = import_module(candidate)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArtmirrorError(
                f"{candidate} is installed and does not load ({reason}); install it again: {INSTALL[candidate]}"
            ) from None
        library = Library(candidate, str(module.__version__), module)
        unknown = [target for target in elsewhere if target not in library.targets]
        if not unknown:
            return library
        refusal = f"{candidate} {library.version} does not build for {', '.join(unknown)}" + (
            f"; its targets are {', '.join(library.targets)} and current"
            if library.targets
            else f", only for the GPU at hand; targets elsewhere need {INSTALL['tensorrt_rtx']}"
        )
    if refusal:
        raise ArtmirrorError(refusal)
    return None


def message_logger(trt: Any, verbose: bool) -> Any:
    """An ILogger that keeps the library's errors in its list `errors`, and prints everything if asked."""
    base: Any = trt.ILogger

    class Messages(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity == base.ERROR:
                self.errors.append(message)
            if verbose and severity != base.VERBOSE:
                print(f"{severity.name.lower()}: {message}")  # noqa: T201

    return Messages()


def progress_monitor(trt: Any, progress: BuildProgress) -> Any | None:
    """An IProgressMonitor, or None where the library has none."""
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return None

    class Monitor(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.advance(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
