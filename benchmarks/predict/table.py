"""Shows predictions as tables and lines: pure functions."""

from collections.abc import Mapping, Sequence

from artmirror.benchmarks.grid import Grid
from artmirror.benchmarks.predict.cards import Card
from artmirror.benchmarks.predict.fit import Fitted, Measured, median_error
from artmirror.benchmarks.predict.passes import RULES, Pass, Precision
from artmirror.benchmarks.predict.roofline import Efficiencies, PassTime, Roofs, frame_s, pass_times


def cards_grid(
    title: str, passes: Mapping[str, Sequence[Pass]], cards: Sequence[Card], precision: Precision, shares: Efficiencies
) -> Grid:
    """A row for each card, a column of FPS for each set of rules.

    Args:
        passes: Rules -> the network's passes under them.
    """
    header = ("--gpu", "TFLOP/s", "GB/s", "CUDA", *(f"FPS\n{rules}" for rules in passes), "nearer\nroof")
    rows = []
    for card in cards:
        roofs = card.roofs(precision)
        fps = [f"{1 / frame_s(found, roofs, shares):.0f}" for found in passes.values()]
        bound = nearer_roof(pass_times(next(iter(passes.values())), roofs, shares))
        figures = (f"{roofs.flop_per_s / 1e12:.2f}", f"{roofs.bytes_per_s / 1e9:.1f}", card.compute_capability or "")
        rows.append((card.key, *figures, *fps, bound))
    return Grid(title, header, tuple(rows), texts=1)


def kinds_grid(title: str, times: Sequence[PassTime]) -> Grid:
    """A row for each kind of pass, and one for the frame."""
    header = ("passes", "number", "GFLOP", "MB", "ms", "share", "bound by\narithmetic")
    total_s = sum(time.total_s for time in times)
    rows = []
    for kind in dict.fromkeys(time.one.kind for time in times):
        rows.append(_kind_row(kind, [time for time in times if time.one.kind == kind], total_s))
    return Grid(title, header, (*rows, _kind_row("all", times, total_s)), texts=1)


def passes_grid(title: str, times: Sequence[PassTime]) -> Grid:
    """A row for each pass, in the order given."""
    header = ("layer", "kind", "output", "MFLOP", "MB", "us", "bound by")
    rows = tuple(
        (
            time.one.name,
            time.one.kind,
            "x".join(map(str, time.one.shape[1:])),
            f"{time.one.flop / 1e6:.0f}",
            f"{time.one.bytes_moved / 1e6:.2f}",
            f"{1e6 * time.total_s:.0f}",
            time.bound,
        )
        for time in times
    )
    return Grid(title, header, rows, texts=3)


def nearer_roof(times: Sequence[PassTime]) -> str:
    """The roof that decides for more than half of the time."""
    arithmetic_s = sum(time.total_s for time in times if time.bound == "arithmetic")
    return "arithmetic" if 2 * arithmetic_s > sum(time.total_s for time in times) else "memory"


def assumption_lines(shares: Efficiencies, precision: Precision) -> list[str]:
    """All that a prediction rests on."""
    return [
        f"shares of the roofs: {shares.convolution:.0%} of the operations, {shares.memory:.0%} of the bytes "
        f"({shares.conversion:.0%} between uint8 and numbers); {1e6 * shares.launch_s:.1f} us a launch; output "
        f"channels rounded up to a multiple of {shares.channel_step}",
        f"  {shares.source}",
        *(f"{name}: {RULES[name].description}" for name in RULES),
        f"values in {precision}; matrix units, copies to the card and back, and the camera are left out",
    ]


def roofs_line(roofs: Roofs) -> str:
    """Both roofs in words."""
    return f"{roofs.flop_per_s / 1e12:.3g} TFLOP/s, {roofs.bytes_per_s / 1e9:.3g} GB/s"


def fit_grid(title: str, measured: Sequence[Measured], fitted: Fitted) -> Grid:
    """Predicted against measured, a row for each frame."""
    header = ("network", "measured\nms", "predicted\nms", "error", "left out\nms", "error")
    columns = (fitted.predicted_s, fitted.errors(measured), fitted.left_out_s, fitted.left_out_errors(measured))
    rows = tuple(
        (one.name, _ms(one.frame_s), _ms(found), f"{error:+.0%}", _ms(left_out), f"{left_out_error:+.0%}")
        for one, found, error, left_out, left_out_error in zip(measured, *columns, strict=True)
    )
    return Grid(title, header, rows, texts=1)


def fit_lines(measured: Sequence[Measured], fitted: Fitted) -> list[str]:
    """The errors in short, and the efficiencies as they stand in `roofline`."""
    shares = fitted.efficiencies
    return [
        f"median error {median_error(fitted.errors(measured)):.1%}; "
        f"each predicted from the others {median_error(fitted.left_out_errors(measured)):.1%}",
        f"convolution={shares.convolution:.3g}, memory={shares.memory:.3g}, conversion={shares.conversion:.3g}, "
        f"launch_s={shares.launch_s:.2g}, channel_step={shares.channel_step}",
    ]


def _kind_row(name: str, times: Sequence[PassTime], total_s: float) -> tuple[str, ...]:
    own_s = sum(time.total_s for time in times)
    return (
        name,
        str(len(times)),
        f"{sum(time.one.flop for time in times) / 1e9:.2f}",
        f"{sum(time.one.bytes_moved for time in times) / 1e6:.1f}",
        _ms(own_s),
        f"{own_s / total_s:.0%}",
        f"{sum(time.bound == 'arithmetic' for time in times)}",
    )


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"
