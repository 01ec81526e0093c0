from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from elman.data import datasets
from elman.data.datasets import DATASETS, Dataset, content_sha256, fetch
from elman.data.named import tables
from elman.data.named.sources import Archive, Files, sum_of_sums
from elman.data.panel import make_panel
from elman.data.synthetic import mackey_glass, permutation
from elman.data.table import read_table
from elman.errors import ElmanError, InputError

CONTENT = b"day,x\n2024-01-01,1\n2024-01-02,2\n"
CLIPS = {"red/a_1.wav": b"one", "red/b_2.wav": b"two", "blue/c_5.wav": b"three"}


def packed(files: dict[str, bytes], top: str = "repository-0123/") -> bytes:
    """Return an archive as a host of repositories packs it: all in one folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = packed(
    {"README.md": b"about"}
    | {f"data/{name}": content for name, content in CLIPS.items()}
    | {"data/red/a.txt": b"no clip", "other/data/x.wav": b"elsewhere"}
)


BODIES = {
    "/tiny.csv": CONTENT,
    "/short.csv": CONTENT[:20],
    "/other.csv": CONTENT.replace(b"2024", b"2025"),
    "/tiny.csv.gz": gzip.compress(CONTENT),
    "/short.csv.gz": gzip.compress(CONTENT)[:-6],
    "/clips": ARCHIVE,
    "/short": ARCHIVE[:-60],
    "/fewer": packed({f"data/{name}": CLIPS[name] for name in list(CLIPS)[:2]}),
    "/page": b"<html>",
}


class Server(BaseHTTPRequestHandler):
    """Serves the files above, or a failure; notes what it was asked."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        body = BODIES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

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
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def serve(server, monkeypatch):
    """Register a data set `tiny`, one file, whose source is a path of the server."""

    def register(path: str, base: str = server) -> None:
        sums = {"tiny.csv": hashlib.sha256(CONTENT).hexdigest()}
        files = Files("folder", base, {"tiny.csv": path}, sums)
        dataset = Dataset("tiny", "two rows", "here", "none", files)
        monkeypatch.setitem(datasets.DATASETS, "tiny", dataset)

    return register


def clips_table(files):
    """Make a table of the names of clips."""
    return pl.DataFrame({"file": [f"clips/{name}" for name in sorted(files)], "n": [1, 2, 3]})


@pytest.fixture
def serve_clips(server, monkeypatch):
    """Register a data set `clips`, out of an archive, with a table made of the files' names."""

    def register(path: str) -> None:
        files = Archive("sounds", server + path, r"data/(.+\.wav)", ("*/*.wav",), SUM)
        sha256 = content_sha256(clips_table(CLIPS))
        dataset = Dataset("clips", "three", "here", "none", files, clips_table, sha256, media=True)
        monkeypatch.setitem(datasets.DATASETS, "clips", dataset)

    return register


SUM = sum_of_sums(CLIPS)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_sum_of_sums_is_that_of_the_tools(tmp_path):
    lines = [f"{hashlib.sha256(CLIPS[name]).hexdigest()}  {name}" for name in sorted(CLIPS)]
    assert hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest() == SUM


@pytest.mark.parametrize("path", ["tiny.csv", "tiny.csv.gz"])
def test_a_download_is_kept_and_not_repeated(serve, tmp_path, path):
    serve(path)
    got = fetch("tiny", tmp_path / "new" / "folder")
    assert got == tmp_path / "new" / "folder" / "tiny.csv"
    assert got.read_bytes() == CONTENT
    assert fetch("tiny", got.parent) == got
    assert Server.asked == [f"/{path}"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("other.csv", "is not the published file"),
        ("short.csv", "tiny"),
        ("short.csv.gz", "not a complete gzip file"),
        ("gone.csv", "cannot be downloaded (status 404)"),
    ],
)
def test_a_failed_download_leaves_nothing(serve, tmp_path, path, expected):
    serve(path)
    with pytest.raises(ElmanError) as caught:
        fetch("tiny", tmp_path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, InputError)
    assert list(tmp_path.iterdir()) == []
    assert Server.asked == [f"/{path}"]


