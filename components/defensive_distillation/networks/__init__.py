"""Networks from images in [0, 1] to logits: architectures, training, and the device that they compute on."""
