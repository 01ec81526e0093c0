"""One row an example: a number, a category, tags or a sequence for text, sound, pictures, vectors.

learnt.py       what was learnt of inputs and target, and the network that goes with them
network.py      that network: a front for each input, and the body of the topology
rows.py         cells of a table, or of several, gone through without being loaded whole
bad_rows.py     rows that cannot be used, and how they are told
prepare.py      from a table to a job: parts, learning, encoding
job.py          the job: mini-batches and losses for the training loop
answers.py      what a network answers to rows, in batches
evaluation.py   scores beside the baselines, and predictions.csv
samples.py      the worst, the best and typical examples, with what the network made of them
probe.py        rows for a diagnosis, and what each answer costs
use.py          a trained network on another table
"""

from elman.kinds.examples.learnt import Learnt
from elman.kinds.examples.prepare import prepare
from elman.kinds.examples.probe import probe, probe_table
from elman.kinds.examples.use import evaluate, predict

__all__ = ["evaluate", "learnt_from_dict", "predict", "prepare", "probe", "probe_table"]

learnt_from_dict = Learnt.from_dict
