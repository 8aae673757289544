"""One classifier as it is, and as its attackers see it: behind the step that hides its gradient, over its draws."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from defensive_distillation.networks.input_steps import Expected, Step, Stepped, StraightThrough


@dataclass(frozen=True)
class Views:
    """One classifier as it is, and as the attackers see it; on one device, in evaluation mode.

    Attributes:
        judged: whose decisions count.
        naive: what an attacker differentiates who does not know the defense.
        adaptive: what one does who knows it.
        given: the classifier as it was given: a random one is another at each call.
    """

    judged: nn.Module
    naive: nn.Module
    adaptive: nn.Module
    given: nn.Module

    @classmethod
    def of(cls, network: nn.Module, input_step: Step | None = None, draws: int = 1) -> Views:
        """The classifier behind its step, and the mean of its draws; all four are `network` without either.

        Args:
            network: on its device, in evaluation mode.
            input_step: from images (N, C, H, W) in [0, 1] to the same shape; None for none.
            draws: that count as one, of a random network; at least 1.

        Raises:
            InputError: for less than one draw.
        """
        given = Stepped(input_step, network).eval() if input_step else network
        around = StraightThrough(input_step, network).eval() if input_step else network
        if draws == 1:
            return cls(judged=given, naive=given, adaptive=around, given=given)
        mean, single, around = Expected(given, draws), Expected(given, 1), Expected(around, draws)
        return cls(judged=mean.eval(), naive=single.eval(), adaptive=around.eval(), given=given)

    def of_attacker(self, attacker: str) -> nn.Module:
        """What one is given who is 'naive', 'adaptive' or 'gradient-free'."""
        return {"naive": self.naive, "adaptive": self.adaptive}.get(attacker, self.judged)