def test_without_a_network_the_message_says_what_to_do(serve, tmp_path):
    serve("tiny.csv", "http://127.0.0.1:9/")
    with pytest.raises(ElmanError) as caught:
        fetch("tiny", tmp_path)
    assert "cannot be downloaded (ConnectionError); check the network" in str(caught.value)
    assert "set ELMAN_DATA to a folder that holds folder/tiny.csv" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pack", [False, True])
def test_a_local_copy_is_used_once_its_checksum_is_right(serve, tmp_path, monkeypatch, pack):
    serve("tiny.csv")
    copy = tmp_path / "data" / "folder" / ("tiny.csv.gz" if pack else "tiny.csv")
    copy.parent.mkdir(parents=True)
    write = (lambda content: gzip.compress(content)) if pack else bytes
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "data"))
    copy.write_bytes(write(CONTENT + b"2024-01-03,3\n"))
    with pytest.raises(InputError, match=r"folder \(from ELMAN_DATA\): tiny.csv: expected SHA-256"):
        fetch("tiny", tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    copy.write_bytes(write(CONTENT))
    assert fetch("tiny", tmp_path / "to").read_bytes() == CONTENT
    assert Server.asked == []
    copy.unlink()
    fetch("tiny", tmp_path / "again")
    assert Server.asked == ["/tiny.csv"]
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="ELMAN_DATA: expected a folder"):
        fetch("tiny", tmp_path / "third")


def test_media_lie_beside_their_table(serve_clips, tmp_path):
    serve_clips("clips")
    path = fetch("clips", tmp_path)
    written = files_in(tmp_path)
    assert {f"clips/{name}": content for name, content in CLIPS.items()} == {
        name: content for name, content in written.items() if name != "clips.csv"
    }
    table = read_table(path)
    assert all((table.folder / file).exists() for file in table.select(["file"])["file"])
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")}
    fetch("clips", tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")} == times
    assert Server.asked == ["/clips"]


def test_media_that_are_damaged_or_gone_are_written_again(serve_clips, tmp_path):
    serve_clips("clips")
    path = fetch("clips", tmp_path)
    (tmp_path / "clips" / "red" / "a_1.wav").unlink()
    (tmp_path / "clips" / "red" / "b_2.wav").write_bytes(b"t")
    right = tmp_path / "clips" / "blue" / "c_5.wav"
    before = right.stat().st_mtime_ns, path.stat().st_mtime_ns
    fetch("clips", tmp_path)
    assert (right.stat().st_mtime_ns, path.stat().st_mtime_ns) == before
    assert {name: (tmp_path / "clips" / name).read_bytes() for name in CLIPS} == CLIPS
    assert Server.asked == ["/clips"] * 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("fewer", "is not the published file: of 2 files, the list of sums"),
        ("short", "sent is not a whole archive"),
        ("page", "sent is not a whole archive"),
        ("gone", "cannot be downloaded (status 404)"),
    ],
)
def test_a_failed_archive_leaves_nothing(serve_clips, tmp_path, path, expected):
    serve_clips(path)
    with pytest.raises(ElmanError) as caught:
        fetch("clips", tmp_path)
    assert expected in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_local_media_are_used_once_all_are_right(serve_clips, tmp_path, monkeypatch):
    serve_clips("clips")
    for name, content in CLIPS.items():
        place = tmp_path / "data" / "sounds" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (tmp_path / "data" / "sounds" / "README.md").write_bytes(b"about")
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "data"))
    fetch("clips", tmp_path / "to")
    assert Server.asked == []
    (tmp_path / "data" / "sounds" / "red" / "a_1.wav").unlink()
    with pytest.raises(InputError, match=r"sounds \(from ELMAN_DATA\): of 2 files, the list"):
        fetch("clips", tmp_path / "other")


