"""How far a run is: from the Workflow's nodes, from Kubeflow's list of tasks, or from what stands in MLflow."""
