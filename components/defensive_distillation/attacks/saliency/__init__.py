"""What JSMA is made of: one step of the saliency map, and a batch of slots for a device that must not be waited for."""