@pytest.mark.parametrize("name", ["tiny", "mackey_glass", "clips"])
@pytest.mark.parametrize("content", ["mine", "file,n\nclips/red/a_1.wav,1\n"])
def test_another_file_of_that_name_is_not_overwritten(serve, serve_clips, tmp_path, name, content):
    serve("tiny.csv")
    serve_clips("clips")
    mine = tmp_path / f"{name}.csv"
    mine.write_text(content)
    with pytest.raises(InputError, match="another file of that name is there"):
        fetch(name, tmp_path)
    assert mine.read_text() == content


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
        assert all((dataset.description, dataset.origin, dataset.licence))
        assert dataset.kind in (".csv", ".parquet", ".txt")
        if dataset.files is None:
            continue
        assert dataset.files.url.startswith("https://")
        assert bool(dataset.make) == bool(dataset.sha256)
        sums = [dataset.sha256] if dataset.make else []
        if isinstance(dataset.files, Files):
            assert dataset.files.paths.keys() == dataset.files.sums.keys()
            sums += dataset.files.sums.values()
        else:
            assert isinstance(dataset.files, Archive)
            sums.append(dataset.files.sha256)
        assert all(len(bytes.fromhex(each)) == 32 for each in sums)


def test_content_is_the_same_in_any_kind_of_file(tmp_path):
    frame = pl.DataFrame({"a": [1, 2], "b": ['x,"y"', "ü\n"]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    same = content_sha256(frame)
    for name in ("t.csv", "t.parquet"):
        assert content_sha256(read_table(tmp_path / name).frame) == same
    others = [
        frame.rename({"a": "c"}),
        frame.with_columns(a=pl.Series([1, 3])),
        frame.select("b", "a"),
        frame.reverse(),
        frame.with_columns(b=pl.Series(['x,"y"ü', "\n"])),
    ]
    assert len({same, *map(content_sha256, others)}) == 6


def test_lists_of_numbers_count_by_their_values_and_where_each_ends():
    def content(cells):
        return content_sha256(pl.DataFrame({"x": pl.Series(cells, dtype=pl.List(pl.Int64))}))

    assert content([[1, 2], [3]]) == content([[1, 2], [3]])
    others = ([[1, 2], [3]], [[1], [2, 3]], [[1, 2], [4]], [[3], [1, 2]])
    assert len(set(map(content, others))) == 4


@pytest.mark.parametrize("name", ["adding_150", "copy_200"])
def test_a_set_that_follows_from_a_rule_has_the_same_bytes_each_time(name, tmp_path):
    path = fetch(name, tmp_path / "a")
    assert fetch(name, tmp_path / "b").read_bytes() == path.read_bytes()
    assert content_sha256(read_table(path).frame) == DATASETS[name].sha256
    # Another version of polars may pack them otherwise: what counts is what is in them.
    read_table(path).frame.write_parquet(path, compression="uncompressed")
    assert fetch(name, tmp_path / "a") == path
    read_table(path).frame.reverse().write_parquet(path)
    with pytest.raises(InputError, match="another file of that name is there"):
        fetch(name, tmp_path / "a")


class TestTables:
    """Files made by hand, as those of the data sets are laid out."""

    def test_imdb(self):
        frame = tables.imdb(
            {"train.tsv": b'0\t0\t3\ta "b"\n1\t0\t9\tc<br />d\n', "test.tsv": b"1\t4\t10\te\n"}
        )
        assert frame.rows() == [
            ('a "b"', "neg", 3, "train"),
            ("c<br />d", "pos", 9, "train"),
            ("e", "pos", 10, "test"),
        ]

    def test_imdb_out_of_the_archive(self):
        files = {
            "train/pos/10_7.txt": b"ten",
            "train/pos/2_10.txt": b"two\tparts\r\nor more",
            "train/neg/11_1.txt": b"bad",
            "test/neg/0_2.txt": "schlecht, ü".encode(),
        }
        assert tables.imdb_lines(files) == {
            "train.tsv": b"0\t11\t1\tbad\n1\t2\t10\ttwo parts  or more\n1\t10\t7\tten\n",
            "test.tsv": "0\t0\t2\tschlecht, ü\n".encode(),
        }

    def test_reviews(self):
        files = {"rt-polarity.neg": b"dull . \n", "rt-polarity.pos": "f\x85ne\ngood \n".encode()}
        assert tables.reviews(files).rows() == [
            ("dull .", "negative", -1),
            ("f\x85ne", "positive", 1),
            ("good", "positive", 1),
        ]

    def test_spoken_digits(self):
        files = dict.fromkeys(("7_jackson_10.wav", "7_jackson_5.wav", "0_theo_4.wav"), b"")
        assert tables.spoken_digits(files).rows() == [
            ("spoken_digits/0_theo_4.wav", 0, "theo", 4, "test"),
            ("spoken_digits/7_jackson_5.wav", 7, "jackson", 5, "train"),
            ("spoken_digits/7_jackson_10.wav", 7, "jackson", 10, "train"),
        ]

    def test_splice(self):
        lines = "% a, b\r\n@relation splice\r\n@attribute 'x' { C, A}\r\n@data\r\nN-1,C,A,N,EI\r\n"
        frame = tables.splice({"splice.arff": lines.encode()})
        assert frame.rows(named=True) == [{"name": "N-1", "sequence": "CAN", "site": "EI"}]

    def test_video_shapes(self):
        files = dict.fromkeys(("vertical/dark_blue_star_5.mp4", "circular/red_circle_1.mp4"), b"")
        frame = tables.video_shapes(files)
        assert frame["caption"].to_list() == [
            "a red circle moving in a circle",
            "a dark blue star moving up and down",
        ]
        folder = "video_shapes"
        assert frame.drop("caption").rows() == [
            (f"{folder}/circular/red_circle_1.mp4", "circular", "red", "circle", 1, "train"),
            (f"{folder}/vertical/dark_blue_star_5.mp4", "vertical", "dark_blue", "star", 5, "test"),
        ]

    def test_ud_english_skips_ranges_and_places(self):
        def line(number, word, tag):
            return "\t".join([number, word, word.lower(), tag, *"______"])

        first = [("1-2", "Don't", "_"), ("1", "Do", "AUX"), ("2", "n't", "PART")]
        second = [("1", "#1", "NOUN"), ("1.1", "was", "VERB"), ("2", "!", "PUNCT")]
        sentences = [
            ["# sent_id = 1", *(line(*word) for word in words)] for words in (first, second)
        ]
        content = "".join("\n".join(lines) + "\n\n" for lines in sentences).encode()
        frame = tables.ud_english({"en-ud-dev.conllu": content, "en-ud-test.conllu": content})
        assert frame.rows()[:2] == [
            ("Do n't", "AUX PART", "valid"),
            ("#1 !", "NOUN PUNCT", "valid"),
        ]
        assert frame["split"].to_list() == ["valid"] * 2 + ["test"] * 2

    def test_flickr8k(self):
        names = [f"{number}.jpg" for number in range(102)]
        lines = [f'{name},"a dog , {n}"\n' for name in names for n in (1, 2)]
        frame = tables.flickr8k({"captions.txt": ("image,caption\n" + "".join(lines)).encode()})
        assert frame.row(0) == ("flickr8k/images/0.jpg", "a dog , 1", "train")
        assert frame["split"].to_list() == ["train"] * 4 + ["test"] * 200

    def test_mnist(self):
        image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3) * 50
        pictures = b"\0\0\x08\3" + np.array([1, 2, 3], ">u4").tobytes() + image.tobytes()
        labels = b"\0\0\x08\1" + np.array([1], ">u4").tobytes() + b"\7"
        files = {}
        for part in ("train", "t10k"):
            files |= {f"{part}-images-idx3-ubyte": pictures, f"{part}-labels-idx1-ubyte": labels}
        frame = tables.mnist(files)
        assert frame.drop("image").rows() == [(7, "seven", "train"), (7, "seven", "test")]
        pillow = pytest.importorskip("PIL.Image")
        with pillow.open(io.BytesIO(frame["image"][1])) as opened:
            assert opened.mode == "L"
            np.testing.assert_array_equal(np.asarray(opened), image[0])

    def test_mnist_pixels(self):
        image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3) * 50
        pictures = b"\0\0\x08\3" + np.array([1, 2, 3], ">u4").tobytes() + image.tobytes()
        labels = b"\0\0\x08\1" + np.array([1], ">u4").tobytes() + b"\7"
        files = {}
        for part in ("train", "t10k"):
            files |= {f"{part}-images-idx3-ubyte": pictures, f"{part}-labels-idx1-ubyte": labels}
        frame = tables.mnist_pixels(files)
        row = [0, 50, 100, 150, 200, 250]
        assert frame.rows() == [(row, 7, "train"), (row, 7, "test")]
        order = permutation(6, seed=5)
        permuted = tables.mnist_pixels(files, seed=5)
        assert permuted["pixels"].to_list() == [[row[place] for place in order]] * 2

    def test_adding_and_copying(self):
        frame = tables.adding({}, num_steps=5)
        for values, markers, answer, _ in frame.head(20).rows():
            assert answer == sum(v for v, m in zip(values, markers, strict=True) if m)
        frame = tables.copying({}, blanks=3)
        for read, asked, _ in frame.head(20).rows():
            symbols = read.split()[:10]
            assert set(symbols) <= set("abcdefgh")
            assert read == " ".join([*symbols, *"__>", *"_" * 10])
            assert asked == " ".join([*"_" * 13, *symbols])
        assert frame["split"].value_counts(sort=True).rows() == [
            ("train", 20_000), ("test", 2000), ("valid", 1000),
        ]  # fmt: skip

    def test_multi30k(self):
        files = {
            f"{part}.{language}": f'{part} "{language}"\nb\n'.encode()
            for part in ("train", "val", "test_2016_flickr")
            for language in ("en", "de")
        }
        frame = tables.multi30k(files)
        assert frame.row(0) == ('train "en"', 'train "de"', "train")
        assert frame["split"].to_list() == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2

    def test_ptb(self):
        files = {f"ptb.{part}.txt": f" {part} <unk> \n b \n" for part in ("train", "valid", "test")}
        frame = tables.ptb({name: text.encode() for name, text in files.items()})
        assert frame.rows()[:3] == [
            ("train <unk>", "train"), ("b", "train"), ("valid <unk>", "valid"),
        ]  # fmt: skip


