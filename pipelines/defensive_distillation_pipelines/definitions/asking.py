"""Puts on a step what it asks of the cluster, and what every step of ours has there."""

from __future__ import annotations

from kfp import kubernetes
from kfp.dsl.pipeline_task import PipelineTask

from defensive_distillation.runtime.kubeflow.pod import MOUNTED
from defensive_distillation.runtime.progress import RUN_ID
from defensive_distillation_pipelines.definitions.resources import CONFIG_MAP, Cluster

PART_OF = "app.kubernetes.io/part-of"  # the chart's network policy goes by it
QUEUE = "kueue.x-k8s.io/queue-name"


def ask(task: PipelineTask, stage: str, cluster: Cluster) -> None:
    """Puts the stage's resources on one of its steps."""
    wanted = cluster.stages[stage]
    if wanted.gpu_count:  # a step that asks for 0 GPUs would still be let onto their nodes
        task.set_accelerator_type(wanted.gpu_type).set_accelerator_limit(wanted.gpu_count)
    task.set_cpu_request(wanted.cpu)
    if wanted.cpu_limit:
        task.set_cpu_limit(wanted.cpu_limit)
    task.set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
    if wanted.retries:
        task.set_retry(wanted.retries, backoff_duration="30s", backoff_factor=2)
    task.set_caching_options(wanted.cache)
    if wanted.shared_memory:
        kubernetes.empty_dir_mount(task, "dshm", "/dev/shm", medium="Memory", size_limit=wanted.shared_memory)
    for label, value in wanted.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in wanted.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())
    _everywhere(task, cluster)


def _everywhere(task: PipelineTask, cluster: Cluster) -> None:
    """What all steps have: a user that is not root, their run's name, and the variables of MLflow and S3 as files.

    As environment variables they would clash with those of Kubeflow's own MLflow integration.
    """
    kubernetes.set_security_context(task, run_as_user=cluster.run_as_user, run_as_non_root=True)
    kubernetes.use_field_path_as_env(task, RUN_ID, "metadata.labels['pipeline/runid']")
    kubernetes.use_config_map_as_volume(task, CONFIG_MAP, str(MOUNTED / "config"), optional=True)
    kubernetes.use_secret_as_volume(task, cluster.secret, str(MOUNTED / "secret"), optional=True)
    kubernetes.add_pod_label(task, PART_OF, CONFIG_MAP)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    if cluster.queue:
        kubernetes.add_pod_label(task, QUEUE, cluster.queue)
