"""What stands in MLflow."""
