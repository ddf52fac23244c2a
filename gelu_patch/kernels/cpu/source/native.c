/* The Python module: which levels this processor has, and running one loop over raw memory, split over the threads of
 * torch's own OpenMP pool. It needs no torch to be built: addresses arrive as integers (library.py). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "kernels.h"

/* Written by setup.py: a digest of these files, by which library.py knows a stale or foreign build. */
#ifndef GELU_PATCH_SOURCES
#define GELU_PATCH_SOURCES "unknown"
#endif

#define PARALLEL_FROM 16384 /* elements; below it, waking threads costs more than they save */
#define CHUNK 64            /* elements; no two threads write to one cache line of 64 bytes */

enum level { LEVEL_PORTABLE, LEVEL_AVX2, LEVEL_AVX512, LEVELS };
static const char *const level_names[LEVELS] = {"portable", "avx2", "avx512"};

static const loop_table *level_loops(long level) {
    if (level == LEVEL_PORTABLE) return &level_portable;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (level == LEVEL_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &level_avx2;
    if (level == LEVEL_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &level_avx512;
#endif
    return NULL;
}

/* The entry points of GNU OpenMP (and of the runtimes that imitate it), found by library.py in the runtime that torch
 * has loaded; so ATen's pool is used, and torch.set_num_threads holds. NULL: one thread. */
static void (*omp_parallel)(void (*)(void *), void *, unsigned, unsigned);
static int (*omp_thread)(void);
static int (*omp_threads)(void);

typedef struct {
    loop run;
    size_t size; /* of an element, in bytes */
    size_t n;
    char *out;
    const char *in, *grad;
} job;

static void part(void *argument) {
    const job *whole = argument;
    size_t threads = (size_t)omp_threads(), thread = (size_t)omp_thread();
    size_t share = (whole->n + threads - 1) / threads;
    share = (share + CHUNK - 1) / CHUNK * CHUNK;
    size_t begin = share * thread, end = begin + share;
    if (end > whole->n) end = whole->n;
    if (begin >= end) return;
    size_t at = begin * whole->size;
    whole->run(whole->out + at, whole->in + at, whole->grad ? whole->grad + at : NULL, end - begin);
}

static void execute(job *whole, unsigned threads) {
    if (threads > 1 && omp_parallel && whole->n >= PARALLEL_FROM)
        omp_parallel(part, whole, threads, 0);
    else
        whole->run(whole->out, whole->in, whole->grad, whole->n);
}

/* run(level, activation, element, direction, out, in, grad, n, threads): the enumerations of kernels.h, addresses. */
static PyObject *native_run(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    unsigned long long a[9];
    static const size_t sizes[ELEMENTS] = {4, 2, 2};
    (void)self;
    if (count != 9) {
        PyErr_SetString(PyExc_TypeError, "run takes 9 integers");
        return NULL;
    }
    for (int i = 0; i < 9; i++) {
        a[i] = PyLong_AsUnsignedLongLong(arguments[i]);
        if (PyErr_Occurred()) return NULL;
    }
    const loop_table *loops = a[0] < LEVELS ? level_loops((long)a[0]) : NULL;
    if (!loops || a[1] >= ACTIVATIONS || a[2] >= ELEMENTS || a[3] >= DIRECTIONS) {
        PyErr_SetString(PyExc_ValueError, "no such level, activation, element type or direction on this processor");
        return NULL;
    }
    job whole = {(*loops)[a[1]][a[2]][a[3]],       sizes[a[2]], (size_t)a[7], (char *)(uintptr_t)a[4],
                 (const char *)(uintptr_t)a[5], (const char *)(uintptr_t)a[6]};
    Py_BEGIN_ALLOW_THREADS
    execute(&whole, (unsigned)a[8]);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *native_levels(PyObject *self, PyObject *ignored) {
    PyObject *found = PyDict_New();
    (void)self;
    (void)ignored;
    for (long level = LEVELS - 1; found && level >= 0; level--) {
        if (!level_loops(level)) continue;
        PyObject *number = PyLong_FromLong(level);
        if (!number || PyDict_SetItemString(found, level_names[level], number) < 0) Py_CLEAR(found);
        Py_XDECREF(number);
    }
    return found;
}

static PyObject *native_use_openmp(PyObject *self, PyObject *arguments) {
    unsigned long long parallel, thread, threads;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "KKK", &parallel, &thread, &threads)) return NULL;
    omp_thread = (int (*)(void))(uintptr_t)thread;
    omp_threads = (int (*)(void))(uintptr_t)threads;
    omp_parallel = (void (*)(void (*)(void *), void *, unsigned, unsigned))(uintptr_t)parallel;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))native_run, METH_FASTCALL, "Run one loop; see the source."},
    {"levels", native_levels, METH_NOARGS, "The levels of this processor: name -> number, fastest first."},
    {"use_openmp", native_use_openmp, METH_VARARGS, "Addresses of GOMP_parallel, omp_get_thread_num, omp_get_num_threads."},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module) { return PyModule_AddStringConstant(module, "SOURCES", GELU_PATCH_SOURCES); }

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
