"""Attacks on any module that returns logits, one attack a file."""

from defensive_distillation.attacks.cw.carlini_wagner import carlini_wagner
from defensive_distillation.attacks.jsma import jsma
from defensive_distillation.attacks.linf.fgsm import fgsm
from defensive_distillation.attacks.linf.noise import noise
from defensive_distillation.attacks.linf.pgd import pgd
from defensive_distillation.attacks.linf.square import square
from defensive_distillation.attacks.result import AttackResult, StopReason
from defensive_distillation.attacks.transfer import transfer

__all__ = ["AttackResult", "StopReason", "carlini_wagner", "fgsm", "jsma", "noise", "pgd", "square", "transfer"]
