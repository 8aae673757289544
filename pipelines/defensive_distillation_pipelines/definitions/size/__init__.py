"""How large a pipeline becomes on a cluster, where a Workflow has 1 MiB: told before it is started.

Argo keeps a whole run in one object. The estimate compiles the pipeline as Kubeflow's API server does, runs it with
drivers that only answer, and counts the bytes that Argo would hold at the end.
"""

from defensive_distillation_pipelines.definitions.size.estimate import LARGEST, MOST, Size, require_fitting, size_of

__all__ = ["LARGEST", "MOST", "Size", "require_fitting", "size_of"]