ROWS = {
    "goog": 1047, "mackey_glass": 3000, "ridership": 7701, "stocks": 2306, "sunspots": 2820,
    "temperatures": 3650, "reviews": 10_662, "imdb": 50_000, "ud_english": 16_622,
    "multi30k": 31_014, "shakespeare": 40_000, "ptb": 49_199, "spoken_digits": 3000,
    "splice": 3190, "video_shapes": 135, "flickr8k": 5000, "mnist": 70_000,
    "mnist_pixels": 70_000, "mnist_permuted": 70_000,
    "adding_150": 23_000, "adding_200": 23_000, "adding_300": 23_000, "adding_400": 23_000,
    "adding_1000": 23_000, "copy_200": 23_000,
}  # fmt: skip
SPLITS = {
    "imdb": (25_000, 0, 25_000),
    "ud_english": (12_544, 2001, 2077),
    "multi30k": (29_000, 1014, 1000),
    "ptb": (42_068, 3370, 3761),
    "spoken_digits": (2700, 0, 300),
    "video_shapes": (108, 0, 27),
    "flickr8k": (4500, 0, 500),
    "mnist": (60_000, 0, 10_000),
    "mnist_pixels": (60_000, 0, 10_000),
    "mnist_permuted": (60_000, 0, 10_000),
    **dict.fromkeys((name for name in ROWS if ROWS[name] == 23_000), (20_000, 1000, 2000)),
}
REAL = os.environ.get("ELMAN_DATA")


