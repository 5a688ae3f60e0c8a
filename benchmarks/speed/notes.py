"""What a reader of the speed tables has to know, a line each: pure functions of records."""

from collections.abc import Iterator, Sequence
from statistics import median

from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.speed import Ceilings, Record, Session
from artmirror.benchmarks.speed.starts_table import start_notes
from artmirror.benchmarks.speed.summary import (
    age_percentiles_ms,
    bookkeeping_share,
    frames_dropped,
    hottest_c,
    power_w,
    summarize,
)

_TOLERATED = 0.01  # of a frame's time, for measuring it


def speed_notes(session: Session) -> list[str]:
    """What a reader of the tables has to know, a line each."""
    records = session.records
    # Where there are starts, they tell the memory of a process with one engine.
    memory = start_notes(session) if session.starts else memory_notes(records)
    told = [*notes(records), *memory, *bookkeeping_notes(records)]
    return [*told, *sensor_notes(records), *(f"left out: {omission}" for omission in session.omissions)]


def notes(records: Sequence[Record]) -> Iterator[str]:
    """What the figures of the records hold, and how far they can be trusted."""
    if any(summarize(record).spread > BUSY_SPREAD for record in records):
        yield f"~ spread over {BUSY_SPREAD:.0%}: the machine was busy"
    yield from _holds_notes(records)
    if any(record.scenario == "pipeline" for record in records):
        yield "pipeline latency includes the wait in the queue, which this source keeps full"
    if any(record.scenario == "live" for record in records):
        yield "age: of the shown frame since its capture, ms, over all moments until the next one replaces it"


def memory_notes(records: Sequence[Record]) -> Iterator[str]:
    """The most memory that the session's process ever had."""
    peaks = [record.peak_rss_bytes for record in records if record.peak_rss_bytes is not None]
    if peaks:
        engines = len({(record.engine, record.graph_sha256, record.backend) for record in records})
        shared = f", one process with {engines} engines" if engines > 1 else ""
        yield f"peak memory {max(peaks) / 1e6:.0f} MB{shared}"


def _holds_notes(records: Sequence[Record]) -> Iterator[str]:
    """What each scenario measured; by back end where they differ in that."""
    found: dict[str, dict[str, list[str]]] = {}
    for record in records:
        if record.holds:
            sources = dict.fromkeys(other.source for other in records if other.scenario == record.scenario)
            origin = "".join(f" from {source}" for source in sources if source is not None)
            backends = found.setdefault(record.scenario + origin, {}).setdefault(record.holds, [])
            backends += [record.backend] if record.backend not in backends else []
    for scenario, meanings in found.items():
        for holds, backends in meanings.items():
            whose = "" if len(meanings) == 1 else f" ({', '.join(backends)})"
            yield f"{scenario}{whose}: {holds}"


def live_notes(records: Sequence[Record]) -> Iterator[str]:
    """How old what one sees is, and what one never sees: columns of the larger tables."""
    for record in records:
        if record.scenario == "live":
            half, nearly_all, _ = age_percentiles_ms(record)
            yield (
                f"live, {_name(record)}: age {half:.0f} ms half of the time, {nearly_all:.0f} ms at most 95% of it, "
                f"{frames_dropped(record)} frames dropped"
            )


def bookkeeping_notes(records: Sequence[Record]) -> Iterator[str]:
    """What measuring takes of what is measured."""
    shares = [(share, record) for record in records if (share := bookkeeping_share(record)) is not None]
    if not shares:
        return
    most, worst = max(shares, key=lambda pair: pair[0])
    yield (
        f"measuring took at most {most:.3%} of a frame's time ({_name(worst)} {worst.scenario}), "
        "by the same calls with nothing between them"
    )
    for share, record in shares:
        if share > _TOLERATED:
            yield f"{_name(record)} {record.scenario}: measuring took {share:.1%} of its time; do not trust its figures"


def sensor_notes(records: Sequence[Record]) -> list[str]:
    """Power and temperature, a line for each record, or that nobody tells."""
    if all(one_round.sensed is None for record in records for one_round in record.rounds):
        return []  # of a version that did not ask
    lines = []
    for record in records:
        for gpu, word in ((False, "processor"), (True, "GPU")):
            power, hottest = power_w(record, gpu=gpu), hottest_c(record, gpu=gpu)
            told = [f"{power:.1f} W" if power is not None else "", f"{hottest:.0f} °C" if hottest is not None else ""]
            if any(told):
                lines.append(f"{word} with {_name(record)} {record.scenario}: {', '.join(filter(None, told))}")
    return lines or ["this system tells neither power nor temperature of the processor"]


def roof_notes(ceilings: Ceilings) -> list[str]:
    """The roofs themselves, and what the shares are shares of."""
    values = {"copy": ceilings.copy_bytes_per_s, **ceilings.product_flop_per_s}
    told = [f"{name} product {max(found) / 1e9:.0f} GFLOP/s" for name, found in ceilings.product_flop_per_s.items()]
    lines = [f"roofs measured here: copy {max(ceilings.copy_bytes_per_s) / 1e9:.1f} GB/s, {', '.join(told)}"]
    shaky = [name for name, found in values.items() if (max(found) - min(found)) / median(found) > BUSY_SPREAD]
    if shaky:
        lines.append(f"~ the roofs' own spread is over {BUSY_SPREAD:.0%} ({', '.join(shaky)}): the machine was busy")
    lines.append(
        "reached: share of the FPS that the nearer roof allows; MB: with bias, scale, ReLU and casts done in passing, "
        "nothing kept in caches, so a share of the memory's roof may exceed 100%"
    )
    return lines


def _name(record: Record) -> str:
    return f"{record.engine} {record.backend} {record.precision} {record.width}x{record.height}"
