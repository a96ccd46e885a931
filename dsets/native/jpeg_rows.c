/* dsets._native, jpeg_sizes and jpeg_rows: every argument is checked before a pointer is used. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "jpeg_show.h"
#include "strings.h"

PyObject *jpeg_sizes(PyObject *self, PyObject *args);
PyObject *jpeg_rows(PyObject *self, PyObject *args);

/* jpeg_sizes(strings, index, sizes): height and width of each row's image, by its header; 0 and 0
   of what is no JPEG. index: int64 (n,); sizes: int64 (n, 2). */
PyObject *jpeg_sizes(PyObject *self, PyObject *args) {
    PyObject *capsule;
    Py_buffer index, sizes;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &capsule, &index, &sizes)) return NULL;
    const struct strings *strings = strings_of(capsule);
    int64_t count = index.len / (Py_ssize_t)sizeof(int64_t);
    int fits = strings && is_array(&index, count, sizeof(int64_t)) &&
               is_array(&sizes, 2 * count, sizeof(int64_t));
    if (fits) {
        const int64_t *number = index.buf;
        int64_t *size = sizes.buf;
        Py_INCREF(capsule);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < count; i++, size += 2) {
            size_t length = 0;
            const uint8_t *data = string_of(strings, number[i], &length);
            if (!data || !jpeg_size(data, length, &size[0], &size[1])) size[0] = size[1] = 0;
        }
        Py_END_ALLOW_THREADS
        Py_DECREF(capsule);
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&sizes);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "jpeg_sizes: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The arguments of jpeg_rows, as they came. */
struct showing {
    const struct strings *strings;
    struct finish finish;
    int64_t lines, columns, most_pixels;
    Py_buffer index, boxes, mirrored, scale, bias, out, status;
};

static const size_t ITEMS[] = {1, sizeof(float), sizeof(uint16_t)};

static int showing_fits(const struct showing *ask) {
    const int64_t most = 1 << 15;
    int64_t count = ask->index.len / (Py_ssize_t)sizeof(int64_t);
    if (ask->lines < 1 || ask->lines > most || ask->columns < 1 || ask->columns > most ||
        (int)ask->finish.type < GATHER_UINT8 || ask->finish.type > GATHER_FLOAT16)
        return 0;
    size_t item = ITEMS[ask->finish.type];
    int64_t image = ask->lines * ask->columns * 3;
    const int64_t *box = ask->boxes.buf;
    if (!is_array(&ask->index, count, sizeof(int64_t)) ||
        !is_array(&ask->boxes, 4 * count, sizeof(int64_t)) ||
        (ask->mirrored.buf && !is_array(&ask->mirrored, count, 1)) ||
        !is_array(&ask->status, count, 1) || ask->out.len / (Py_ssize_t)item / image != count ||
        !is_array(&ask->out, count * image, item) ||
        (ask->finish.type != GATHER_UINT8 &&
         (!ask->scale.buf || !is_array(&ask->scale, 3, sizeof(float)) || !ask->bias.buf ||
          !(is_array(&ask->bias, 3, sizeof(float)) ||
            is_array(&ask->bias, 3 * count, sizeof(float))))))
        return 0;
    for (int64_t i = 0; i < 4 * count; i++)
        if (box[i] < (i % 4 < 2 ? -(1 << 20) : 1) || box[i] > 1 << 20) return 0;
    return 1;
}

static int showing_run(struct showing *ask) {
    const int64_t *index = ask->index.buf, *box = ask->boxes.buf;
    const uint8_t *mirrored = ask->mirrored.buf;
    uint8_t *out = ask->out.buf, *status = ask->status.buf;
    size_t step = (size_t)(ask->lines * ask->columns) * 3 * ITEMS[ask->finish.type];
    int64_t count = ask->index.len / (Py_ssize_t)sizeof(int64_t);
    struct jpeg_space space = {0};
    int result = SHOWN;
    ask->finish.scale = ask->scale.buf;
    ask->finish.bias = ask->bias.buf;
    int each = ask->bias.len != 3 * (Py_ssize_t)sizeof(float); /* a bias of its own */
    for (int64_t i = 0; result >= 0 && i < count; i++, out += step, box += 4) {
        struct jpeg_view view = {box[0],     box[1],       box[2], box[3],
                                 ask->lines, ask->columns, mirrored && mirrored[i]};
        if (each && ask->bias.buf) ask->finish.bias = (const float *)ask->bias.buf + 3 * i;
        size_t length = 0;
        const uint8_t *data = string_of(ask->strings, index[i], &length);
        result = data ? jpeg_show(data, length, &view, &ask->finish, ask->most_pixels, &space, out)
                      : SHOW_OTHER;
        status[i] = (uint8_t)result;
    }
    gather_fence();
    jpeg_space_free(&space);
    return result;
}

/* jpeg_rows(strings, index, boxes, mirrored, out, window, finish, most_pixels, status): show rows of
   strings().

   index: int64 (n,); boxes: int64 (n, 4) of top, left, height, width; mirrored: bytes (n,) or None;
   out: (n, one image); window: (lines, columns); finish: (type, scale, bias, bypass), scale
   float32 (3,), bias float32 (3,) or (n, 3), None for uint8; status: bytes (n,), which
   become 0 where a row was shown and else an enum jpeg_shown: its out is then undefined. */
PyObject *jpeg_rows(PyObject *self, PyObject *args) {
    struct showing ask = {0};
    PyObject *capsule;
    long long lines, columns, most_pixels;
    int type;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*y*z*w*(LL)(iz*z*p)Lw*", &capsule, &ask.index, &ask.boxes,
                          &ask.mirrored, &ask.out, &lines, &columns, &type, &ask.scale, &ask.bias,
                          &ask.finish.bypass, &most_pixels, &ask.status))
        return NULL;
    ask.lines = lines, ask.columns = columns, ask.most_pixels = most_pixels;
    ask.finish.type = (enum gather_type)type;
    ask.strings = strings_of(capsule);
    int fits = ask.strings && showing_fits(&ask), result = SHOWN;
    if (fits) {
        Py_INCREF(capsule);
        Py_BEGIN_ALLOW_THREADS
        result = showing_run(&ask);
        Py_END_ALLOW_THREADS
        Py_DECREF(capsule);
    }
    Py_buffer *buffers[] = {&ask.index, &ask.boxes, &ask.mirrored, &ask.scale,
                            &ask.bias,  &ask.out,   &ask.status};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) PyBuffer_Release(buffers[i]);
    if (result < 0) return PyErr_NoMemory();
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "jpeg_rows: the arguments do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}
