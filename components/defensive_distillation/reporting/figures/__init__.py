"""The figures of a report, and matplotlib as they need it: whatever a user's settings say of backends and fonts."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from defensive_distillation import variables


def _import_matplotlib() -> None:
    """Imports matplotlib, without the user's settings where it refuses them; `drawing.style` leaves them out of use."""
    try:
        importlib.import_module("matplotlib")
    except (ValueError, OSError):  # an unknown MPLBACKEND, a matplotlibrc that cannot be read
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # half imported
        found = importlib.util.find_spec("matplotlib")
        assert found is not None
        assert found.origin is not None
        plain = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(Path(found.origin).parent / "mpl-data" / "matplotlibrc")}
        with variables.set_to(plain):
            importlib.import_module("matplotlib")


_import_matplotlib()
