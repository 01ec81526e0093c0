"""The records of all data sets that can be had by name."""

from __future__ import annotations

from functools import partial

from elman.data.named import tables
from elman.data.named.dataset import Dataset
from elman.data.named.sources import Archive, Files, archive, raw

_TIME_SERIES = raw("jbrownlee/Datasets", "d20fcb6402ae34e653d4513b00f39257bb37ed7f")
_MNIST = "fgnt/mnist", "ae608a02b796c9ee908c082585a5f006fe05258e"
_SPOKEN = "Jakobovski/free-spoken-digit-dataset", "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_SHAPES = "zygis009/colored-shape-action-dataset", "1b9fdc2a8294456fd71db7456a688f2f24763193"
_FLICKR = "quantumnaan/sic_translator", "d27da85cff2dbf143fcaf365aece667d66c4298f"
_IMDB = (
    "PVidyadhar/Detection-of-Fraud-apps-using-Sentiment-Analysis",
    "81406d56e9c006de30f9d50737fd66177a4a1434",
)


def _one(folder: str, base: str, path: str, sha256: str) -> Files:
    name = path.rpartition("/")[2]
    return Files(folder, base, {name: path}, {name: sha256})


_GOOG = Dataset(
    "goog",
    "Google's daily share prices, 2004-08-19 to 2008-10-14: 1,047 business days of date, "
    "open, high, low, close, volume, adj_close",
    "matplotlib's sample_data/goog.npz, installed with Elman",
    "part of matplotlib (PSF-based)",
    make=tables.goog,
)

_CHAOS = Dataset(
    "mackey_glass",
    "the chaotic Mackey-Glass series with a delay of 17: 3,000 steps of x",
    "its equation (Mackey & Glass 1977)",
    "none: numbers from an equation",
    make=tables.chaos,
)

_RIDERSHIP = Dataset(
    "ridership",
    "Chicago bus and rail boardings by day, 2001-01-01 to 2021-11-30: 7,701 rows (62 of "
    "them repeated) of service_date, day_type, bus, rail_boardings, total_rides",
    "Chicago Data Portal, by way of github.com/ageron/data",
    "none stated in the repository; from the Chicago Data Portal, under the City of "
    "Chicago's terms of use",
    _one(
        "ridership",
        raw("ageron/data", "2ea73147454d2ff8c8a933913be4606f05b352ca"),
        "ridership/CTA_-_Ridership_-_Daily_Boarding_Totals.csv",
        "34faaba085ca21434b7dd3e0abcbaf8cde5be3a4f170dda1c8caef72c5c4bd06",
    ),
)

_STOCKS = Dataset(
    "stocks",
    "daily closes of MSFT, IBM, SBUX, AAPL and the S&P 500 (GSPC), 2007-01-03 to "
    "2016-03-01: 2,306 business days, with Date",
    "github.com/plotly/datasets",
    "MIT (Plotly Technologies Inc.)",
    _one(
        "stocks",
        raw("plotly/datasets", "0c447c47b757ad74edecab31f0d72f849d2e67c2"),
        "stockdata.csv",
        "60bf505fec160ce05ba959382adee32ea6e53ce14fe22886db27c58fe1b0d26b",
    ),
)

_SUNSPOTS = Dataset(
    "sunspots",
    "monthly numbers of sunspots, 1749-01 to 1983-12: 2,820 rows of Month, Sunspots",
    "Andrews & Herzberg, by way of github.com/jbrownlee/Datasets",
    "none stated in the repository; from Andrews & Herzberg",
    _one(
        "series",
        _TIME_SERIES,
        "monthly-sunspots.csv",
        "c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3",
    ),
)

_TEMPERATURES = Dataset(
    "temperatures",
    "daily minimum temperatures in Melbourne, 1981 to 1990, without 31 December of leap "
    "years: 3,650 rows of Date, Temp (degrees Celsius)",
    "Australian Bureau of Meteorology, by way of github.com/jbrownlee/Datasets",
    "none stated in the repository; from the Australian Bureau of Meteorology",
    _one(
        "series",
        _TIME_SERIES,
        "daily-min-temperatures.csv",
        "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da",
    ),
)

