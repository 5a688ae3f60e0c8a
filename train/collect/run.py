"""Clips from a web page or a list into a folder, as `st-data collect` does it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.filesize import decimal

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.collect.client import PoliteClient, PostponedError, RefusedError, parsed, read_up_to
from artmirror.train.collect.collection import Collection
from artmirror.train.collect.download import DownloadPace, SizeLimit, download
from artmirror.train.collect.links import is_video_url, links_in_list, links_on_page
from artmirror.train.collect.video_check import is_video_type

_MAX_PAGE_BYTES = 5_000_000
_MOST_TAGS = 500_000  # of a page; each takes about a kilobyte of memory


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """How much is collected, and how fast."""

    max_size_bytes: int = 500_000_000  # of one file
    max_total_bytes: int = 20_000_000_000  # of all files in the folder, those of earlier runs too
    max_files: int = 1000  # in the folder, those of earlier runs too
    rate_bytes_per_s: float = 5_000_000.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one link."""

    url: str
    kind: Literal["collected", "there", "wanted", "refused"]  # "wanted" is what a dry run would fetch
    file: str = ""
    bytes: int = 0
    reason: str = ""  # of what is refused


def find_links(client: PoliteClient, source: str) -> list[str]:
    """Return the URLs that `source` names: a web page, a list (from the web or a text file), or a video itself.

    The hosts that the user names so, in the address or in the text file, may be in a private network.

    Raises:
        ArtmirrorError: it cannot be read, or names no video.
    """
    if "://" in source:
        client.name(source)
        links = _links_from_web(client, source)
    else:
        links = _links_from_file(Path(source))
        for link in links:
            client.name(link)
    if not links:
        raise ArtmirrorError(f"{source} has no links to video files; name another page, or a list with one URL a line")
    return links


def _links_from_file(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ArtmirrorError(f"{path} is not a text file; wanted a list with one URL a line") from None
    except FileNotFoundError:
        raise ArtmirrorError(
            f"{path} does not exist; wanted a list, or a page's address with http:// or https://"
        ) from None
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; wanted a list with one URL a line") from None
    links = links_in_list(text)
    if links and not any("://" in link for link in links):
        raise ArtmirrorError(f"{path} holds no URL; wanted one a line, each with http:// or https://")
    return links


def _links_from_web(client: PoliteClient, source: str) -> list[str]:
    if is_video_url(source):
        return links_in_list(source)

    def read() -> list[str]:
        with client.get(source) as response:
            content_type = response.headers.get("content-type", "")
            kind = content_type.partition(";")[0].strip().lower()
            is_page = kind in ("text/html", "application/xhtml+xml")
            if not is_page and not kind.startswith("text/"):
                if is_video_type(content_type):
                    return links_in_list(source)
                raise RefusedError(f"it is {content_type!a}, neither a page nor a list")
            content, whole = read_up_to(response, _MAX_PAGE_BYTES)
            if not whole:
                raise RefusedError(f"it is larger than {decimal(_MAX_PAGE_BYTES)}")
            url = str(response.url)
            if is_page and content.count(b"<") > _MOST_TAGS:
                raise RefusedError(f"it has more than {_MOST_TAGS} tags")
            if is_page:
                return links_on_page(content, url, response.charset_encoding)
            return links_in_list(content.decode("utf-8-sig", errors="replace"), url)

    try:
        return client.persist(read)
    except RefusedError as error:
        raise ArtmirrorError(f"cannot collect from {source}: {error}") from None


def plan(links: Sequence[str], client: PoliteClient, collection: Collection) -> Iterator[Outcome]:
    """Tell for every link what `collect` would do; asks the hosts for their robots.txt only."""
    for url in links:
        if collection.is_there(url):
            yield _there(collection, url)
            continue
        try:
            client.check(parsed(url))
        except RefusedError as error:
            yield Outcome(url, "refused", reason=str(error))
        else:
            yield Outcome(url, "wanted")


def collect(
    links: Sequence[str],
    client: PoliteClient,
    collection: Collection,
    config: CollectConfig,
    on_bytes: Callable[[str, int, int | None], object] = lambda url, done, total: None,
) -> Iterator[Outcome]:
    """Fetch the links one after the other, and tell of each what became of it.

    It can be left at any time, also by being killed: the next call goes on in the middle of the file.

    Args:
        on_bytes: Is told, while a URL is fetched, how many bytes are there, and of how many if that is known.

    Raises:
        ArtmirrorError: the folder cannot be written to.
    """
    collection.prepare()
    pace = DownloadPace(config.rate_bytes_per_s, client.sleep, client.monotonic)
    there = [clip.bytes for url, clip in collection.clips.items() if collection.is_there(url)]
    files, total_bytes = len(there), sum(there)
    for url in links:
        if collection.is_there(url):
            yield _there(collection, url)
            continue
        left_bytes = config.max_total_bytes - total_bytes
        try:
            if files >= config.max_files:
                raise RefusedError(f"{files} files are there, as many as --max-files allows")
            if left_bytes <= 0:
                raise RefusedError(f"{decimal(total_bytes)} are there, as much as --max-total allows")
            limit = SizeLimit(config.max_size_bytes, f"larger than {decimal(config.max_size_bytes)} (--max-size)")
            if left_bytes < limit.bytes:
                limit = SizeLimit(left_bytes, f"larger than the {decimal(left_bytes)} that are left of --max-total")
            clip = download(client, url, collection, limit, pace, partial(on_bytes, url))
        except PostponedError as error:
            kept = "; what came of it is kept" if url in collection.partial else ""
            yield Outcome(url, "refused", reason=f"{error}{kept}")
        except RefusedError as error:
            yield Outcome(url, "refused", reason=str(error))
        except OSError as error:
            raise collection.cannot_write(error) from None
        else:
            files, total_bytes = files + 1, total_bytes + clip.bytes
            yield Outcome(url, "collected", clip.file, clip.bytes)


def _there(collection: Collection, url: str) -> Outcome:
    clip = collection.clips[url]
    return Outcome(url, "there", clip.file, clip.bytes)
