"""`text` in, `next` out: a generator, trained on a stream of text shifted by one.

language.py     what was learnt (a vocabulary), and how a table's rows become one stream
job.py          the job: a stream in windows with the state carried on, and its scores
probe.py        rows for a diagnosis, and what each answer costs
use.py          a trained network: text that goes on from a prompt, scores of another table
"""

from elman.kinds.generation.job import prepare
from elman.kinds.generation.language import Language
from elman.kinds.generation.probe import probe, probe_table
from elman.kinds.generation.use import evaluate, generate, predict

__all__ = ["evaluate", "generate", "learnt_from_dict", "predict", "prepare", "probe", "probe_table"]

learnt_from_dict = Language.from_dict
