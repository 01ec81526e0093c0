"""Which package does the job of a pair of kinds.

Each has `prepare`, which returns a job (`input_size`, `output_size`, `chosen`, `learnt`, `task`,
`evaluate`, `describe`); `learnt_from_dict`, which reads back what `learnt.as_dict()` wrote; and
`predict`, `evaluate` and `read_series`, which take a network to another table.
"""

from __future__ import annotations

from elman.kinds import forecasting

JOBS = {("series", "forecast"): forecasting}
