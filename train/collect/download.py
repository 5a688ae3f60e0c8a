"""One clip from the web into a folder: limited in size and rate, resumed where it broke off, and opened once."""

import mimetypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import httpx
from pathvalidate import sanitize_filename

from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.suffixes import VIDEO_SUFFIXES
from artmirror.train.collect.client import (
    PoliteClient,
    PostponedError,
    RefusedError,
    UnavailableError,
    encoding_of,
    in_time,
    parsed,
)
from artmirror.train.collect.collection import CollectedClip, Collection, PartialClip
from artmirror.train.collect.video_check import NotAVideoError, check_video, is_video_type

_LONGEST_STEM_BYTES = 150  # file systems take 255, and a number and .part are still to come

OnBytes = Callable[[int, int | None], object]  # so many bytes are there, of so many if that is known


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How large a clip may be, and the words for one that is larger."""

    bytes: int
    reason: str


class DownloadPace:
    """Holds a download to a number of bytes a second, with no credit for slow times before."""

    def __init__(self, rate_bytes_per_s: float, sleep: Callable[[float], None], monotonic: Callable[[], float]) -> None:
        self._rate = rate_bytes_per_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._free_s = monotonic()  # when the bytes so far are paid for

    def spend(self, size_bytes: int) -> None:
        """Wait for as long as `size_bytes` take at the rate, less the time since the last ones."""
        now_s = self._monotonic()
        self._free_s = max(self._free_s, now_s - size_bytes / self._rate) + size_bytes / self._rate
        if self._free_s > now_s:
            self._sleep(self._free_s - now_s)


def download(
    client: PoliteClient, url: str, collection: Collection, limit: SizeLimit, pace: DownloadPace, on_bytes: OnBytes
) -> CollectedClip:
    """Fetch `url` into the collection, going on with what is there of it.

    Raises:
        PostponedError: the server does not give it now; what came of it is kept for the next time.
        RefusedError: it may not be fetched, is too large or no video; nothing of it is kept.
        OSError: the folder cannot be written to; what came of it is kept.
    """
    try:
        client.persist(lambda: _fetch(client, url, collection, limit, pace, on_bytes))
        partial = collection.partial[url]
        path = collection.part_path(partial.file)
        check_video(path)
    except PostponedError:
        raise
    except RefusedError:
        collection.drop(url)
        raise
    except NotAVideoError as error:
        collection.drop(url)
        raise RefusedError(str(error)) from None
    with path.open("rb") as file:
        os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
    clip = CollectedClip(
        url=url,
        file=partial.file,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        etag=partial.etag,
        last_modified=partial.last_modified,
        content_type=partial.content_type,
        collected_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    collection.finish(clip)
    return clip


def _fetch(
    client: PoliteClient, url: str, collection: Collection, limit: SizeLimit, pace: DownloadPace, on_bytes: OnBytes
) -> None:
    """Bring `FILE.part` of `url` to its end in one request, or in none if it is there already."""
    partial = collection.partial.get(url)
    offset = _bytes_there(collection, partial)
    if partial is not None and offset == partial.bytes_expected:
        return
    if partial is not None and offset > limit.bytes:
        raise RefusedError(limit.reason)
    headers = {"Range": f"bytes={offset}-", "If-Range": _validator(partial)} if partial is not None and offset else {}
    with client.get(url, headers) as response:
        if encoding_of(response):
            raise RefusedError(
                f"{response.url.host} sends it packed as {encoding_of(response)!a}; wanted the video itself"
            )
        if response.status_code != httpx.codes.OK:
            if partial is None or not _goes_on(response, partial, offset):
                collection.drop(url)
                raise UnavailableError(f"{response.url.host} does not go on where it broke off; from its beginning")
            expected = partial.bytes_expected
        else:
            collection.drop(url)
            offset, expected = 0, _content_length(response)
            partial = _begin(response, url, collection, expected)
        if max(offset, expected or 0) > limit.bytes:
            raise RefusedError(limit.reason)
        on_bytes(offset, expected)
        with collection.part_path(partial.file).open("ab") as file:
            for chunk in in_time(response):
                offset += len(chunk)
                if offset > limit.bytes:
                    raise RefusedError(limit.reason)
                file.write(chunk)
                on_bytes(offset, expected)
                pace.spend(len(chunk))
        if expected not in (None, offset):
            raise UnavailableError(f"{response.url.host} sent {offset} of {expected} bytes")


def _begin(response: httpx.Response, url: str, collection: Collection, expected: int | None) -> PartialClip:
    content_type = response.headers.get("content-type", "")
    if not is_video_type(content_type):
        raise RefusedError(f"{response.url.host} says it is {content_type!a}; wanted a video")
    partial = PartialClip(
        url=url,
        file=collection.free_name(_file_name(url, response), url),
        bytes_expected=expected,
        etag=response.headers.get("etag", ""),
        last_modified=response.headers.get("last-modified", ""),
        content_type=content_type,
    )
    collection.begin(partial)
    return partial


def _bytes_there(collection: Collection, partial: PartialClip | None) -> int:
    """Return how much of a download can be gone on with: nothing, unless its version can be told from a later one."""
    if partial is None or not _validator(partial):
        return 0
    path = collection.part_path(partial.file)
    return path.stat().st_size if path.is_file() else 0


def _validator(partial: PartialClip) -> str:
    """Return what If-Range may hold (RFC 9110, 13.1.5): a strong ETag; the date only where there is no ETag at all."""
    if partial.etag:
        return "" if partial.etag.startswith("W/") else partial.etag
    return partial.last_modified


def _goes_on(response: httpx.Response, partial: PartialClip, offset: int) -> bool:
    """Tell whether an answer is the rest of the very file that `partial` began."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
    return (
        told is not None
        and int(told[1]) == offset
        and (told[2] == "*" or partial.bytes_expected in (None, int(told[2])))
        and response.headers.get("etag", partial.etag) == partial.etag
    )


def _content_length(response: httpx.Response) -> int | None:
    told = response.headers.get("content-length", "")
    return int(told) if told.isdecimal() else None


def _file_name(url: str, response: httpx.Response) -> str:
    """Return a name that is safe on every system; its suffix is a video's: the URL's, the redirect's or the type's."""
    name = sanitize_filename(PurePosixPath(parsed(url).path).name, platform="universal")
    stem, suffix = Path(name).stem, Path(name).suffix
    if suffix.lower() not in VIDEO_SUFFIXES:
        stem = name
        guessed = mimetypes.guess_extension(response.headers.get("content-type", "").partition(";")[0].strip())
        suffixes = (PurePosixPath(response.url.path).suffix.lower(), guessed, ".mp4")
        suffix = next(s for s in suffixes if s in VIDEO_SUFFIXES)
    stem = "".join(letter for letter in stem if letter.isprintable())
    stem = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore").strip(" .-")
    return f"{stem or 'clip'}{suffix}"
