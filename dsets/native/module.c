/* dsets._native: the Python face of the kernels. Stable ABI (CPython 3.11 and later). */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "native.h"

#include <stdlib.h>

PyObject *rows_make(PyObject *self, PyObject *args); /* rows.c */
PyObject *rows_gather(PyObject *self, PyObject *args);
PyObject *rows_checksums(PyObject *self, PyObject *args);
PyObject *guard_add(PyObject *self, PyObject *args); /* guard.c */
PyObject *guard_end(PyObject *self, PyObject *args);
PyObject *guard_faults(PyObject *self, PyObject *args);
PyObject *example_spans(PyObject *self, PyObject *args); /* example.c */
PyObject *example_ints(PyObject *self, PyObject *args);
PyObject *example_frames(PyObject *self, PyObject *args);
PyObject *example_values(PyObject *self, PyObject *args);
PyObject *strings_make(PyObject *self, PyObject *args); /* strings.c */
PyObject *string_values(PyObject *self, PyObject *args);
PyObject *string_checksums(PyObject *self, PyObject *args);
#ifdef DSETS_JPEG
PyObject *jpeg_sizes(PyObject *self, PyObject *args); /* jpeg_rows.c */
PyObject *jpeg_rows(PyObject *self, PyObject *args);
#endif

/* statistics(images, sum, square_sum, outer_sum, channels): add n images. images: uint8, n × size;
   sum: uint32, size; square_sum: uint64, channels; outer_sum: uint64, channels². */
static PyObject *statistics(PyObject *self, PyObject *args) {
    Py_buffer images, sum, square_sum, outer_sum;
    int channels;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*w*w*i", &images, &sum, &square_sum, &outer_sum, &channels))
        return NULL;
    size_t size = (size_t)sum.len / sizeof(uint32_t);
    int fits = (channels == 1 || channels == 3) && size > 0 && size % (size_t)channels == 0 &&
               (size_t)images.len % size == 0 &&
               (size_t)square_sum.len == sizeof(uint64_t) * (size_t)channels &&
               (size_t)outer_sum.len == sizeof(uint64_t) * (size_t)(channels * channels);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        statistics_add(images.buf, (size_t)images.len / size, size / (size_t)channels, channels,
                       sum.buf, square_sum.buf, outer_sum.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&images);
    PyBuffer_Release(&sum);
    PyBuffer_Release(&square_sum);
    PyBuffer_Release(&outer_sum);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "statistics: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* checksums(data, bounds, sums): the CRC-32C of bytes bounds[i] to bounds[i + 1] of data to sums[i].
   bounds: int64 (n + 1,); sums: uint32 (n,). Only where the processor has the instruction. */
static PyObject *checksums(PyObject *self, PyObject *args) {
    Py_buffer data, bounds, sums;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*w*", &data, &bounds, &sums)) return NULL;
    const int64_t *bound = bounds.buf;
    uint32_t *sum = sums.buf;
    int64_t count = sums.len / (Py_ssize_t)sizeof *sum;
    int fits = bounds.len == (count + 1) * (Py_ssize_t)sizeof *bound &&
               (uintptr_t)bound % sizeof *bound == 0 && (uintptr_t)sum % sizeof *sum == 0;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; fits && i < count; i++) {
            fits = 0 <= bound[i] && bound[i] <= bound[i + 1] && bound[i + 1] <= data.len;
            if (fits)
                sum[i] = checksum((const uint8_t *)data.buf + bound[i],
                                  (size_t)(bound[i + 1] - bound[i]));
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&bounds);
    PyBuffer_Release(&sums);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "checksums: the buffers' sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* resize(image, width, height, resized_width, resized_height, left, top, target, target_width,
   target_height, filter): image is (height, width, 4) bytes, target (…, …, 3). */
static PyObject *resize(PyObject *self, PyObject *args) {
    Py_buffer image, target;
    int width, height, resized_width, resized_height, left, top, across_outputs, down_outputs;
    int filter;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*iiiiiiw*iii", &image, &width, &height, &resized_width,
                          &resized_height, &left, &top, &target, &across_outputs, &down_outputs,
                          &filter))
        return NULL;
    int fits = width > 0 && height > 0 && left >= 0 && top >= 0 && across_outputs > 0 &&
               down_outputs > 0 && across_outputs <= resized_width - left &&
               down_outputs <= resized_height - top &&
               image.len == (Py_ssize_t)width * height * 4 &&
               target.len == (Py_ssize_t)across_outputs * down_outputs * 3 &&
               (filter == FILTER_BILINEAR || filter == FILTER_BICUBIC);
    int memory = 1;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        struct axis across = {0}, down = {0};
        size_t stride = (size_t)width * 4;
        uint8_t *scratch = NULL;
        memory = axis_make(&across, width, resized_width, left, across_outputs, filter,
                           ACROSS_STEP) == 0 &&
                 axis_make(&down, height, resized_height, top, down_outputs, filter, DOWN_STEP) == 0;
        if (memory) scratch = malloc(resample_scratch(stride, height, &across, &down));
        memory = scratch != NULL;
        if (memory)
            resample(image.buf, stride, 0, 0, height, &across, &down, scratch, target.buf);
        axis_free(&across);
        axis_free(&down);
        free(scratch);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&image);
    PyBuffer_Release(&target);
    if (!memory) return PyErr_NoMemory();
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "resize: the sizes do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

