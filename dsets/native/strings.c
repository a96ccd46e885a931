/* dsets._native, strings and what reads them: every argument is checked before a pointer is used, and
   every row's bounds when they are, since a mapped file may change. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "native.h"
#include "strings.h"

#include <stdlib.h>

PyObject *strings_make(PyObject *self, PyObject *args);
PyObject *string_values(PyObject *self, PyObject *args);
PyObject *string_checksums(PyObject *self, PyObject *args);

static const char STRINGS[] = "dsets._native.strings";

static void strings_free(struct strings *strings) {
    for (Py_ssize_t i = 0; strings->bytes && strings->bounds && i < strings->shards; i++) {
        PyBuffer_Release(&strings->bytes[i]);
        PyBuffer_Release(&strings->bounds[i]);
    }
    free(strings->starts);
    free(strings->bytes);
    free(strings->bounds);
    free(strings);
}

static void strings_end(PyObject *capsule) { strings_free(PyCapsule_GetPointer(capsule, STRINGS)); }

static int export(PyObject *sequence, Py_ssize_t i, Py_buffer *buffer) {
    PyObject *item = PySequence_GetItem(sequence, i);
    int made = item && PyObject_GetBuffer(item, buffer, PyBUF_SIMPLE) == 0;
    Py_XDECREF(item);
    return made;
}

/* strings(shards, bounds) -> capsule: flat buffers of bytes, and as many of uint64 (rows + 1,). */
PyObject *strings_make(PyObject *self, PyObject *args) {
    PyObject *shards, *bounds;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &shards, &bounds)) return NULL;
    Py_ssize_t count = PySequence_Size(shards), others = PySequence_Size(bounds);
    if (count < 0 || others < 0) return NULL;
    struct strings *strings = calloc(1, sizeof *strings);
    if (!strings) return PyErr_NoMemory();
    strings->starts = calloc((size_t)count + 1, sizeof *strings->starts);
    strings->bytes = calloc((size_t)count + 1, sizeof *strings->bytes);
    strings->bounds = calloc((size_t)count + 1, sizeof *strings->bounds);
    if (!strings->starts || !strings->bytes || !strings->bounds) {
        strings_free(strings);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < count && count == others; i++) {
        strings->shards++; /* an empty buffer may be released */
        if (!export(shards, i, &strings->bytes[i]) || !export(bounds, i, &strings->bounds[i])) {
            strings_free(strings);
            return NULL;
        }
        const Py_buffer *ends = &strings->bounds[i];
        Py_ssize_t rows = ends->len / (Py_ssize_t)sizeof(uint64_t) - 1;
        if (rows < 0 || ends->len % (Py_ssize_t)sizeof(uint64_t) ||
            (uintptr_t)ends->buf % sizeof(uint64_t)) {
            others = -1;
            break;
        }
        strings->starts[i + 1] = strings->starts[i] + rows;
    }
    PyObject *capsule = NULL;
    if (count == others)
        capsule = PyCapsule_New(strings, STRINGS, strings_end);
    else
        PyErr_SetString(PyExc_ValueError, "strings: the bounds do not fit the shards");
    if (!capsule) strings_free(strings);
    return capsule;
}

const uint8_t *string_of(const struct strings *strings, int64_t number, size_t *length) {
    if (number < 0 || number >= strings->starts[strings->shards]) return NULL;
    Py_ssize_t low = 0, high = strings->shards; /* starts[low] <= number < starts[high] */
    while (high - low > 1) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (strings->starts[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    const uint64_t *bounds = strings->bounds[low].buf;
    uint64_t begin = bounds[number - strings->starts[low]];
    uint64_t end = bounds[number - strings->starts[low] + 1];
    if (begin > end || end > (uint64_t)strings->bytes[low].len) return NULL;
    *length = (size_t)(end - begin);
    return (const uint8_t *)strings->bytes[low].buf + begin;
}

const struct strings *strings_of(PyObject *capsule) {
    return PyCapsule_IsValid(capsule, STRINGS) ? PyCapsule_GetPointer(capsule, STRINGS) : NULL;
}

/* string_values(strings, index) -> a list of the bytes of rows index, int64 (n,); None where bounds
   lead outside. */
PyObject *string_values(PyObject *self, PyObject *args) {
    PyObject *capsule, *list = NULL;
    Py_buffer index;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*", &capsule, &index)) return NULL;
    const struct strings *strings = strings_of(capsule);
    Py_ssize_t count = index.len / (Py_ssize_t)sizeof(int64_t);
    if (strings && is_array(&index, count, sizeof(int64_t)))
        list = PyList_New(count);
    else
        PyErr_SetString(PyExc_ValueError, "string_values: no such rows");
    for (Py_ssize_t i = 0; list && i < count; i++) {
        size_t length = 0;
        const uint8_t *data = string_of(strings, ((const int64_t *)index.buf)[i], &length);
        PyObject *value = data ? PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)length)
                               : Py_NewRef(Py_None);
        if (value)
            PyList_SetItem(list, i, value);
        else
            Py_CLEAR(list);
    }
    PyBuffer_Release(&index);
    return list;
}

/* string_checksums(strings, index, sums) -> how many rows' bounds lead outside: the CRC-32C of rows
   index, int64 (n,), to sums, uint32 (n,). Only where the processor has the instruction. */
PyObject *string_checksums(PyObject *self, PyObject *args) {
    PyObject *capsule;
    Py_buffer index, sums;
    Py_ssize_t outside = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &capsule, &index, &sums)) return NULL;
    const struct strings *strings = strings_of(capsule);
    int64_t count = index.len / (Py_ssize_t)sizeof(int64_t);
    int fits = strings && is_array(&index, count, sizeof(int64_t)) &&
               is_array(&sums, count, sizeof(uint32_t));
    if (fits) {
        const int64_t *number = index.buf;
        uint32_t *sum = sums.buf;
        Py_INCREF(capsule);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < count; i++) {
            size_t length = 0;
            const uint8_t *data = string_of(strings, number[i], &length);
            if (data)
                sum[i] = checksum(data, length);
            else
                outside++;
        }
        Py_END_ALLOW_THREADS
        Py_DECREF(capsule);
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&sums);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "string_checksums: the sizes do not fit together");
        return NULL;
    }
    return PyLong_FromSsize_t(outside);
}
