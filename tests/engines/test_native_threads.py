"""Threads of the native engine: their number, Python's own, fork, and Python's lock."""

import multiprocessing
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from elman import engines
from elman.cells import GRUCell, LSTMCell, RNNCell

pytestmark = pytest.mark.usefixtures("forced")

KINDS = {
    "tanh": RNNCell,
    "relu": lambda i, h: RNNCell(i, h, "relu"),
    "gru": GRUCell,
    "gru before": lambda i, h: GRUCell(i, h, reset_after=False),
    "lstm": LSTMCell,
    "lstm proj": lambda i, h: LSTMCell(i, h, proj_size=h // 2),
    "tanh norm": lambda i, h: RNNCell(i, h, layer_norm=True),
    "gru norm": lambda i, h: GRUCell(i, h, layer_norm=True),
    "lstm norm peep": lambda i, h: LSTMCell(i, h, layer_norm=True, peepholes=True),
    "lstm proj norm": lambda i, h: LSTMCell(i, h, proj_size=h // 2, layer_norm=True),
}
# (B, T, I, H): many rows, an odd number of them, fewer than threads, one.
SIZES = [(256, 6, 40, 128), (71, 9, 13, 50), (3, 20, 64, 200), (1, 30, 64, 400)]


def call(kind, sizes, ragged=False, seed=0):
    """Return a cell, its input and what goes with it."""
    torch.manual_seed(seed)
    batch, num_steps, input_size, hidden_size = sizes
    cell = KINDS[kind](input_size, hidden_size)
    x = torch.randn(num_steps, batch, input_size, requires_grad=True)
    state = tuple(torch.randn(batch, size, requires_grad=True) for size in cell.state_sizes)
    lengths = torch.randint(0, num_steps + 1, (batch,)) if ragged else None
    weights = torch.randn(num_steps, batch, cell.output_size)
    return cell, x, state, lengths, weights


def everything(cell, x, state, lengths, weights, memory="all"):
    """Return outputs, final states and all gradients."""
    y, final = engines.unroll(cell, x, state, lengths=lengths, memory=memory)
    outputs = (y, *final)
    ones = [weights, *(torch.ones_like(part) for part in final)]
    grads = torch.autograd.grad(outputs, [x, *state, *cell.parameters()], ones)
    return [part.detach() for part in (*outputs, *grads)]


def differing(results, expected):
    """Return where two lists of tensors are not the same bits; of one that is longer, the rest."""
    pairs = enumerate(zip_longest(results, expected))
    return [n for n, (a, b) in pairs if a is None or b is None or not torch.equal(a, b)]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_every_number_of_threads(kind, sizes, ragged):
    given = call(kind, sizes, ragged)
    results = {}
    for memory in ("all", "recompute"):
        for threads in (1, 2, 3, 5, 1):
            torch.set_num_threads(threads)
            found = everything(*given, memory=memory)
            with torch.no_grad():
                y, final = engines.unroll(*given[:3], lengths=given[3])
            assert not differing([y, *final], found[: 1 + len(final)]), threads
            results.setdefault("first", found)
            assert not differing(found, results["first"]), (threads, memory)


def test_several_python_threads_at_once():
    torch.set_num_threads(2)
    kinds = ["tanh", "gru", "lstm", "lstm proj", "gru before"]
    calls = [call(kind, sizes, True, seed) for seed, kind in enumerate(kinds) for sizes in SIZES]
    expected = [everything(*one) for one in calls]
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        # A thread starts without what the test forced.
        with engines.engine("native"):
            order = [(number * 5 + n) % len(calls) for n in range(len(calls))]
            return [differing(everything(*calls[n]), expected[n]) for n in order]

    with ThreadPoolExecutor(4) as pool:
        assert not any(any(found) for found in pool.map(work, range(4)))


# Small enough that torch's own operations around the call stay in one thread: OpenMP, unlike the
# engine's pool, does not survive a fork.
FORKED = (64, 8, 60, 48)


def in_child(work, *arguments):
    """Run `work` in a forked process; return what it returns, or fail with its traceback."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child():
        try:
            theirs.send((True, work(*arguments)))
        except BaseException:
            theirs.send((False, traceback.format_exc()))

    process = context.Process(target=child)
    process.start()
    try:
        assert ours.poll(30), "the child hangs"
        done, result = ours.recv()
        process.join(30)
        assert done, result
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    return result


def numpys(parts):
    # torch would hand tensors over through shared memory.
    return [part.numpy() for part in parts]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("threads_in_child", [1, 3])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_forked_child_has_threads_of_its_own(kind, threads_in_child):
    torch.set_num_threads(3)
    given = call(kind, FORKED)
    expected = everything(*given)

    def work():
        torch.set_num_threads(threads_in_child)
        first = everything(*given)
        # A child's child, too.
        second = in_child(lambda: numpys(everything(*given)))
        return numpys(first), second

    for _ in range(3):
        for results in in_child(work):
            assert not differing(map(torch.from_numpy, results), expected)
        assert not differing(everything(*given), expected)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_while_another_thread_calculates():
    """The child has only the forking thread; what the others held must not stop it."""
    torch.set_num_threads(3)
    given, other = call("lstm", FORKED), call("lstm", SIZES[0])
    expected = everything(*given)
    stop = threading.Event()

    def busy():
        with engines.engine("native"):
            while not stop.is_set():
                everything(*other)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            results = in_child(lambda: numpys(everything(*given)))
            assert not differing(map(torch.from_numpy, results), expected)
    finally:
        stop.set()
        thread.join()


class Encoded(Dataset):
    """A data set that runs a layer on what it gives."""

    def __init__(self, cell, x):
        self.cell, self.x = cell, x

    def __len__(self):
        return self.x.shape[1]

    def __getitem__(self, row):
        with torch.no_grad(), engines.engine("native"):
            one = self.x[:, row : row + 1]
            return engines.unroll(self.cell, one, self.cell.initial_state(1))[0][:, 0].numpy()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_data_loaders_workers(threads):
    torch.set_num_threads(2)
    cell, x, *_ = call("lstm", FORKED)
    x = x.detach()
    loader = DataLoader(
        Encoded(cell, x),
        batch_size=16,
        num_workers=2,
        timeout=60,
        multiprocessing_context="fork",
        worker_init_fn=lambda _: torch.set_num_threads(threads),
    )
    with torch.no_grad():
        expected = [engines.unroll(cell, x[:, [n]], cell.initial_state(1))[0] for n in range(64)]
    for _ in range(2):
        rows = torch.cat(list(loader))
        assert torch.equal(rows.transpose(0, 1), torch.cat(expected, dim=1))


def ticks_inside(work):
    """Return how often another thread ran in the middle half of `work`, and how long it took."""
    stamps, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            time.sleep(0.001)
            stamps.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    work()
    end = time.perf_counter()
    stop.set()
    thread.join()
    quarter = (end - start) / 4
    return sum(start + quarter < stamp < end - quarter for stamp in stamps), end - start


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pythons_lock_is_released(direction):
    """During one call that is long enough to see it."""
    num_steps = 64
    while True:
        cell, x, state, _, weights = call("lstm", (16, num_steps, 32, 128))
        work = lambda: engines.unroll(cell, x.detach(), state)  # noqa: B023, E731
        if direction == "backward":
            y, _ = engines.unroll(cell, x, state)
            work = lambda: torch.autograd.grad(y, [x], weights)  # noqa: B023, E731
        ticks, seconds = ticks_inside(work)
        if seconds > 0.2 or num_steps > 30_000:
            break
        num_steps *= 2
    assert ticks >= 5, f"in {seconds:.2f} s"


LEAVE = """
import threading, torch
from elman.engines import engine
from elman.layers import LSTM
torch.set_num_threads(3)
layer, x = LSTM(64, 128), torch.randn(20, 128, 64)

def run():
    with engine("native"):
        layer(x)[0].sum().backward()

run()
threads = [threading.Thread(target=run) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done")
"""


def test_a_process_that_used_the_pool_ends():
    for _ in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", LEAVE], capture_output=True, text=True, timeout=120
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
