/* Where the values of tf.train.Example and tf.train.SequenceExample lie in their bytes.

   Only what protobuf writers write is followed: each message's fields once and in order, numbers
   packed, names in ASCII. Anything else is left to protobuf itself, which is the specification
   (dsets/archive/example.py): a record is either read here with the same result, or not at all. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { NONE = 0, BYTES = 1, FLOATS = 2, INTS = 3, FRAMES = 4, OTHER = 5, UNSEEN = -1 };
enum { FIRST = 0x0A, SECOND = 0x12, THIRD = 0x1A }; /* fields 1 to 3, length-delimited */

struct span {
    int64_t kind, count, start, end;
    int64_t size; /* of each frame, where all are of one size; else -1 */
};

struct names {
    const char *name[64];
    size_t length[64];
    int features, all; /* names of features, then those of feature lists */
};

/* The message under tag `tag` at *at: its bytes are [*start, *end), and *at is set behind them. */
static int message(const uint8_t *data, int64_t *at, int64_t stop, int tag, int64_t *start,
                   int64_t *end) {
    int64_t p = *at, size = 0;
    if (p >= stop || data[p++] != tag) return 0;
    for (int shift = 0;; shift += 7) {
        if (p >= stop || shift > 28) return 0;
        int64_t byte = data[p++];
        size |= (byte & 0x7F) << shift;
        if (byte < 0x80) break;
    }
    if (size > stop - p) return 0;
    *start = p;
    *end = *at = p + size;
    return 1;
}

/* Packed varints: how many, or -1. With `out` they are written there. */
static int64_t varints(const uint8_t *data, int64_t at, int64_t stop, int64_t *out) {
    int64_t count = 0;
    while (at < stop) {
        uint64_t value = 0;
        for (int shift = 0;; shift += 7) {
            if (at >= stop || shift > 63) return -1;
            uint64_t byte = data[at++];
            if (shift == 63 && byte != 1) return -1;
            value |= (byte & 0x7F) << shift;
            if (byte < 0x80) break;
        }
        if (out) out[count] = (int64_t)value;
        count++;
    }
    return count;
}

static int feature(const uint8_t *data, int64_t at, int64_t stop, struct span *found) {
    int64_t start, end, inner, inner_end;
    found->kind = NONE;
    found->count = 0;
    found->start = found->end = at;
    found->size = -1;
    if (at == stop) return 1;
    int tag = data[at];
    if (tag != FIRST && tag != SECOND && tag != THIRD) return 0;
    if (!message(data, &at, stop, tag, &start, &end) || end != stop) return 0;
    found->start = start;
    found->end = end;
    if (tag == FIRST) {
        found->kind = BYTES;
        for (at = start; at < end; found->count++)
            if (!message(data, &at, end, FIRST, &inner, &inner_end)) return 0;
        if (found->count == 1) {
            found->start = inner;
            found->end = inner_end;
        }
        return 1;
    }
    found->kind = tag == SECOND ? FLOATS : INTS;
    if (start == end) return 1;
    if (!message(data, &start, end, FIRST, &inner, &inner_end) || inner_end != end) return 0;
    found->start = inner;
    found->count = tag == SECOND ? (end - inner) / 4 : varints(data, inner, end, NULL);
    return tag == SECOND ? (end - inner) % 4 == 0 : found->count >= 0;
}

static int feature_list(const uint8_t *data, int64_t at, int64_t stop, struct span *found) {
    struct span one;
    int64_t start, end;
    found->kind = FRAMES;
    found->count = 0;
    found->start = at;
    found->end = stop;
    found->size = -1;
    while (at < stop) {
        if (!message(data, &at, stop, FIRST, &start, &end)) return 0;
        if (!feature(data, start, end, &one)) return 0;
        if (found->count == 0) found->size = one.end - one.start;
        if (one.kind != BYTES || one.count != 1 || one.end - one.start != found->size)
            found->kind = OTHER;
        found->count++;
    }
    if (found->count == 0) found->kind = OTHER;
    return 1;
}

