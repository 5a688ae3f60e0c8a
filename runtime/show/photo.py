"""The picture to take home: painted in full quality, kept in memory only, gone after some minutes."""

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import Engine, Look, stylize
from artmirror.runtime.frame import FrameSlot

_log = logging.getLogger("artmirror.show")

_JPEG_QUALITY = 93
_KEY_BYTES = 16  # 128 bits: nobody guesses the address of another visitor's photo


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photo."""

    key: str  # 32 hexadecimal digits
    jpeg: bytes
    title: str  # of the painting
    expires_s: float  # on the store's clock


class PhotoStore:
    """Photos in memory. All calls from any thread.

    Args:
        kept_s: How long each is kept.
        most: How many at a time; the oldest goes first.
    """

    def __init__(self, kept_s: float, most: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.kept_s, self.most = kept_s, most
        self._clock_s = clock_s
        self._photos: OrderedDict[str, Photo] = OrderedDict()
        self._changing = threading.Lock()

    def add(self, jpeg: bytes, title: str) -> Photo:
        """Keep one."""
        photo = Photo(secrets.token_hex(_KEY_BYTES), jpeg, title, self._clock_s() + self.kept_s)
        with self._changing:
            self._photos[photo.key] = photo
        self.forget()
        return photo

    def get(self, key: str) -> Photo | None:
        """A photo, where it is still there."""
        self.forget()
        with self._changing:
            return self._photos.get(key)

    def left_s(self, photo: Photo) -> float:
        """Seconds until it is gone."""
        return max(0.0, photo.expires_s - self._clock_s())

    def forget(self) -> None:
        """Drop what is too old, and the oldest of too many."""
        now_s = self._clock_s()
        with self._changing:
            for key in [key for key, photo in self._photos.items() if photo.expires_s <= now_s]:
                del self._photos[key]
            while len(self._photos) > self.most:
                self._photos.popitem(last=False)

    def __len__(self) -> int:
        return len(self._photos)


class PhotoBooth:
    """Paints one photo at a time in a thread of its own, by engines that were compiled before the show.

    Args:
        engines: One for each network in full quality, by `Look.network`; `close` closes them.
        around: As the show's own engines have it, for colours and masks.
    """

    def __init__(
        self, engines: dict[int, Engine], store: PhotoStore, around: Callable[[Engine], Engine] = lambda engine: engine
    ) -> None:
        self.store = store
        self._engines = {network: around(engine) for network, engine in engines.items()}
        self._slots: dict[int, FrameSlot] = {}
        self._thread: threading.Thread | None = None
        self.newest: Photo | None = None
        self.failed = False

    @property
    def busy(self) -> bool:
        """Whether one is being painted."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, picture: Pixels, look: Look, title: str) -> None:
        """Paint a picture; `newest` is there when `busy` ends.

        Args:
            look: Its style is copied.
        """
        style = None if look.style is None else look.style.copy()
        self.newest, self.failed = None, False
        mine = Look(look.strength, style, look.network)
        self._thread = threading.Thread(target=self._paint, args=(picture, mine, title), name="photo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for a photo in work, and free the engines."""
        if self._thread is not None:
            self._thread.join(timeout=10)
        for engine in self._engines.values():
            engine.close()

    def _paint(self, picture: Pixels, look: Look, title: str) -> None:
        try:
            engine = self._engines[look.network]
            if look.network not in self._slots:
                self._slots[look.network] = engine.allocate(1)[0]
            slot = self._slots[look.network]
            if picture.shape != slot.frame.shape:
                raise ArtmirrorError(f"the camera gives {picture.shape[1]}x{picture.shape[0]} now")
            np.copyto(slot.frame, picture)
            stylize(engine, slot, Look(look.strength, look.style))
            jpeg = bytes(encode_picture(slot.stylized, ".jpg", _JPEG_QUALITY))
            slot.frame[:] = slot.stylized[:] = 0  # nobody stays in memory longer than the photo does
            self.newest = self.store.add(jpeg, title)
        except Exception as error:  # a photo that fails is told, and the show goes on
            self.failed = True
            _log.warning("the photo failed: %s", getattr(error, "message", error))
