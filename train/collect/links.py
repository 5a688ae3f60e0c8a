"""Links to video files, from a web page or from a list."""

import warnings
from pathlib import PurePosixPath

import httpx
from bs4 import BeautifulSoup, UnusualUsageWarning

from artmirror.runtime.common.suffixes import VIDEO_SUFFIXES

_LINKS = {  # CSS selector -> attribute that holds the URL
    "a[href]": "href",
    "video[src]": "src",
    "source[src]": "src",
    'meta[property="og:video"], meta[property="og:video:url"], meta[property="og:video:secure_url"]': "content",
}


def links_on_page(html: bytes, url: str, charset: str | None = None) -> list[str]:
    """Find links to video files in `<a>`, `<video>`, `<source>` and og:video, as the page has them in order, each once.

    Taken are http and https links whose path ends like a video file's (`VIDEO_SUFFIXES`).

    Args:
        html: The page as it came.
        url: Its address, which relative links start from unless the page names another in `<base>`.
        charset: Its encoding, where the server told; else the page's own word is taken.
    """
    with warnings.catch_warnings(action="ignore", category=UnusualUsageWarning):  # XHTML is read as HTML on purpose
        page = BeautifulSoup(html, "html.parser", from_encoding=charset)
    base = page.select_one("base[href]")
    start = (_joined(url, str(base["href"])) if base else None) or url
    order = {id(element): position for position, element in enumerate(page.find_all(True))}
    found = [(order[id(e)], str(e.get(key, ""))) for css, key in _LINKS.items() for e in page.select(css)]
    links = [_joined(start, link) for _, link in sorted(found)]
    return _once([link for link in links if link is not None and is_video_url(link)])


def links_in_list(text: str, url: str | None = None) -> list[str]:
    """Read a list: one URL a line, whatever its ending; empty lines and those that begin with # are left out.

    A line that is no URL stays as it is, for whoever fetches it to refuse by name.

    Args:
        url: Where the list came from, if from the web: relative lines start there.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return _once([_joined(url or "", line) or _printable(line) for line in lines])


def is_video_url(url: str) -> bool:
    """Tell whether a URL is http or https, and its path ends like a video file's."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and PurePosixPath(parsed.path).suffix.lower() in VIDEO_SUFFIXES


def _joined(base: str, link: str) -> str | None:
    try:
        return str(httpx.URL(base).join(link.strip()).copy_with(fragment=None))
    except httpx.InvalidURL:
        return None


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)  # it will be shown on a terminal


def _once(links: list[str]) -> list[str]:
    return list(dict.fromkeys(links))
