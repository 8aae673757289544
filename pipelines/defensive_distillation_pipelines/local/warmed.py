"""What the steps of a run have in common, imported once for all: the process that they are copies of imports this."""

import contextlib
import gc
import os

os.environ["_KFP_RUNTIME"] = "true"  # as in every step: KFP without its compiler

with contextlib.suppress(Exception):  # a step that needs what is broken says so itself
    import kfp.dsl.executor_main  # noqa: F401

    import defensive_distillation.stages.attack
    import defensive_distillation.stages.evaluate
    import defensive_distillation.stages.train_student
    import defensive_distillation.stages.train_teacher  # noqa: F401

gc.freeze()  # pages that no collection touches are shared by all copies