_REVIEWS = Dataset(
    "reviews",
    "sentences of film reviews (Pang & Lee 2005): 10,662 rows of text, label (negative, "
    "positive), score (-1, 1)",
    "Pang & Lee 2005, by way of github.com/dennybritz/cnn-text-classification-tf",
    "none stated for the data (Apache-2.0 for the repository's code)",
    Files(
        "reviews",
        raw(
            "dennybritz/cnn-text-classification-tf",
            "18762b459e21d9c70e5c242f8d43fc4e6db37a0d",
            "data/rt-polaritydata",
        ),
        {"rt-polarity.neg": "rt-polarity.neg", "rt-polarity.pos": "rt-polarity.pos"},
        {
            "rt-polarity.neg": "2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd",
            "rt-polarity.pos": "4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58",
        },
    ),
    make=tables.reviews,
    sha256="f11f4e43c5e3b569bc11bea8ad5d17a44ed178686e9b146a7abf9b47fb0ed562",
    kind=".parquet",
)

_REVIEWS_LONG = Dataset(
    "imdb",
    "film reviews (Maas et al. 2011, who ask for citation): 50,000 rows of text, label (neg, pos), "
    "stars (1 to 4 and 7 to 10), split (25,000 train, 25,000 test)",
    "Large Movie Review Dataset v1.0, by way of github.com/" + _IMDB[0],
    "none stated in the repository",
    Archive(
        "imdb",
        archive(*_IMDB),
        r"aclImdb/((?:train|test)/(?:neg|pos)/\d+_\d+\.txt)",
        ("*.tsv.gz",),
        "ebefc9f9ad92e6691920ad4b3528c217332c8cf339c5540c3c7cc5d49aadd75c",
        tables.imdb_lines,
    ),
    make=tables.imdb,
    sha256="7049e8c50eb504ba36f6364680bcd96e94d92e8b463f45f4bcdcb26265b19b90",
    kind=".parquet",
)

_SPOKEN_DIGITS = Dataset(
    "spoken_digits",
    "spoken digits (Free Spoken Digit Dataset), 8 kHz: 3,000 recordings, with file, digit, "
    "speaker (6), take (0 to 49), split (2,700 train, 300 test)",
    f"github.com/{_SPOKEN[0]}",
    "CC BY-SA 4.0",
    Archive(
        "spoken_digits/recordings",
        archive(*_SPOKEN),
        r"recordings/(.+\.wav)",
        ("*.wav",),
        "1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959",
    ),
    make=tables.spoken_digits,
    sha256="b6b384a2f855dc1b6abf05df033399e753297cfafd5e4ba7be3e8137d189d9b5",
    media=True,
)

_SPLICE = Dataset(
    "splice",
    "splice junctions of primates (UCI; Towell, Noordewier, Shavlik): 3,190 rows of name, sequence "
    "(60 nucleotides), site (EI, IE, N)",
    "UCI, by way of github.com/renatopp/arff-datasets",
    "none stated in the repository",
    _one(
        "splice",
        raw("renatopp/arff-datasets", "c59f172882592bb58982cc54d2d3c8a2b57e9b73"),
        "classification/splice.arff",
        "7e9b1b59c6731059f40bf16874fcac85af43fa65504b05cc6517b1a4c70fd99a",
    ),
    make=tables.splice,
    sha256="e8d1feb6faacb74a340326494fe916cd696d8c4d4113d27b108ef19b8778d0a0",
)

_VIDEO_SHAPES = Dataset(
    "video_shapes",
    "coloured shapes in motion, drawn: 135 clips of 32 frames, with file, action, colour, shape, "
    "take (1 to 5), caption, split (108 train, 27 test)",
    f"github.com/{_SHAPES[0]}",
    "Apache-2.0",
    Archive(
        "video_shapes/mp4",
        archive(*_SHAPES),
        r"colored_shape_action_generator/data/actions/(.+/.+\.mp4)",
        ("*/*.mp4",),
        "717cb5a8b4e0b277e35ccf05f09394a5fb7b7d9bfd3fa1575ca1e9b42e9fcfff",
    ),
    make=tables.video_shapes,
    sha256="89f153d3ade22d8efa6e6ad5dab33e4df8b332f86dfa7bead695ea7ca32964e3",
    media=True,
)

