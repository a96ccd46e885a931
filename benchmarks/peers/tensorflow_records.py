"""TensorFlow's own reader of YouTube-8M records: ``tensorflow_records.py FILE video|frame``.

Says ``ready``; for every line it reads the whole file, parsed, and answers with records a second:
as the best of what its guide names, batches of 256 examples or single sequence examples, parsed in
parallel as it sees fit, and prefetched.
"""

import sys
import time

import tensorflow as tf

AUTO = tf.data.AUTOTUNE
CONTEXT = {"id": tf.io.FixedLenFeature([], tf.string), "labels": tf.io.VarLenFeature(tf.int64)}
MEANS = {
    "mean_rgb": tf.io.FixedLenFeature([1024], tf.float32),
    "mean_audio": tf.io.FixedLenFeature([128], tf.float32),
}
FRAMES = {name: tf.io.FixedLenSequenceFeature([], tf.string) for name in ("rgb", "audio")}


def video(path):
    records = tf.data.TFRecordDataset(path).batch(256)
    return records.map(lambda data: tf.io.parse_example(data, {**CONTEXT, **MEANS}), AUTO)


def frame(path):
    def parse(data):
        context, lists = tf.io.parse_single_sequence_example(data, CONTEXT, FRAMES)
        raw = {name: tf.io.decode_raw(frames, tf.uint8) for name, frames in lists.items()}
        return {**context, **raw}

    return tf.data.TFRecordDataset(path).map(parse, AUTO)


dataset = {"video": video, "frame": frame}[sys.argv[2]](sys.argv[1]).prefetch(AUTO)
for _ in dataset.take(2):
    pass
print("ready", flush=True)
for _ in sys.stdin:
    count, start = 0, time.perf_counter()
    for record in dataset:
        count += int(tf.size(record["id"]))
    print(count / (time.perf_counter() - start), flush=True)
