"""What each attack may spend, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# from images (N, C, H, W) in [0, 1] and classes (N,), to be left, or reached, to samples (N, C, H, W)
Attack = Callable[[Tensor, Tensor], Tensor]

CLASSES = 10
TARGETED = ("cw_l2", "jsma", "jsma_probabilities")  # the others leave the true class

# C&W's L2: constants, steps of Adam for each, step size, the first constant
SEARCHES, STEPS, RATE, CONSTANT = 5, 100, 0.05, 1.0
# PGD and Square: radius of the L∞ ball; PGD's steps and the size of one; Square's queries
EPSILON, PGD_STEPS, QUERIES = 0.1, 40, 300
PGD_STEP = 2.5 * EPSILON / PGD_STEPS
# AutoAttack's parts: gradients a sample, of two starts of an untargeted attack, or of nine targets, or of both
GRADIENTS, RESTARTS, RIVALS = 200, 2, CLASSES - 1
RESTART_STEPS, RIVAL_STEPS = GRADIENTS // RESTARTS, GRADIENTS // RIVALS
# JSMA: features that may change
FEATURES = 112
