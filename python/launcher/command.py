"""Run another command as process 1: forward signals, collect orphans, give its exit status."""

from __future__ import annotations

import os
import signal
import sys
from typing import Sequence

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_command(words: Sequence[str]) -> int:
    """Become the command, or its parent when this is process 1, whose duty orphans are."""
    if os.getpid() != 1:
        try:
            os.execvp(words[0], list(words))
        except OSError as error:
            return _cannot_start(words[0], error)
    try:
        child = os.posix_spawnp(words[0], list(words), os.environ, setsigdef=_FORWARDED)
    except OSError as error:
        return _cannot_start(words[0], error)
    for number in _FORWARDED:
        signal.signal(number, lambda received, _frame: _forward(child, received))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _forward(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        pass


def _cannot_start(word: str, error: OSError) -> int:
    print(f"error: cannot run {word}: {error.strerror}", file=sys.stderr)
    return 127 if isinstance(error, FileNotFoundError) else 126
