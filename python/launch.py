"""Entry point of the image: puts the launcher's own packages on the path, and nothing of the user's.

Run it as ``python -I -S .../lib/launch.py``: isolated, so that no PYTHON* variable, user site or site-packages
directory of the image reaches the launcher.
"""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
_site = os.environ.get("LAYERWRIGHT_SITE") or os.path.join(os.path.dirname(_here), "site")
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here] + [_here, _site]

from launcher.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
