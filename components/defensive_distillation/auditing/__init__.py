"""The verdict on anybody's classifier, in one call: `defensive_distillation.audit`."""
