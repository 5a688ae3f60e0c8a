"""NDI, received by a real receiver on this machine."""

import json
import os
import subprocess
import sys

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sinks.open import is_one_file_a_frame, open_sink
from tests.fakes.media import error_of_sink, format_of, make_slot
from tests.places import ROOT

pytest.importorskip("cyndilib", reason="there is no wheel of NDI's library for this system")

# A receiver that looks at this machine alone, without a daemon that announces names on the network.
_SETTINGS = {"ndi": {"networks": {"ips": "127.0.0.1,"}}}
_PROGRAM = """
import json, sys, time
import numpy as np
from cyndilib.finder import Finder
from cyndilib.receiver import Receiver
from cyndilib.video_frame import VideoFrameSync
from cyndilib.wrapper.ndi_recv import RecvBandwidth, RecvColorFormat
from artmirror.runtime.sinks.open import open_sink
from tests.fakes.media import format_of, make_slot

picture = np.zeros((96, 128, 3), np.uint8)
picture[:48], picture[48:] = (200, 20, 30), (10, 30, 220)  # BGR
slot = make_slot((96, 128))
slot.stylized[:] = picture
sink = open_sink("ndi:Hall 2", format_of(size=(96, 128)))
finder, seen = Finder(), VideoFrameSync()
receiver = Receiver(color_format=RecvColorFormat.RGBX_RGBA, bandwidth=RecvBandwidth.highest)
receiver.frame_sync.set_video_frame(seen)
finder.open()
found, end_s = None, time.monotonic() + 60
while time.monotonic() < end_s and not (seen.xres and seen.yres):
    assert sink.write(slot)
    names = [name for name in finder.get_source_names() if "Hall 2" in name]
    if found is None and names:
        found = names[0]
        receiver.set_source(finder.get_source(found))
    if receiver.is_connected():
        receiver.frame_sync.capture_video()
    time.sleep(0.02)
got = seen.get_array().reshape(seen.yres, seen.xres, 4)
above, below = (got[row, 9, :3].tolist() for row in (10, 90))
print(json.dumps({"name": found, "size": got.shape[:2], "above": above, "below": below}))
sys.stdout.flush()
sink.close()
sink.discard()  # after the end: nothing
"""


def test_a_receiver_finds_it_by_name_and_sees_the_picture(tmp_path):
    (tmp_path / "ndi-config.v1.json").write_text(json.dumps(_SETTINGS))
    environment = {**os.environ, "NDI_CONFIG_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["name"].endswith("(Hall 2)")
    assert told["size"] == [96, 128]
    for place, rgb in (("above", (30, 20, 200)), ("below", (220, 30, 10))):
        assert max(abs(one - other) for one, other in zip(told[place], rgb, strict=True)) <= 24  # NDI compresses


def test_frames_of_one_size_are_wanted():
    assert not is_one_file_a_frame("ndi:")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyndilib.sender", None)
    assert "pip install 'artmirror[ndi]'" in error_of_sink("ndi:", format_of())


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("open", "cannot send artmirror by NDI: no more; is the name taken?"),
        ("write_video_async", "NDI failed: no more"),
    ],
)
def test_a_library_that_fails_is_told(monkeypatch, step, told):
    import cyndilib.sender

    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(cyndilib.sender, "Sender", type("Sender", (cyndilib.sender.Sender,), {step: fail}))
    with pytest.raises(ArtmirrorError) as caught:
        open_sink("ndi:", format_of()).write(make_slot((96, 128)))
    assert told in caught.value.message
