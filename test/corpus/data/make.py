"""Writes the data files of this folder with NumPy and TensorFlow: six examples of two features, labels and weights.

python test/corpus/data/make.py   (numpy and tensorflow-cpu, as in ../requirements.txt)
"""
import pathlib

import numpy as np
import tensorflow as tf

here = pathlib.Path(__file__).parent
x = np.array([[0, 1], [-2, 0.5], [3, 1e-3], [4, -5], [5, 6.25], [-7, 8]])
y = np.array([0, 1, 2, 0, 1, 2])
w = np.array([1, 0.5, 2, 1, 0, 3])

for name, dtype in [("f2", "<f2"), ("f4", "<f4"), ("f8", ">f8")]:
    np.save(here / f"x-{name}.npy", x.astype(dtype))
for name, dtype in [("u1", "|u1"), ("i4", ">i4"), ("i8", "<i8"), ("b1", "?")]:
    np.save(here / f"y-{name}.npy", y.astype(dtype))
np.save(here / "x-fortran.npy", np.asfortranarray(x))
np.save(here / "x-text.npy", x.astype(str))
np.savez(here / "plain.npz", x_train=x.astype("f4"), y_train=y)
np.savez_compressed(here / "packed.npz", images=x, digits=y, shares=w)

with tf.io.TFRecordWriter(str(here / "examples.tfrecord")) as writer:
    for row, label, weight in zip(x, y, w):
        feature = {
            "pixels": tf.train.Feature(float_list=tf.train.FloatList(value=row)),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            "weight": tf.train.Feature(float_list=tf.train.FloatList(value=[weight])),
            "age": tf.train.Feature(int64_list=tf.train.Int64List(value=[-int(label)])),
            "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"secret"])),
        }
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
