"""Other hands than the page's: OSC from a lighting desk or a phone, MIDI from a controller with knobs."""

import logging
import threading
from typing import Any

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.show.performance import Opened

_log = logging.getLogger("artmirror.show")


class _Hands:
    """What OSC and MIDI have in common: the performance that runs, if one does."""

    def __init__(self) -> None:
        self._opened: Opened | None = None

    def admit(self, opened: Opened | None) -> None:
        """The performance that is reached from now on."""
        self._opened = opened

    def act(self, name: str, value: float | str | None) -> bool:
        """Do what a message asks for; False where it says nothing known.

        Args:
            value: 0 to 1, or a painting's key.
        """
        opened = self._opened
        if opened is None:
            return False
        director = opened.director
        on = isinstance(value, int | float) and value >= 0.5
        if name == "strength" and isinstance(value, int | float):
            director.set_strength(min(1.0, max(0.0, float(value))))
        elif name == "show" and value is not None:
            if isinstance(value, str):
                return director.show_key(value)
            director.show(int(value))
        elif name in ("next", "previous", "photo", "card") and (value is None or on):
            {
                "next": director.next,
                "previous": director.previous,
                "photo": director.take_photo,
                "card": director.show_card,
            }[name]()
        elif name == "black":
            director.black(on)
        elif name == "hold":
            director.hold(on)
        elif name == "keep_colours":
            director.set_keep_colours(on)
        else:
            return name in ("next", "previous", "photo", "card")  # a button that is let go
        return True


class OscDoor(_Hands):
    """Listens for OSC over UDP: /artmirror/next, /artmirror/show "starry", /artmirror/strength 0.5 ...

    Raises:
        ArtmirrorError: the port is taken.
    """

    def __init__(self, address: str, port: int) -> None:
        super().__init__()
        from pythonosc.dispatcher import Dispatcher
        from pythonosc.osc_server import BlockingOSCUDPServer

        dispatcher = Dispatcher()
        dispatcher.map("/artmirror/*", self._hear)
        try:
            self._server = BlockingOSCUDPServer((address, port), dispatcher)
        except OSError as error:
            raise ArtmirrorError(
                f"OSC cannot listen at {address}:{port}: {error.strerror}; choose another osc_port"
            ) from None
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _hear(self, address: str, *values: Any) -> None:
        value = values[0] if values and isinstance(values[0], int | float | str) else None
        if not self.act(address.rpartition("/")[2], value):
            _log.info("OSC: %s is not understood", address)


class MidiDoor(_Hands):
    """Listens to a MIDI port: notes from 36 (C1) show paintings, 24 photo, 25 next, 26 previous; controller 1 strength.

    Raises:
        ArtmirrorError: there is no such port, or the extra is missing.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            import mido

            names = mido.get_input_names()
        except ImportError:
            raise ArtmirrorError(
                "MIDI needs the packages mido and python-rtmidi; install them with pip install 'artmirror[midi]'"
            ) from None
        found = next((one for one in names if name.lower() in one.lower()), None)
        if found is None:
            raise ArtmirrorError(f"there is no MIDI port {name}; there are: {', '.join(names) or 'none'}")
        self._port = mido.open_input(found, callback=self.hear)

    def hear(self, message: Any) -> None:
        """Obey a MIDI message."""
        if message.type == "control_change" and message.control == 1:
            self.act("strength", message.value / 127)
        elif message.type == "note_on" and message.velocity > 0:
            buttons = {24: "photo", 25: "next", 26: "previous"}
            if message.note in buttons:
                self.act(buttons[message.note], None)
            elif message.note >= 36:
                self.act("show", message.note - 36)

    def close(self) -> None:
        """Listen no more."""
        self._port.close()