_UD_ENGLISH = Dataset(
    "ud_english",
    "English sentences with parts of speech (Universal Dependencies, EWT): 16,622 rows of words, "
    "tags (17), split (12,544 train, 2,001 valid, 2,077 test); words and tags part at spaces",
    "github.com/UniversalDependencies/UD_English-EWT",
    "CC BY-SA 4.0",
    Files(
        "ud_english",
        raw(
            "UniversalDependencies/UD_English-EWT",
            "15d613d8447b3478787d4c278730a1e48a945efb",
        ),
        {name: name for name in (f"en_ewt-ud-{part}.conllu" for part in ("train", "dev", "test"))},
        {
            "en_ewt-ud-train.conllu": "3fb78e2b55482c8ee00caa653af436c8"
            "8c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            "en_ewt-ud-dev.conllu": "531a54ff90d6ab12201c5a50c3e78e6d"
            "dac4de69abc4bce5d275d3cd29efe2b6",
            "en_ewt-ud-test.conllu": "e266e515a0a7547657ed3d90d9ba4648"
            "7d6bd251f27ad4269d4e8a427c8555cd",
        },
    ),
    make=tables.ud_english,
    sha256="fdc00c37a609b2c82405a39068f1ab3f13efee909fd20ce0d41cc990c29b0cd8",
    kind=".parquet",
)

_FLICKR8K = Dataset(
    "flickr8k",
    "photographs with captions (the first 1,000 images of Flickr8k, made smaller): 5,000 rows of "
    "image, caption, split (4,500 train, 500 test); five rows an image",
    f"Flickr8k (Hodosh, Young, Hockenmaier 2013), by way of github.com/{_FLICKR[0]}",
    "none stated in the repository; the images carry their Flickr owners' rights, the set was "
    "given for non-commercial research",
    Archive(
        "flickr8k",
        archive(*_FLICKR),
        r"data/(images/.+\.jpg|captions\.txt)",
        ("captions.txt", "images/*.jpg"),
        "5d844d086b382e0412090e95e0f3b1709df9033f1866622f617757e0a61d9b8b",
    ),
    make=tables.flickr8k,
    sha256="bc8ecd6982d19f56e4687758bf3480b29b0424828f7e6629e7f615df0f1ea21a",
    kind=".parquet",
    media=True,
)

