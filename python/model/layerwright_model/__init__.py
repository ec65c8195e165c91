"""The process that holds the user's model; standard library only, CPython 3.10 or newer.

The launcher starts it with the user's interpreter and two socket pairs. One carries frames (runs in; logs, outputs
and results out), the other is read by a thread, so that a cancellation, a health check or the launcher's death is
noticed while ``run()`` works. See ``channel.py`` for the frames.
"""
