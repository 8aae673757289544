"""What passes between stages: folders of files with a manifest, on a disk or in an object store."""

from defensive_distillation.artifacts.store import *  # noqa: F403
