"""Ways to spoil a file: its bytes, its plain data, its text. All drawn from one random generator."""

import copy
import json
import random
from typing import Any

_LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def spoiled_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few changes: bits, bytes, numbers of four or eight bytes; parts cut off, doubled, moved or blanked."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not found:
            break
        # Most of what a reader believes stands at the beginning.
        reach = len(found) if rng.random() < 0.6 else min(len(found), 512)
        at = rng.randrange(reach)
        length = rng.choice((1, 2, 4, 16, 256, 4096))
        match rng.randrange(9):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at] = rng.choice(_BYTES)
            case 2:
                found[at : at + 4] = rng.choice(_LENGTHS).to_bytes(4, rng.choice(("little", "big")))
            case 3:
                found[at : at + 8] = rng.randrange(1 << 64).to_bytes(8, rng.choice(("little", "big")))
            case 4:
                del found[at:]
            case 5:
                del found[at : at + length]
            case 6:
                found[at:at] = found[at : at + length]
            case 7:
                found[at : at + length] = bytes(min(length, len(found) - at))
            case _:
                found[at:at] = rng.randbytes(min(length, 64))
    return bytes(found)


def strange_value(rng: random.Random) -> Any:
    """Something that may not belong where it stands."""
    return copy.deepcopy(
        rng.choice(
            (
                *(None, True, False, -1, 0, 1, 3, 64, 10**6, 10**9, 1 << 40, -(1 << 40), 1 << 70, -(1 << 70)),
                *(0.5, -0.5, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
                *("", "x", "1", "a\nb", "\x1b[31m", "\0", "../../etc/passwd", "/etc/passwd", "é" * 3, "y" * 100_000),
                *([], {}, [1], [-1, "a"], [[]], {"a": 1}, [None], {"": None}),
            )
        )
    )


def spoiled_data(data: Any, rng: random.Random) -> Any:
    """Plain data with some values changed, taken away, doubled or put in."""
    found = [copy.deepcopy(data)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        at: Any = found
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = rng.choice(keys)
            inner = isinstance(at[key], dict | list) and at[key]
            if inner and (at is found or rng.random() < 0.8):
                at = at[key]
                continue
            _spoil_entry(at, key, rng)
            break
    return found[0]


def _spoil_entry(at: Any, key: Any, rng: random.Random) -> None:
    match rng.randrange(6):
        case 0:
            del at[key]
        case 1 if isinstance(at, list):
            at += copy.deepcopy(at[: rng.randrange(1, 4)])
        case 1:
            at[f"{key}x"] = at.pop(key)
        case 2 if isinstance(at[key], int | float):
            at[key] = at[key] * rng.choice((-1, 0, 1000, 1 << 32)) + rng.choice((0, 1, 0.5))
        case 3:
            at[key] = [at[key]]
        case 4 if isinstance(at, dict):
            at[rng.choice(list(at))] = at[key]
        case _:
            at[key] = strange_value(rng)
    if not isinstance(at, dict) and not at:
        at.append(strange_value(rng))


def spoiled_json(text: str, rng: random.Random) -> bytes:
    """JSON with other values, nested without end, or with its bytes spoiled."""
    kind = rng.random()
    if kind < 0.7:
        return json.dumps(spoiled_data(json.loads(text), rng)).encode()
    if kind < 0.85:
        deep = rng.choice((70, 500, 5000, 200_000))
        inner = rng.choice((("[" * deep, "]" * deep), ('{"a":' * deep + "1", "}" * deep), ("[" * deep, "")))
        values = json.loads(text)
        values[rng.choice(list(values)) if isinstance(values, dict) else 0] = "HERE"
        return json.dumps(values).replace('"HERE"', "".join(inner), 1).encode()
    return spoiled_bytes(text.encode(), rng)


def spoiled_text(text: str, rng: random.Random) -> bytes:
    """Text with words changed for strange ones, lines doubled and taken away, or with its bytes spoiled."""
    if rng.random() < 0.3:
        return spoiled_bytes(text.encode(), rng)
    lines = [line.split(" ") for line in text.splitlines()]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(at, list(lines[at]))
            case _:
                words = lines[at]
                place = rng.choice([index for index, word in enumerate(words) if word] or [0])
                key, separator, _ = words[place].partition("=")
                strange = json.dumps(strange_value(rng))[:2000]
                words[place] = f"{key}={strange}" if separator and rng.random() < 0.8 else strange
    return "\n".join(" ".join(words) for words in lines).encode()
