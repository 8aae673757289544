"""Whether gradients are masked: sanity conditions, the check of the gradients, the judgement."""