@pytest.mark.skipif(not REAL, reason="ELMAN_DATA names no folder of data sets")
@pytest.mark.parametrize("name", DATASETS)
def test_real_sets(name, tmp_path):
    dataset = DATASETS[name]
    if dataset.files and not Path(REAL or "", dataset.files.folder).exists():
        pytest.skip(f"ELMAN_DATA has no {dataset.files.folder}")
    table = read_table(fetch(name, tmp_path))
    assert table.height == ROWS[name]
    for column in (column for column in table.columns if column != "image"):
        assert table.select([column])[column].null_count() == 0
    if name in SPLITS:
        counts = dict(table.select(["split"])["split"].value_counts().rows())
        assert tuple(counts.get(part, 0) for part in ("train", "valid", "test")) == SPLITS[name]
    if dataset.sha256:
        assert content_sha256(table.frame) == dataset.sha256
    check = REAL_CHECKS.get(name)
    if check is not None:
        check(table)


def check_shakespeare(table):
    lines = table.select(["text"])["text"]
    assert lines.str.len_chars().sum() + len(lines) == 1_115_394
    assert len(set("\n".join(lines))) == 65


def check_ptb(table):
    words = table.frame.with_columns(n=pl.col("text").str.split(" ").list.len() + 1)
    tokens = dict(words.group_by("split").agg(pl.col("n").sum()).rows())
    assert tokens == {"train": 929_589, "valid": 73_760, "test": 82_430}


