"""MLflow's model registry: which sweep is the champion, and the models that it has."""
