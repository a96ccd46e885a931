/* dsets._native, rows and gather: every argument is checked before a pointer is used. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "gather.h"
#include "native.h"

#include <stdlib.h>

PyObject *rows_make(PyObject *self, PyObject *args);
PyObject *rows_gather(PyObject *self, PyObject *args);
PyObject *rows_checksums(PyObject *self, PyObject *args);

/* Rows of the same size in several buffers, which stay exported as long as this lives. */
struct rows {
    Py_ssize_t shards;
    int64_t row_bytes;
    int64_t *starts; /* (shards + 1,): the number of each shard's first row, and of rows */
    Py_buffer *buffers;
};
static const char ROWS[] = "dsets._native.rows";

static void rows_free(struct rows *rows) {
    for (Py_ssize_t i = 0; i < rows->shards; i++) PyBuffer_Release(&rows->buffers[i]);
    free(rows->starts);
    free(rows->buffers);
    free(rows);
}

static void rows_end(PyObject *capsule) { rows_free(PyCapsule_GetPointer(capsule, ROWS)); }

/* rows(shards, row_bytes) -> capsule for gather: a sequence of contiguous buffers of whole rows. */
PyObject *rows_make(PyObject *self, PyObject *args) {
    PyObject *shards;
    long long row_bytes;
    (void)self;
    if (!PyArg_ParseTuple(args, "OL", &shards, &row_bytes)) return NULL;
    Py_ssize_t count = PySequence_Size(shards);
    if (count < 0) return NULL;
    struct rows *rows = calloc(1, sizeof *rows);
    if (rows) rows->starts = calloc((size_t)count + 1, sizeof *rows->starts);
    if (rows) rows->buffers = calloc((size_t)count + 1, sizeof *rows->buffers);
    if (!rows || !rows->starts || !rows->buffers) {
        if (rows) rows_free(rows);
        return PyErr_NoMemory();
    }
    rows->row_bytes = row_bytes;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *shard = PySequence_GetItem(shards, i);
        int made = shard && PyObject_GetBuffer(shard, &rows->buffers[i], PyBUF_SIMPLE) == 0;
        Py_XDECREF(shard);
        if (!made) {
            rows_free(rows);
            return NULL;
        }
        rows->shards++;
        Py_ssize_t bytes = rows->buffers[i].len;
        if (row_bytes <= 0 || bytes % row_bytes) {
            rows_free(rows);
            PyErr_SetString(PyExc_ValueError, "rows: a shard does not hold whole rows");
            return NULL;
        }
        rows->starts[i + 1] = rows->starts[i] + bytes / row_bytes;
    }
    PyObject *capsule = PyCapsule_New(rows, ROWS, rows_end);
    if (!capsule) rows_free(rows);
    return capsule;
}

