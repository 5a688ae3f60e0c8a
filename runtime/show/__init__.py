"""The installation: what a museum hangs up and leaves alone. An application on top of the runtime; extra `[show]`.

settings -> scenes -> stage ------+
                                  v
camera (watched) --> pipeline --> delivery --> screen, outputs, preview
                        ^             |
                    director <--- keys, remote, OSC, MIDI, clock, presence
"""
