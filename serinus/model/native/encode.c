/* The checks of serinus/model/vector.py for the case that all is well: it only ever says which value is not. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>

#include "module.h"

enum { REQUIRED = 1, LEVELS = 2, BOOLEAN = 4, WHOLE = 8 };

typedef struct {
    PyObject_HEAD
    Py_ssize_t features;
    double *low, *high;
    unsigned char *flags;
    PyObject *codes; /* a tuple: for each feature its level codes, or None */
} Encoder;

/* 0, or -1 if Python must look at the value (no exception is set). */
static int encode_value(const Encoder *e, Py_ssize_t i, PyObject *value, double *out)
{
    double x;
    if (e->flags[i] & LEVELS) {
        if (PyUnicode_CheckExact(value)) {
            PyObject *code = PyDict_GetItemWithError(PyTuple_GET_ITEM(e->codes, i), value);
            if (!code) {
                PyErr_Clear();
                return -1;
            }
            *out = PyFloat_AS_DOUBLE(code);
            return 0;
        }
        if (value != Py_None || e->flags[i] & REQUIRED)
            return -1;
        *out = Py_NAN;
        return 0;
    }
    if (PyFloat_CheckExact(value))
        x = PyFloat_AS_DOUBLE(value);
    else if (PyLong_CheckExact(value) || (e->flags[i] & BOOLEAN && PyBool_Check(value))) {
        x = PyLong_AsDouble(value);
        if (x == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            return -1;
        }
    } else if (value == Py_None)
        x = Py_NAN;
    else
        return -1;
    if (x != x) {
        if (e->flags[i] & REQUIRED)
            return -1;
    } else if (!isfinite(x) || x < e->low[i] || x > e->high[i] || (e->flags[i] & WHOLE && x != floor(x)))
        return -1;
    *out = x;
    return 0;
}

/* Position of the first value that Python must look at, -1 if there is none, -2 with an exception. */
static Py_ssize_t encode_row(const Encoder *e, PyObject *row, double *out)
{
    PyObject *values = PySequence_Fast(row, "values must be a sequence");
    if (!values)
        return -2;
    Py_ssize_t bad = -1;
    if (PySequence_Fast_GET_SIZE(values) != e->features)
        bad = 0;
    PyObject **items = PySequence_Fast_ITEMS(values);
    for (Py_ssize_t i = 0; bad < 0 && i < e->features; i++)
        if (encode_value(e, i, items[i], out + i))
            bad = i;
    Py_DECREF(values);
    return bad;
}

static PyObject *encoder_row(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    const Encoder *e = (const Encoder *)self;
    Py_buffer out;
    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "row(values, out)");
    if (doubles(args[1], &out, e->features, PyBUF_WRITABLE, "out"))
        return NULL;
    Py_ssize_t bad = encode_row(e, args[0], out.buf);
    PyBuffer_Release(&out);
    return bad == -2 ? NULL : PyLong_FromSsize_t(bad);
}

static PyObject *encoder_rows(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    const Encoder *e = (const Encoder *)self;
    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "rows(rows, out)");
    PyObject *rows = PySequence_Fast(args[0], "rows must be a sequence");
    if (!rows)
        return NULL;
    Py_buffer out;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(rows), bad = -1, i = 0;
    if (doubles(args[1], &out, count * e->features, PyBUF_WRITABLE, "out")) {
        Py_DECREF(rows);
        return NULL;
    }
    for (; bad == -1 && i < count; i++) {
        PyObject *row = PySequence_Fast_GET_ITEM(rows, i);
        bad = PyList_CheckExact(row) || PyTuple_CheckExact(row)
                  ? encode_row(e, row, (double *)out.buf + i * e->features)
                  : 0;
    }
    PyBuffer_Release(&out);
    Py_DECREF(rows);
    return bad == -2 ? NULL : PyLong_FromSsize_t(bad == -1 ? -1 : i - 1);
}

static void encoder_dealloc(PyObject *self)
{
    Encoder *e = (Encoder *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(e->low);
    PyMem_Free(e->high);
    PyMem_Free(e->flags);
    Py_XDECREF(e->codes);
    type->tp_free(self);
    Py_DECREF(type);
}

static int check_codes(PyObject *codes, Py_ssize_t n, const unsigned char *flags)
{
    if (PyTuple_GET_SIZE(codes) != n)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *levels = PyTuple_GET_ITEM(codes, i), *key, *code;
        Py_ssize_t at = 0;
        if (!(flags[i] & LEVELS))
            continue;
        if (!PyDict_CheckExact(levels))
            return -1;
        while (PyDict_Next(levels, &at, &key, &code))
            if (!PyFloat_CheckExact(code))
                return -1;
    }
    return 0;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *arrays[3], *codes;
    Py_buffer low = {0}, high = {0}, flags = {0};
    Encoder *e = NULL;
    if (kwargs && PyDict_GET_SIZE(kwargs))
        return PyErr_Format(PyExc_TypeError, "Encoder takes no keyword arguments");
    if (!PyArg_ParseTuple(args, "OOOO!", arrays, arrays + 1, arrays + 2, &PyTuple_Type, &codes))
        return NULL;
    if (PyObject_GetBuffer(arrays[2], &flags, PyBUF_SIMPLE))
        return NULL;
    Py_ssize_t n = flags.len;
    if (doubles(arrays[0], &low, n, 0, "lows") || doubles(arrays[1], &high, n, 0, "highs"))
        goto done;
    if (!(e = (Encoder *)type->tp_alloc(type, 0)))
        goto done;
    e->features = n;
    e->low = PyMem_Malloc((size_t)(n + 1) * sizeof(double));
    e->high = PyMem_Malloc((size_t)(n + 1) * sizeof(double));
    e->flags = PyMem_Malloc((size_t)n + 1);
    if (!e->low || !e->high || !e->flags) {
        PyErr_NoMemory();
        Py_CLEAR(e);
        goto done;
    }
    memcpy(e->low, low.buf, (size_t)n * sizeof(double));
    memcpy(e->high, high.buf, (size_t)n * sizeof(double));
    memcpy(e->flags, flags.buf, (size_t)n);
    e->codes = Py_NewRef(codes);
    if (check_codes(codes, n, e->flags)) {
        PyErr_SetString(PyExc_TypeError, "codes: a dict of float for each feature with levels");
        Py_CLEAR(e);
    }
done:
    PyBuffer_Release(&flags);
    PyBuffer_Release(&low);
    PyBuffer_Release(&high);
    return (PyObject *)e;
}

static PyMethodDef methods[] = {
    {"row", (PyCFunction)(void (*)(void))encoder_row, METH_FASTCALL,
     "row(values, out): encode one row; position of the first value to look at, -1 if all are well."},
    {"rows", (PyCFunction)(void (*)(void))encoder_rows, METH_FASTCALL,
     "rows(rows, out): encode rows; number of the first row to look at, -1 if all are well."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Encoder(lows, highs, flags, codes): Python values to float64, by the contract's limits."},
    {0, NULL},
};

PyType_Spec encoder_spec = {
    .name = "serinus.model._native.Encoder",
    .basicsize = sizeof(Encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
