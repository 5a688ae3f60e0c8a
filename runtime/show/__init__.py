"""The installation: what a museum hangs up and leaves alone. An application on top of the runtime; extra `[show]`.

settings -> scenes -> stage ------+
                                  v
camera (watched) --> pipeline --> delivery --> screen, outputs, preview
                        ^             |
                    director <--- keys, remote, OSC, MIDI, clock, presence

One more setting: a field in `settings.py`, with words in `example.toml`. One more way to reach in: a `Door` of
`show.py`. One more thing on the screen: a patch in `cards.py`, which `presenter.py` lays.
"""
