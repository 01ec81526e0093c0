"""Diagnosis: how far a network remembers, what its gates and units do, and what would help.

tape.py         what each layer did in one pass, step by step
flow.py         gradients of the loss at step t with respect to states before it: `gradient_flow`
jacobian.py     what a step does to a state: Jacobians, growth along the data, recurrent weights
activity.py     gates and units: saturation, distributions, dead units
influence.py    how answers depend on inputs before: one is replaced
findings.py     what all of it means: a table of rules, with remedies
diagnose.py     all together: `diagnose`
run.py          of a run's network: `diagnose_run`
"""

from elman.diagnosis.diagnose import Diagnosis, diagnose
from elman.diagnosis.findings import Finding
from elman.diagnosis.flow import GradientFlow, LayerFlow, gradient_flow
from elman.diagnosis.run import diagnose_run

__all__ = [
    "Diagnosis",
    "Finding",
    "GradientFlow",
    "LayerFlow",
    "diagnose",
    "diagnose_run",
    "gradient_flow",
]
