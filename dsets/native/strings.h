/* Rows of bytes of different lengths, in the buffers of Python objects. */

#ifndef DSETS_STRINGS_H
#define DSETS_STRINGS_H

/* A flat buffer a shard, and its rows' bounds. */
struct strings {
    Py_ssize_t shards;
    int64_t *starts; /* (shards + 1,): the number of each shard's first row, and of rows */
    Py_buffer *bytes, *bounds;
};

/* What a capsule made by strings() holds; NULL of any other object. */
const struct strings *strings_of(PyObject *capsule);

/* The bytes of a row, or NULL when there is no such row or its bounds lead outside. */
const uint8_t *string_of(const struct strings *strings, int64_t number, size_t *length);

static inline int is_array(const Py_buffer *array, int64_t count, size_t item) {
    return (uintptr_t)array->buf % item == 0 && array->len == count * (Py_ssize_t)item;
}

#endif
