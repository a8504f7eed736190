"""split.py WHEEL: writes data/train.csv and data/test.csv from the digits in a wheel of scikit-learn (see data/README.md)."""

import gzip
import pathlib
import random
import sys
import zipfile

MEMBER = "sklearn/datasets/data/digits.csv.gz"
SEED = 42
TEST_IMAGES = 360
HEADER = ",".join([f"pixel{i}" for i in range(64)] + ["label"])


def main(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER)).decode("ascii")
    rows = text.split()
    random.Random(SEED).shuffle(rows)
    parts = {"test": rows[:TEST_IMAGES], "train": rows[TEST_IMAGES:]}
    folder = pathlib.Path(__file__).parent / "data"
    for name, part in parts.items():
        (folder / f"{name}.csv").write_text("\n".join([HEADER, *part]) + "\n")


main(*sys.argv[1:])
