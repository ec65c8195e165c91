"""What to try when a model cannot be set up, by what its end says."""

from __future__ import annotations

import re

_HINTS = (
    (r"No module named '([\w.]+)'", r"Add the package that has `\1` to build.python_requirements, and build again."),
    (r"There is no file (\S+) in|has no \w+$", "`run` in cog.yaml (COG_PREDICT_TYPE_STUB) names the file and the class: `predict.py:Predictor`."),
    (r"libcuda\.so|NVIDIA driver|no CUDA-capable device", "The container has no GPU: start it with one, and see `layerwright doctor`."),
    (r"CUDA out of memory|OutOfMemoryError", "The model needs a GPU with more memory, or less at a time."),
    (r"MemoryError|SIGKILL", "The container may have too little memory: the kernel kills what needs more than its limit."),
    (r"No space left on device", "Give the container a larger /tmp, or set TMPDIR to a folder with more space."),
    (r"Read-only file system|Permission denied", "The image may run as any user on a read-only root: write below /tmp alone."),
    (r"Setup timed out", "Raise COG_SETUP_TIMEOUT, or unset it."),
    (r"Name or service not known|Temporary failure in name resolution", "The container reaches no name server: put what setup downloads into the image (`weights` in cog.yaml)."),
)


def hint_for(text: str) -> str | None:
    """A sentence for the first of the known reasons that the text has; None for others.

    >>> hint_for("ModuleNotFoundError: No module named 'torch'")
    'Add the package that has `torch` to build.python_requirements, and build again.'
    """
    for pattern, hint in _HINTS:
        found = re.search(pattern, text.rstrip(), re.MULTILINE)
        if found is not None:
            return found.expand(hint)
    return None