_MNIST_PNG = Dataset(
    "mnist",
    "handwritten digits: 70,000 rows of image (PNG, 28 x 28, grey), digit, name (zero to nine), "
    "split (60,000 train, 10,000 test)",
    f"MNIST (LeCun, Cortes, Burges), by way of github.com/{_MNIST[0]}",
    "none stated in the repository",
    Files(
        "mnist",
        raw(*_MNIST),
        {
            name: f"{name}.gz"
            for part in ("train", "t10k")
            for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
        },
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738"
            "ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5"
            "333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77"
            "db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351"
            "222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    make=tables.mnist,
    sha256="667606fe41e6094aa1cf447f7a887af002b9605d64d2d314859a857a84be4859",
    kind=".parquet",
)


def _pixels(name: str, description: str, sha256: str, seed: int | None = None) -> Dataset:
    return Dataset(
        name,
        f"{description}: 70,000 rows of pixels (a list of 784, 0 to 255), digit, split (60,000 "
        "train, 10,000 test)",
        _MNIST_PNG.origin,
        _MNIST_PNG.licence,
        _MNIST_PNG.files,
        make=partial(tables.mnist_pixels, seed=seed),
        sha256=sha256,
        kind=".parquet",
    )


_MNIST_PIXELS = _pixels(
    "mnist_pixels",
    "handwritten digits, a pixel a step, row by row",
    "b0262c21271cac1b12e8c485aa4e50a4957294fc4804d26a48b13988ba282bf5",
)

_MNIST_PERMUTED = _pixels(
    "mnist_permuted",
    "handwritten digits, a pixel a step, all in one random order (seed 0)",
    "6ce1c2ee3f88495407ded9c8612e16935a97672e7d0b66b4fb575cb24b2a7fb4",
    seed=0,
)


def _adding(num_steps: int, sha256: str) -> Dataset:
    return Dataset(
        f"adding_{num_steps}",
        f"the adding problem of {num_steps:,} steps: 23,000 rows of value and marker (lists), sum "
        "(of the two values marked 1), split (20,000 train, 1,000 valid, 2,000 test)",
        f"its rule (Hochreiter & Schmidhuber 1997), with the seed {num_steps}",
        _CHAOS.licence,
        make=partial(tables.adding, num_steps=num_steps),
        sha256=sha256,
        kind=".parquet",
    )


_ADDING = [
    _adding(150, "70ceb047aaa2ed173fde65cb57deceb0f5950a5a4a44eb8c48c92618a3777716"),
    _adding(200, "7c69d35c7d57748cb3a9b02ac6f57dcea7bf66176332c4f6b918f7a1f25d7592"),
    _adding(300, "a185970b02c7b122a88c14fab41ec02e2c2b7bcbd4dfe5d419f26f598c911af7"),
    _adding(400, "0fc951050f7995d7c9a4deb28c50cf307e3f8ced85088b7aad98bcae7d3280b4"),
    _adding(1000, "8a7b5169e1cd1f3fd8bdb653249c8734c68f59749eb508c201682c5e73aa85c9"),
]

_COPYING = Dataset(
    "copy_200",
    "the copy task over 200 blanks: 23,000 rows of symbols (10 of a to h, blanks, a delimiter >, "
    "blanks; 220 steps, with spaces between them), answer (blanks, then the 10), split (20,000 "
    "train, 1,000 valid, 2,000 test)",
    "its rule (Hochreiter & Schmidhuber 1997), with the seed 200",
    _CHAOS.licence,
    make=partial(tables.copying, blanks=200),
    sha256="316117680e0d4e914e6d46052a495d3a95aca26525753e8675f8a29b5272f5ab",
    kind=".parquet",
)

_MULTI30K = Dataset(
    "multi30k",
    "captions in English and German (Elliott et al. 2016): 31,014 rows of en, de, split (29,000 "
    "train, 1,014 valid, 1,000 test: test2016)",
    "github.com/multi30k/dataset",
    "no licence; the repository says: derived from Flickr30K, for researchers and educators, "
    "non-commercial research and educational use",
    Files(
        "multi30k/raw",
        raw("multi30k/dataset", "a3d2e0d26b56f3846f66a952536ffed4e401d05a", "data/task1/raw"),
        {
            name: f"{name}.gz"
            for part in ("train", "val", "test_2016_flickr")
            for name in (f"{part}.en", f"{part}.de")
        },
        {
            "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
            "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
            "val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
            "val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
            "test_2016_flickr.en": "399a4382932c1aadd3ceb9bef1008d38"
            "8a64c76d4ae4e9d4728c6f4301cac182",
            "test_2016_flickr.de": "4be6b5b3236b79c25475c6bb829800a7"
            "ce559e9ba7a1f6c2394fe4d40be46d16",
        },
    ),
    make=tables.multi30k,
    sha256="1bc399323f7bd11adeb8a2b7987960d71a0e13754d11c3851ed26c502a155e95",
    kind=".parquet",
)

_SHAKESPEARE = Dataset(
    "shakespeare",
    "plays by Shakespeare: 1,115,394 characters in 40,000 lines; a text file",
    "assembled by A. Karpathy, github.com/karpathy/char-rnn",
    "public domain; no licence in the repository",
    _one(
        "shakespeare",
        raw("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"),
        "data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    kind=".txt",
)

_PTB = Dataset(
    "ptb",
    "the Penn Treebank's sentences with 10,000 words known (Mikolov): 49,199 rows of text, split "
    "(42,068 train, 3,370 valid, 3,761 test); words part at spaces",
    "Mikolov's simple-examples, by way of github.com/locuslab/TCN",
    "none stated for the data (MIT for the repository's code); the text is (c) Dow Jones / LDC",
    Files(
        "ptb",
        raw(
            "locuslab/TCN",
            "2f8c2b817050206397458dfd1f5a25ce8a32fe65",
            "TCN/word_cnn/data/penn",
        ),
        {f"ptb.{part}.txt": f"{part}.txt" for part in ("train", "valid", "test")},
        {
            "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
    ),
    make=tables.ptb,
    sha256="90c8f43d10d455075e68f2803bd8209e6934dd0fe29e3744c7f0a14a7d4293e4",
    kind=".parquet",
)

DATASETS = {
    dataset.name: dataset
    for dataset in (
        _GOOG, _CHAOS, _RIDERSHIP, _STOCKS, _SUNSPOTS, _TEMPERATURES,
        _REVIEWS, _REVIEWS_LONG, _UD_ENGLISH, _MULTI30K, _SHAKESPEARE, _PTB,
        _SPOKEN_DIGITS, _SPLICE, _VIDEO_SHAPES, _FLICKR8K, _MNIST_PNG,
        *_ADDING, _COPYING, _MNIST_PIXELS, _MNIST_PERMUTED,
    )
}  # fmt: skip
