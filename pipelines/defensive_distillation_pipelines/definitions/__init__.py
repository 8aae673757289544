"""The pipelines as Kubeflow knows them: components, the sweep, the rerun of one stage. The only kfp."""
