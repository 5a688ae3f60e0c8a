"""A blind test: a page that shows pairs in random order, and what the votes say."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from math import comb
from pathlib import Path
from random import Random
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import save_picture
from artmirror.runtime.common.pixels import Pixels

_KEY_FILE, _PAGE, _TEMPLATE = "key.json", "index.html", "blind.html"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people preferred of two."""

    one: str
    other: str
    for_one: int
    for_other: int

    @property
    def p_value(self) -> float:
        """Two-sided exact binomial test: how often votes thrown by a coin are at least as one-sided."""
        count = self.for_one + self.for_other
        extreme = max(self.for_one, self.for_other)
        return float(min(1.0, 2 * sum(comb(count, votes) for votes in range(extreme, count + 1)) / 2**count))


def write_test(
    folder: Path, painting: Pixels, photos: Sequence[Pixels], pictures: Mapping[str, Sequence[Pixels]], seed: int | None
) -> int:
    """Write the page, its pictures under names that tell nothing, and the key to them.

    Args:
        pictures: Of each painter, one for each photo.
        seed: Of order and names; None for others each time.

    Returns:
        How many pairs there are.

    Raises:
        ArtmirrorError: a file cannot be written.
    """
    random = Random(secrets.randbits(64) if seed is None else seed)
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[tuple[str, int], str] = {}
    for number, photo in enumerate(photos):
        save_picture(photo, folder / f"photo_{number}.jpg", 92)
        for name, painted in pictures.items():
            shown[name, number] = f"{random.getrandbits(64):016x}.jpg"
            save_picture(painted[number], folder / shown[name, number], 95)
    save_picture(painting, folder / "painting.jpg", 92)
    pairs, key = [], {}
    for number in range(len(photos)):
        for names in combinations(pictures, 2):
            sides = random.sample(names, 2)
            pair = f"{random.getrandbits(64):016x}"
            key[pair] = sides
            pairs.append({"id": pair, "photo": f"photo_{number}.jpg", "sides": [shown[side, number] for side in sides]})
    random.shuffle(pairs)
    page = files("artmirror.benchmarks.look").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    told = json.dumps(pairs).replace("<", "\\u003c")  # nothing of it ends the script
    (folder / _PAGE).write_text(page.replace("PAIRS", told), encoding="utf-8")
    (folder / _KEY_FILE).write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    return len(pairs)


def read_votes(folder: Path, votes: Sequence[Path]) -> list[Verdict]:
    """Count what people chose, one file a person.

    Raises:
        ArtmirrorError: a file cannot be read, or is of another test.
    """
    key = _read(folder / _KEY_FILE)
    counts: dict[tuple[str, str], list[int]] = {}
    for path in votes:
        for pair, side in _read(path).items():
            if pair not in key or side not in (0, 1):
                raise ArtmirrorError(
                    f"{path} holds a vote for a pair that {folder} does not have; it is of another test"
                )
            names = tuple(sorted(key[pair]))
            chosen = names.index(key[pair][side])
            counts.setdefault((names[0], names[1]), [0, 0])[chosen] += 1
    return [Verdict(*names, *found) for names, found in sorted(counts.items())]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtmirrorError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise ArtmirrorError(f"{path} holds no votes; wanted the file that the page saved")
    return found
