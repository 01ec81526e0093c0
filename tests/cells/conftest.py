"""Keras must know its backend before it is first imported."""

import os

os.environ["KERAS_BACKEND"] = "torch"