def check_ud_english(table):
    counts = table.frame.select(pl.all().str.split(" ").list.len())
    assert counts["words"].equals(counts["tags"].rename("words"))
    assert table.frame["tags"].str.split(" ").explode().n_unique() == 17


def check_media(table):
    column = table.columns[0]
    assert all((table.folder / file).is_file() for file in table.frame[column])


def check_splice(table):
    assert dict(table.frame["site"].value_counts().rows()) == {"EI": 767, "IE": 768, "N": 1655}
    assert set(table.frame["sequence"].str.len_chars()) == {60}
    assert set("".join(table.frame["sequence"])) == set("ACGTNDRS")


def check_mnist(table):
    assert table.frame["digit"].value_counts(sort=True).row(0) == (1, 7877)
    first = table.rows([0], ["image", "digit", "name"]).row(0)
    assert first[1:] == (5, "five")
    # Eight bytes of signature, a header of 25, four of length and four of name: the pixels.
    pixels = np.frombuffer(zlib.decompress(first[0][41:-16]), np.uint8).reshape(28, 29)[:, 1:]
    assert pixels.sum() == 27_525


def check_mnist_pixels(table):
    first = table.rows([0], ["pixels", "digit"]).row(0)
    assert (sum(first[0]), len(first[0]), first[1]) == (27_525, 784, 5)


REAL_CHECKS = {
    "mnist_pixels": check_mnist_pixels,
    "mnist_permuted": check_mnist_pixels,
    "shakespeare": check_shakespeare,
    "ptb": check_ptb,
    "ud_english": check_ud_english,
    "spoken_digits": check_media,
    "video_shapes": check_media,
    "flickr8k": check_media,
    "splice": check_splice,
    "mnist": check_mnist,
}


@pytest.mark.skipif(not REAL, reason="ELMAN_DATA names no folder of data sets")
def test_reviews_of_the_archive_are_the_published_lines():
    """Taken apart into files and put together again, imdb's lines are what they were."""
    files = DATASETS["imdb"].files
    assert isinstance(files, Archive)
    lines = files.found_in(Path(REAL or "", "imdb"))
    if lines is None:
        pytest.skip("ELMAN_DATA has no imdb")
    apart = {}
    for name, content in lines.items():
        for line in content.removesuffix(b"\n").split(b"\n"):
            label, number, stars, text = line.split(b"\t")
            place = f"{name[:-4]}/{('neg', 'pos')[int(label)]}/{int(number)}_{int(stars)}.txt"
            apart[place] = text
    assert len(apart) == 50_000
    assert tables.imdb_lines(apart) == lines
