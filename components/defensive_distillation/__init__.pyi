from defensive_distillation.auditing.audit import audit as audit
from defensive_distillation.auditing.result import Audit as Audit

__version__: str
__all__ = ["Audit", "audit"]
