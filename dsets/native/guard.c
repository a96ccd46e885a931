/* dsets._native, guard: files mapped in memory that shrink, or whose storage fails, under a reader.

   The system answers such a read with SIGBUS, which ends the process. The handler here first counts
   the fault and then puts a page of zeros in its place, so the read goes on; whoever has read looks
   at the count before using what was read. Faults elsewhere go to the handler that was there. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

PyObject *guard_add(PyObject *self, PyObject *args);
PyObject *guard_end(PyObject *self, PyObject *args);
PyObject *guard_faults(PyObject *self, PyObject *args);

/* Chunks are never freed, so the handler may walk them at any moment. */
struct range {
    atomic_uintptr_t start; /* 0: free */
    atomic_size_t size;
    atomic_llong faults;
};
enum { RANGES = 512, CHUNKS = 4096 };
static struct range *_Atomic chunks[CHUNKS];
static atomic_llong all_faults;
static uintptr_t page;
static struct sigaction previous;

static void handle(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;
    for (int c = 0; info->si_code > 0 && c < CHUNKS; c++) {
        struct range *chunk = atomic_load(&chunks[c]);
        if (!chunk) break;
        for (int i = 0; i < RANGES; i++) {
            uintptr_t start = atomic_load(&chunk[i].start);
            if (!start || at < start || at - start >= atomic_load(&chunk[i].size)) continue;
            atomic_fetch_add(&chunk[i].faults, 1);
            atomic_fetch_add(&all_faults, 1);
            if (mmap((void *)(at & ~(page - 1)), page, PROT_READ,
                     MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
                return;
        }
    }
    sigaction(number, &previous, NULL); /* the read is tried again, and meets that handler */
    if (info->si_code <= 0) raise(number);
}

/* Others install handlers too, some of them late: faulthandler, torch's worker processes. */
static int install(void) {
    struct sigaction ours = {0}, found;
    if (sigaction(SIGBUS, NULL, &found) == 0 && (found.sa_flags & SA_SIGINFO) &&
        found.sa_sigaction == handle)
        return 0;
    ours.sa_sigaction = handle;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    previous = found;
    return sigaction(SIGBUS, &ours, NULL);
}

static struct range *range_of(long long number) {
    if (number < 0 || number >= (long long)RANGES * CHUNKS) return NULL;
    struct range *chunk = atomic_load(&chunks[number / RANGES]);
    return chunk ? &chunk[number % RANGES] : NULL;
}

/* guard_add(address, size) -> number of the range, for the others. The interpreter's lock is held. */
PyObject *guard_add(PyObject *self, PyObject *args) {
    unsigned long long address, size;
    (void)self;
    if (!PyArg_ParseTuple(args, "KK", &address, &size)) return NULL;
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (install()) return PyErr_SetFromErrno(PyExc_OSError);
    for (long long number = 0; number < (long long)RANGES * CHUNKS; number++) {
        struct range *range = range_of(number);
        if (!range) {
            struct range *chunk = calloc(RANGES, sizeof *chunk);
            if (!chunk) return PyErr_NoMemory();
            atomic_store(&chunks[number / RANGES], chunk);
            range = chunk;
        }
        if (atomic_load(&range->start)) continue;
        atomic_store(&range->faults, 0);
        atomic_store(&range->size, (size_t)((size + page - 1) & ~(unsigned long long)(page - 1)));
        atomic_store(&range->start, (uintptr_t)address);
        return PyLong_FromLongLong(number);
    }
    PyErr_SetString(PyExc_OSError, "guard_add: too many mapped files");
    return NULL;
}

/* guard_end(number): the memory is about to be unmapped. */
PyObject *guard_end(PyObject *self, PyObject *args) {
    long long number;
    (void)self;
    if (!PyArg_ParseTuple(args, "L", &number)) return NULL;
    struct range *range = range_of(number);
    if (range) atomic_store(&range->start, 0);
    Py_RETURN_NONE;
}

/* guard_faults(number) -> faults in this range so far; in all ranges for -1. */
PyObject *guard_faults(PyObject *self, PyObject *args) {
    long long number;
    (void)self;
    if (!PyArg_ParseTuple(args, "L", &number)) return NULL;
    if (install()) return PyErr_SetFromErrno(PyExc_OSError);
    struct range *range = range_of(number);
    return PyLong_FromLongLong(range ? atomic_load(&range->faults) : atomic_load(&all_faults));
}
