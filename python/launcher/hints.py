"""What to try when a model cannot be set up, by what its end says."""

from __future__ import annotations

import re

#: Debian's packages of the libraries that wheels leave to the system most often; the same as in src/build/check-libraries.ts
LIBRARY_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libOSMesa.so.8": "libosmesa6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libX11.so.6": "libx11-6",
    "libxcb.so.1": "libxcb1",
    "libgomp.so.1": "libgomp1",
    "libsndfile.so.1": "libsndfile1",
    "libportaudio.so.2": "libportaudio2",
    "libpq.so.5": "libpq5",
    "libturbojpeg.so.0": "libturbojpeg0",
    "libvulkan.so.1": "libvulkan1",
    "libasound.so.2": "libasound2",
    "libmagic.so.1": "libmagic1",
    "libtcmalloc.so.4": "libgoogle-perftools4",
}
_CUDA = r"lib(?:cu(?:dart|blas|blasLt|dnn|fft|rand|solver|sparse|pti|file)|nccl|nvrtc|nvJitLink|nvinfer)\w*\.so[\w.]*"

_HINTS = (
    (r"No module named '([\w.]+)'", r"Add the package that has `\1` to build.python_requirements, and build again."),
    (r"There is no file (\S+) in|has no \w+$", "`run` in cog.yaml (COG_PREDICT_TYPE_STUB) names the file and the class: `predict.py:Predictor`."),
    (r"libcuda\.so|NVIDIA driver|no CUDA-capable device", "The container has no GPU: start it with one, and see `layerwright doctor`."),
    (rf"({_CUDA}): cannot open shared object file", r"Add the wheel that has `\1` to build.python_requirements (the build warns of it by name), or state `build.cuda_flavour: cudnn-runtime`."),
    (r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", r"Add the system package that has `\1` to build.system_packages, and build again."),
    (r"No such file or directory: '([\w.+-]+)'$", r"If `\1` is a program, add its package to build.system_packages; if it is a file, it must lie in the project, and .dockerignore must not leave it out."),
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
            package = LIBRARY_PACKAGES.get(found.group(1)) if found.re.groups else None
            if package is not None:
                return f"Add `{package}`, which has {found.group(1)}, to build.system_packages, and build again."
            return found.expand(hint)
    return None
