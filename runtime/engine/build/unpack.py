"""unpack.py WHEEL FOLDER: takes TensorFlow's two libraries and the headers of its C API out of the wheel."""

import os
import shutil
import sys
import zipfile

LIBRARIES = "tensorflow/libtensorflow"
INCLUDE = "tensorflow/include/"
HEADERS = ("tensorflow/c/", "tensorflow/core/platform/ctstring", "tsl/platform/ctstring", "tsl/c/", "xla/tsl/c/")


def target(name):
    if name.startswith(LIBRARIES) and name.endswith(".so.2"):
        return os.path.join("lib", os.path.basename(name))
    header = name.removeprefix(INCLUDE)
    if header != name and header.startswith(HEADERS) and header.endswith(".h"):
        return os.path.join("include", header)
    return None


def main(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = target(name)
            if path is None:
                continue
            path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(name) as source, open(path, "wb") as destination:
                shutil.copyfileobj(source, destination, 1 << 22)


main(*sys.argv[1:])