/* The bytes of a row, or NULL when there is no such row. */
static const uint8_t *row_of(const struct rows *rows, int64_t number) {
    if (number < 0 || number >= rows->starts[rows->shards]) return NULL;
    Py_ssize_t low = 0, high = rows->shards; /* starts[low] <= number < starts[high] */
    while (high - low > 1) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (rows->starts[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    return (const uint8_t *)rows->buffers[low].buf +
           (size_t)((number - rows->starts[low]) * rows->row_bytes);
}

/* The arguments of gather, as they came. */
struct gathering {
    const struct rows *rows;
    struct stored stored;
    struct window window;
    struct finish finish;
    Py_buffer index, top, left, mirrored, scale, bias, field, out;
};

static int is_array(const Py_buffer *array, int64_t count, size_t item) {
    return (uintptr_t)array->buf % item == 0 && array->len % (Py_ssize_t)item == 0 &&
           array->len / (Py_ssize_t)item == count;
}

static int is_array_or_none(const Py_buffer *array, int64_t count, size_t item) {
    return !array->buf || is_array(array, count, item);
}

static int gathering_fits(const struct gathering *ask) {
    static const size_t items[] = {1, sizeof(float), sizeof(uint16_t)};
    const int64_t most = 1 << 20;
    int64_t height = ask->stored.height, width = ask->stored.width, group = ask->stored.channels;
    int64_t lines = ask->window.height, columns = ask->window.width;
    if (height < 1 || height > most || width < 1 || width > most || group < 1 || group > most ||
        lines < 1 || lines > most || columns < 1 || columns > most ||
        height * width * group != ask->rows->row_bytes ||
        (int)ask->finish.type < GATHER_UINT8 || ask->finish.type > GATHER_FLOAT16)
        return 0;
    size_t item = items[ask->finish.type];
    int64_t count = ask->index.len / (Py_ssize_t)sizeof(int64_t), image = lines * columns * group;
    int scaled = ask->finish.type != GATHER_UINT8;
    return is_array(&ask->index, count, sizeof(int64_t)) &&
           is_array_or_none(&ask->top, count, sizeof(int64_t)) &&
           is_array_or_none(&ask->left, count, sizeof(int64_t)) &&
           is_array_or_none(&ask->mirrored, count, 1) &&
           (!scaled || (ask->scale.buf && is_array(&ask->scale, group, sizeof(float)) &&
                        ask->bias.buf && (is_array(&ask->bias, group, sizeof(float)) ||
                                          is_array(&ask->bias, group * count, sizeof(float))) &&
                        is_array_or_none(&ask->field, ask->rows->row_bytes, sizeof(float)))) &&
           ask->out.len / (Py_ssize_t)item / image == count &&
           ask->out.len == count * image * (int64_t)item && (uintptr_t)ask->out.buf % item == 0;
}

/* What is asked for i-th of so many; its image is NULL when there is none. */
static struct shown shown_at(const struct gathering *ask, int64_t i, int64_t count) {
    const int64_t *index = ask->index.buf, *top = ask->top.buf, *left = ask->left.buf;
    const uint8_t *mirrored = ask->mirrored.buf;
    struct shown shown = {NULL, ask->window};
    if (i >= count) return shown;
    shown.image = row_of(ask->rows, index[i]);
    shown.window.top = top ? top[i] : 0;
    shown.window.left = left ? left[i] : 0;
    shown.window.mirrored = mirrored && mirrored[i];
    return shown;
}

enum gathered { GATHERED, GATHER_NO_ROW, GATHER_NO_MEMORY };

static enum gathered gathering_run(struct gathering *ask) {
    static const size_t items[] = {1, sizeof(float), sizeof(uint16_t)};
    uint8_t *out = ask->out.buf, *scratch = malloc(gather_scratch(&ask->stored, &ask->window));
    size_t step = (size_t)(ask->window.height * ask->window.width * ask->stored.channels) *
                  items[ask->finish.type];
    enum gathered result = scratch ? GATHERED : GATHER_NO_MEMORY;
    int64_t count = ask->index.len / (Py_ssize_t)sizeof(int64_t);
    ask->finish.scale = ask->scale.buf;
    ask->finish.bias = ask->bias.buf;
    ask->finish.field = ask->field.buf;
    int64_t group = ask->stored.channels;
    int each = ask->bias.buf && ask->bias.len != group * (int64_t)sizeof(float); /* its own bias */
    struct shown next = shown_at(ask, 0, count);
    for (int64_t i = 0; result == GATHERED && i < count; i++, out += step) {
        if (each) ask->finish.bias = (const float *)ask->bias.buf + i * group;
        struct shown now = next;
        next = shown_at(ask, i + 1, count);
        if (now.image)
            gather(&now, &next, &ask->stored, &ask->finish, scratch, out);
        else
            result = GATHER_NO_ROW;
    }
    gather_fence();
    free(scratch);
    return result;
}

/* gather(rows, index, top, left, mirrored, out, stored, window, finish): show images of rows().

   index, top, left: int64 (n,); mirrored: bytes (n,); all but index may be None, for zeros. out:
   (n, one image). stored: (height, width, channels, planar); window: (height, width);
   finish: (type, scale, bias, bypass, field), scale float32 (channels,), bias float32 (channels,)
   or (n, channels), field None or float32 (channels, height, width); all None for uint8. */
PyObject *rows_gather(PyObject *self, PyObject *args) {
    struct gathering ask = {0};
    PyObject *capsule;
    long long height, width, channels, lines, columns;
    int type;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*z*z*z*w*(LLLp)(LL)(iz*z*pz*)", &capsule, &ask.index, &ask.top,
                          &ask.left, &ask.mirrored, &ask.out, &height, &width, &channels,
                          &ask.stored.planar, &lines, &columns, &type, &ask.scale, &ask.bias,
                          &ask.finish.bypass, &ask.field))
        return NULL;
    ask.stored.height = height, ask.stored.width = width, ask.stored.channels = channels;
    ask.window.height = lines, ask.window.width = columns;
    ask.finish.type = (enum gather_type)type;
    ask.rows = PyCapsule_IsValid(capsule, ROWS) ? PyCapsule_GetPointer(capsule, ROWS) : NULL;
    int fits = ask.rows && gathering_fits(&ask);
    enum gathered result = GATHERED;
    if (fits) {
        Py_INCREF(capsule);
        Py_BEGIN_ALLOW_THREADS
        result = gathering_run(&ask);
        Py_END_ALLOW_THREADS
        Py_DECREF(capsule);
    }
    Py_buffer *buffers[] = {&ask.index, &ask.top,  &ask.left, &ask.mirrored,
                            &ask.scale, &ask.bias, &ask.field, &ask.out};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) PyBuffer_Release(buffers[i]);
    if (result == GATHER_NO_MEMORY) return PyErr_NoMemory();
    if (!fits || result == GATHER_NO_ROW) {
        if (fits)
            PyErr_SetString(PyExc_IndexError, "gather: no such row");
        else
            PyErr_SetString(PyExc_ValueError, "gather: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* row_checksums(rows, index, sums): the CRC-32C of rows index, int64 (n,), to sums, uint32 (n,). Only
   where the processor has the instruction. */
PyObject *rows_checksums(PyObject *self, PyObject *args) {
    PyObject *capsule;
    Py_buffer index, sums;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &capsule, &index, &sums)) return NULL;
    const struct rows *rows =
        PyCapsule_IsValid(capsule, ROWS) ? PyCapsule_GetPointer(capsule, ROWS) : NULL;
    int64_t count = index.len / (Py_ssize_t)sizeof(int64_t);
    int fits = rows && is_array(&index, count, sizeof(int64_t)) &&
               is_array(&sums, count, sizeof(uint32_t));
    if (fits) {
        Py_INCREF(capsule);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; fits && i < count; i++) {
            const uint8_t *row = row_of(rows, ((const int64_t *)index.buf)[i]);
            fits = row != NULL;
            if (fits) ((uint32_t *)sums.buf)[i] = checksum(row, (size_t)rows->row_bytes);
        }
        Py_END_ALLOW_THREADS
        Py_DECREF(capsule);
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&sums);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "row_checksums: no such rows, or sizes that do not fit");
        return NULL;
    }
    Py_RETURN_NONE;
}
