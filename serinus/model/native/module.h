#ifndef SERINUS_MODULE_H
#define SERINUS_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec encoder_spec, forest_spec, lines_spec;

/* A C-contiguous buffer of exactly `count` doubles; -1 with an exception if it is not one. */
int doubles(PyObject *object, Py_buffer *view, Py_ssize_t count, int flags, const char *name);

#endif
