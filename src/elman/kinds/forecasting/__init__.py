"""`series` in, `forecast` out: the job of this pair of kinds.

forecaster.py   what was learnt of the data, and how series are cut into windows
prepare.py      from a table to a job: reading, checking, choosing, learning
job.py          the job: mini-batches and losses for the training loop, scores for the report
evaluation.py   rolling-origin scores beside the baselines
probe.py        rows for a diagnosis, and what each answer costs
use.py          a trained network on another table
"""

from elman.kinds.forecasting.forecaster import Forecaster
from elman.kinds.forecasting.prepare import prepare
from elman.kinds.forecasting.probe import probe, probe_table
from elman.kinds.forecasting.use import evaluate, predict, read_series

__all__ = [
    "evaluate",
    "learnt_from_dict",
    "predict",
    "prepare",
    "probe",
    "probe_table",
    "read_series",
]

learnt_from_dict = Forecaster.from_dict
