"""Attacks on any module that returns logits, one attack a file."""

from defensive_distillation.attacks.jsma import jsma
from defensive_distillation.attacks.result import AttackResult, StopReason

__all__ = ["AttackResult", "StopReason", "jsma"]