#ifdef DSETS_JPEG
static PyObject *jpeg_error(enum jpeg_result result, const char *message) {
    if (result == JPEG_MEMORY) return PyErr_NoMemory();
    PyErr_SetString(result == JPEG_TRUNCATED ? PyExc_EOFError : PyExc_ValueError, message);
    return NULL;
}

/* jpeg_header(data) -> (width, height, components, plain) */
static PyObject *jpeg_header(PyObject *self, PyObject *args) {
    Py_buffer data;
    struct jpeg_header header;
    char message[JPEG_MESSAGE];
    (void)self;
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    enum jpeg_result result = jpeg_read(data.buf, (size_t)data.len, &header, message);
    PyBuffer_Release(&data);
    if (result != JPEG_OK) return jpeg_error(result, message);
    return Py_BuildValue("iiii", header.width, header.height, header.components, header.plain);
}

/* jpeg_crop(data, denominator, resized_width, resized_height, left, top, target, target_width,
   target_height, filter): target is (target_height, target_width, 3) bytes. The sizes must be
   those that jpeg_header's figures lead to; they are checked against the image again. Returns
   whether the Huffman codes were decoded by our decoder, not the library's. */
static PyObject *jpeg_crop_(PyObject *self, PyObject *args) {
    Py_buffer data, target;
    struct jpeg_request ask;
    int filter, own = 0;
    char message[JPEG_MESSAGE];
    (void)self;
    if (!PyArg_ParseTuple(args, "y*iiiiiw*iii", &data, &ask.denominator, &ask.resized_width,
                          &ask.resized_height, &ask.left, &ask.top, &target, &ask.width,
                          &ask.height, &filter))
        return NULL;
    int scaled = ask.denominator == 1 || ask.denominator == 2 || ask.denominator == 4 ||
                 ask.denominator == 8;
    int fits = scaled && ask.left >= 0 && ask.top >= 0 && ask.width > 0 && ask.height > 0 &&
               ask.width <= ask.resized_width - ask.left &&
               ask.height <= ask.resized_height - ask.top &&
               target.len == (Py_ssize_t)ask.width * ask.height * 3 &&
               (filter == FILTER_BILINEAR || filter == FILTER_BICUBIC);
    enum jpeg_result result = JPEG_OK;
    if (fits) {
        ask.filter = (enum filter)filter;
        Py_BEGIN_ALLOW_THREADS
        result = jpeg_crop(data.buf, (size_t)data.len, &ask, target.buf, message, &own);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&target);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "jpeg_crop: the sizes do not fit together");
        return NULL;
    }
    if (result != JPEG_OK) return jpeg_error(result, message);
    return PyBool_FromLong(own);
}
#endif

static PyMethodDef methods[] = {
    {"statistics", statistics, METH_VARARGS, NULL},
    {"resize", resize, METH_VARARGS, NULL},
    {"rows", rows_make, METH_VARARGS, NULL},
    {"gather", rows_gather, METH_VARARGS, NULL},
    {"row_checksums", rows_checksums, METH_VARARGS, NULL},
    {"checksums", checksums, METH_VARARGS, NULL},
    {"strings", strings_make, METH_VARARGS, NULL},
    {"string_values", string_values, METH_VARARGS, NULL},
    {"string_checksums", string_checksums, METH_VARARGS, NULL},
    {"guard_add", guard_add, METH_VARARGS, NULL},
    {"guard_end", guard_end, METH_VARARGS, NULL},
    {"guard_faults", guard_faults, METH_VARARGS, NULL},
    {"example_spans", example_spans, METH_VARARGS, NULL},
    {"example_ints", example_ints, METH_VARARGS, NULL},
    {"example_frames", example_frames, METH_VARARGS, NULL},
    {"example_values", example_values, METH_VARARGS, NULL},
#ifdef DSETS_JPEG
    {"jpeg_header", jpeg_header, METH_VARARGS, NULL},
    {"jpeg_crop", jpeg_crop_, METH_VARARGS, NULL},
    {"jpeg_sizes", jpeg_sizes, METH_VARARGS, NULL},
    {"jpeg_rows", jpeg_rows, METH_VARARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", "Kernels of dsets in C.", -1, methods, NULL, NULL, NULL, NULL,
};

/* Counts up whenever a function here changes its name or arguments: dsets/extension.py. */
enum { INTERFACE = 4 };

PyMODINIT_FUNC PyInit__native(void) {
    checksum_prepare();
    PyObject *made = PyModule_Create(&module);
    if (made && (PyModule_AddIntConstant(made, "interface", INTERFACE) < 0 ||
                 PyModule_AddIntConstant(made, "checksum", checksum_possible()) < 0)) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