/* A map of names to features, or to feature lists, into the spans from `first` to `last`. */
static int map(const uint8_t *data, int64_t at, int64_t stop, const struct names *names, int first,
               int last, int lists, struct span *spans) {
    while (at < stop) {
        int64_t entry, entry_end, key, key_end, value, value_end;
        struct span found;
        if (!message(data, &at, stop, FIRST, &entry, &entry_end)) return 0;
        if (!message(data, &entry, entry_end, FIRST, &key, &key_end)) return 0;
        if (!message(data, &entry, entry_end, SECOND, &value, &value_end)) return 0;
        if (entry != entry_end) return 0;
        for (int64_t i = key; i < key_end; i++)
            if (data[i] >= 0x80) return 0;
        if (!(lists ? feature_list : feature)(data, value, value_end, &found)) return 0;
        for (int i = first; i < last; i++) {
            if (names->length[i] != (size_t)(key_end - key) ||
                memcmp(names->name[i], data + key, names->length[i]))
                continue;
            if (spans[i].kind != UNSEEN) return 0;
            spans[i] = found;
        }
    }
    return 1;
}

static int record(const uint8_t *data, int64_t at, int64_t stop, int sequence,
                  const struct names *names, struct span *spans) {
    int64_t start, end;
    for (int i = 0; i < names->all; i++) spans[i] = (struct span){UNSEEN, 0, at, at, -1};
    if (at < stop && data[at] == FIRST) {
        if (!message(data, &at, stop, FIRST, &start, &end)) return 0;
        if (!map(data, start, end, names, 0, names->features, 0, spans)) return 0;
    }
    if (at < stop && sequence) {
        if (!message(data, &at, stop, SECOND, &start, &end)) return 0;
        if (!map(data, start, end, names, names->features, names->all, 1, spans)) return 0;
    }
    for (int i = 0; i < names->all; i++)
        if (spans[i].kind == UNSEEN) spans[i].kind = NONE;
    return at == stop;
}

/* names, each ended by a newline, after those that are there */
static int parse_names(struct names *names, const char *text, Py_ssize_t size) {
    const char *stop = text + size;
    while (text < stop) {
        const char *end = memchr(text, '\n', (size_t)(stop - text));
        if (!end || names->all == 64) return 0;
        names->name[names->all] = text;
        names->length[names->all++] = (size_t)(end - text);
        text = end + 1;
    }
    return 1;
}

/* example_spans(data, bounds, sequence, features, lists, spans, good): of each record, data[bounds[2 i]]
   to data[bounds[2 i + 1]], where the values of these names lie. features, lists: names, each ended
   by a newline. spans: int64 (n, names, 5): kind, count, start, end, size. good: uint8 (n,), 0 for
   records to be left to protobuf. */
PyObject *example_spans(PyObject *self, PyObject *args) {
    Py_buffer data, bounds, features, lists, spans, good;
    int sequence;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*py*y*w*w*", &data, &bounds, &sequence, &features, &lists, &spans,
                          &good))
        return NULL;
    struct names names = {.features = 0, .all = 0};
    int fits = parse_names(&names, features.buf, features.len);
    names.features = names.all;
    fits = fits && parse_names(&names, lists.buf, lists.len);
    Py_ssize_t n = good.len;
    const int64_t *bound = bounds.buf;
    struct span *span = spans.buf;
    fits = fits && bounds.len == n * 2 * (Py_ssize_t)sizeof *bound &&
           spans.len == n * names.all * (Py_ssize_t)sizeof *span &&
           (uintptr_t)bound % sizeof *bound == 0 && (uintptr_t)span % sizeof bound[0] == 0;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; fits && i < n; i++) {
            int64_t start = bound[2 * i], end = bound[2 * i + 1];
            fits = 0 <= start && start <= end && end <= data.len;
            if (fits)
                ((uint8_t *)good.buf)[i] = (uint8_t)record(data.buf, start, end, sequence, &names,
                                                           span + i * names.all);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&bounds);
    PyBuffer_Release(&features);
    PyBuffer_Release(&lists);
    PyBuffer_Release(&spans);
    PyBuffer_Release(&good);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "example_spans: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* example_ints(data, start, end, values): the packed varints of data[start:end]; values: int64, as many
   as there are. */
