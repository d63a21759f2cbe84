/* serinus.model._native: forests and encoders. Pure computation; no global state. */
#include "module.h"

int doubles(PyObject *object, Py_buffer *view, Py_ssize_t count, int flags, const char *name)
{
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT))
        return -1;
    if (!view->format || strcmp(view->format, "d") != 0)
        PyErr_Format(PyExc_TypeError, "%s must be float64", name);
    else if (view->len != count * (Py_ssize_t)sizeof(double))
        PyErr_Format(PyExc_ValueError, "%s must hold %zd values, not %zd", name, count,
                     view->len / (Py_ssize_t)sizeof(double));
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

static int execute(PyObject *module)
{
    PyType_Spec *specs[] = {&encoder_spec, &forest_spec, &lines_spec};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (!type)
            return -1;
        int bad = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (bad)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "serinus.model._native",
    .m_doc = "The compiled kernel: see docs/scorer.md. serinus.model.ensemble and .vector use it where it is.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
