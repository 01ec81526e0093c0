from __future__ import annotations

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from elman.data import datasets
from elman.data.datasets import DATASETS, Dataset, fetch
from elman.data.panel import make_panel
from elman.data.synthetic import mackey_glass
from elman.data.table import read_table
from elman.errors import ElmanError, InputError

CONTENT = b"day,x\n2024-01-01,1\n2024-01-02,2\n"


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, or part of it, or a failure, by path; counts what it was asked."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(404 if self.path == "/gone.csv" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = {"/short.csv": CONTENT[:20], "/other.csv": CONTENT.replace(b"2024", b"2025")}
        self.wfile.write(body.get(self.path, CONTENT))

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("ELMAN_DATA", raising=False)
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def serve(server, monkeypatch):
    """Register a data set `tiny` whose source is a path of the server."""

    def register(path: str) -> Dataset:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        dataset = Dataset("tiny", "two rows", server + path, "none", sha256, "folder/tiny.csv")
        monkeypatch.setitem(datasets.DATASETS, "tiny", dataset)
        return dataset

    return register


def test_a_download_is_kept_and_not_repeated(serve, tmp_path):
    serve("/tiny.csv")
    path = fetch("tiny", tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "tiny.csv"
    assert path.read_bytes() == CONTENT
    assert fetch("tiny", path.parent) == path
    assert Server.asked == ["/tiny.csv"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/other.csv", "is not the published file"),
        ("/short.csv", "tiny"),
        ("/gone.csv", "cannot be downloaded (status 404)"),
    ],
)
def test_a_failed_download_leaves_nothing(serve, tmp_path, path, expected):
    serve(path)
    with pytest.raises(ElmanError) as caught:
        fetch("tiny", tmp_path)
    assert expected in str(caught.value)
    assert not isinstance(caught.value, InputError)
    assert list(tmp_path.iterdir()) == []
    assert Server.asked == [path]


def test_without_a_network_the_message_says_what_to_do(serve, tmp_path, monkeypatch):
    dataset = serve("/tiny.csv")
    offline = dataclasses.replace(dataset, source="http://127.0.0.1:9/tiny.csv")
    monkeypatch.setitem(datasets.DATASETS, "tiny", offline)
    with pytest.raises(ElmanError) as caught:
        fetch("tiny", tmp_path)
    assert "cannot be downloaded (ConnectionError); check the network" in str(caught.value)
    assert "set ELMAN_DATA to a folder that holds folder/tiny.csv" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_local_copy_is_used_once_its_checksum_is_right(serve, tmp_path, monkeypatch):
    serve("/tiny.csv")
    copy = tmp_path / "data" / "folder" / "tiny.csv"
    copy.parent.mkdir(parents=True)
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "data"))
    copy.write_bytes(CONTENT + b"2024-01-03,3\n")
    with pytest.raises(InputError, match=r"tiny.csv \(from ELMAN_DATA\): expected SHA-256"):
        fetch("tiny", tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    copy.write_bytes(CONTENT)
    assert fetch("tiny", tmp_path / "to").read_bytes() == CONTENT
    assert Server.asked == []
    copy.unlink()
    fetch("tiny", tmp_path / "again")
    assert Server.asked == ["/tiny.csv"]
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="ELMAN_DATA: expected a folder"):
        fetch("tiny", tmp_path / "third")


def test_another_file_of_that_name_is_not_overwritten(serve, tmp_path):
    serve("/tiny.csv")
    for name in ("tiny", "mackey_glass"):
        mine = tmp_path / f"{name}.csv"
        mine.write_text("mine")
        with pytest.raises(InputError, match="another file of that name is there"):
            fetch(name, tmp_path)
        assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        fetch("mackey_glass", tmp_path / "file")


def test_unknown_name(tmp_path):
    with pytest.raises(InputError, match="'sunspot' is not known; did you mean 'sunspots'"):
        fetch("sunspot", tmp_path)


def test_goog_holds_the_prices_of_1047_business_days(tmp_path):
    path = fetch("goog", tmp_path)
    assert fetch("goog", tmp_path) == path
    table = read_table(path)
    assert table.frame.columns == ["date", "open", "high", "low", "close", "volume", "adj_close"]
    panel = make_panel(table, time="date", numbers=["close", "volume"])
    assert (len(panel.series[0]), str(panel.step)) == (1047, "business day")
    first, last = panel.series[0].frame[0], panel.series[0].frame[-1]
    assert (first["close"].item(), first["volume"].item()) == (100.34, 22351900)
    assert last["close"].item() == 362.71


def test_mackey_glass_survives_the_file_bit_for_bit(tmp_path):
    values, _ = read_table(fetch("mackey_glass", tmp_path)).column("x").numbers()
    np.testing.assert_array_equal(values, mackey_glass(3000))


def test_each_record_says_where_it_comes_from():
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert all((dataset.description, dataset.source, dataset.licence))
        if dataset.make is None:
            assert len(bytes.fromhex(dataset.sha256)) == 32
            assert dataset.source.startswith("https://")
            assert dataset.local.endswith(dataset.source.rpartition("/")[2])