PyObject *example_ints(PyObject *self, PyObject *args) {
    Py_buffer data, values;
    Py_ssize_t start, end;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnw*", &data, &start, &end, &values)) return NULL;
    int64_t count = values.len / (Py_ssize_t)sizeof(int64_t);
    int fits = 0 <= start && start <= end && end <= data.len &&
               (uintptr_t)values.buf % sizeof(int64_t) == 0 &&
               varints(data.buf, start, end, NULL) == count;
    if (fits) varints(data.buf, start, end, values.buf);
    PyBuffer_Release(&data);
    PyBuffer_Release(&values);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "example_ints: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* example_frames(data, start, end, count, frames): the bytes of each feature of the feature list
   data[start:end], one after the other. False when they are not `count` of the same size. */
PyObject *example_frames(PyObject *self, PyObject *args) {
    Py_buffer data, frames;
    Py_ssize_t start, end, count;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnnw*", &data, &start, &end, &count, &frames)) return NULL;
    int fits = 0 <= start && start <= end && end <= data.len && count > 0 &&
               frames.len % count == 0;
    int same = fits;
    if (fits) {
        int64_t size = frames.len / count, at = start, inner, inner_end, i = 0;
        uint8_t *to = frames.buf;
        Py_BEGIN_ALLOW_THREADS
        for (; same && at < end; i++) {
            struct span one;
            same = i < count && message(data.buf, &at, end, FIRST, &inner, &inner_end) &&
                   feature(data.buf, inner, inner_end, &one) && one.kind == BYTES &&
                   one.count == 1 && one.end - one.start == size;
            if (same) memcpy(to + i * size, (const uint8_t *)data.buf + one.start, (size_t)size);
        }
        same = same && i == count;
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&frames);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "example_frames: the buffers' sizes do not fit together");
        return NULL;
    }
    return PyBool_FromLong(same);
}

/* example_values(data, places, kind, values): the values at data[places[2 i]:places[2 i + 1]], one place after
   the other: BYTES and FLOATS as they lie, INTS from packed varints. values: exactly as large. */
PyObject *example_values(PyObject *self, PyObject *args) {
    Py_buffer data, places, values;
    int kind;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*iw*", &data, &places, &kind, &values)) return NULL;
    const int64_t *place = places.buf;
    int64_t size = kind == INTS ? (int64_t)sizeof(int64_t) : 1, filled = 0;
    Py_ssize_t n = places.len / (2 * (Py_ssize_t)sizeof *place);
    int fits = (kind == BYTES || kind == FLOATS || kind == INTS) && values.len % size == 0 &&
               (uintptr_t)place % sizeof *place == 0 && (uintptr_t)values.buf % (size_t)size == 0;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; fits && i < n; i++) {
        int64_t start = place[2 * i], end = place[2 * i + 1], count = end - start;
        fits = 0 <= start && start <= end && end <= data.len;
        if (fits && kind == INTS) count = varints(data.buf, start, end, NULL);
        fits = fits && 0 <= count && count <= values.len / size - filled;
        if (fits && kind == INTS)
            varints(data.buf, start, end, (int64_t *)values.buf + filled);
        else if (fits)
            memcpy((uint8_t *)values.buf + filled, (const uint8_t *)data.buf + start, (size_t)count);
        filled += fits ? count : 0;
    }
    Py_END_ALLOW_THREADS
    fits = fits && filled == values.len / size;
    PyBuffer_Release(&data);
    PyBuffer_Release(&places);
    PyBuffer_Release(&values);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "example_values: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}
