"""What the tests' own fixture takes out of the environment is what these need: it is kept beside it."""

from __future__ import annotations

import json
import os

_KEPT = ("KF_", "KFP_", "DEFDISTILL_IMAGE", "MLFLOW_", "AWS_")
os.environ.setdefault(
    "DEFDISTILL_LIVE", json.dumps({name: value for name, value in os.environ.items() if name.startswith(_KEPT)})
)
