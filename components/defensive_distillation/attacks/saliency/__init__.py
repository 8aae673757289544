"""What JSMA is made of: one step of the saliency map, and the batch (CPU) or the slots (GPU) that take it."""
