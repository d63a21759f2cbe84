/* Forest as a Python type: buffers in, buffers out. */
#include <math.h>

#include "module.h"

#include "forest.h"

enum { UNLOCK_ABOVE = 4 }; /* rows; fewer cost less than handing the interpreter over */

typedef struct {
    PyObject_HEAD
    Forest forest;
    Scratch scratch; /* of calls that hold the interpreter */
    double sigmoid;
} Object;

/* A C-contiguous buffer of items of that format and size. */
static int items(PyObject *source, const char *key, Py_buffer *view, const char *formats, Py_ssize_t size)
{
    PyObject *object = PyDict_GetItemString(source, key);
    if (!object) {
        PyErr_Format(PyExc_TypeError, "arrays must hold %s", key);
        return -1;
    }
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT))
        return -1;
    if (view->format && strlen(view->format) == 1 && strchr(formats, view->format[0]) && view->itemsize == size)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s has items of format %s", key, view->format ? view->format : "?");
    PyBuffer_Release(view);
    view->obj = NULL;
    return -1;
}

enum { START, FEATURE, THRESHOLD, FLAGS, LEFT, RIGHT, VALUE, COVER, SET_START, SET_WORDS, PARTS };

static const struct {
    const char *key, *formats;
    Py_ssize_t size;
} PART[PARTS] = {
    {"start", "lq", 8}, {"feature", "il", 4}, {"threshold", "d", 8}, {"flags", "B", 1},
    {"left", "il", 4}, {"right", "il", 4}, {"value", "d", 8}, {"cover", "d", 8},
    {"set_start", "lq", 8}, {"set_words", "IL", 4},
};

static int build(Object *self, uint32_t features, const Py_buffer *v, size_t budget)
{
    Py_ssize_t length[PARTS];
    char why[200] = "";
    for (int i = 0; i < PARTS; i++)
        length[i] = v[i].len / PART[i].size;
    for (int i = FEATURE; i <= COVER; i++)
        if (length[i] != length[FEATURE]) {
            PyErr_Format(PyExc_ValueError, "%s has %zd items, feature %zd", PART[i].key, length[i], length[FEATURE]);
            return -1;
        }
    if (length[START] < 1 || length[SET_START] < 1) {
        PyErr_SetString(PyExc_ValueError, "start and set_start must begin with 0");
        return -1;
    }
    Arrays arrays = {
        .trees = (size_t)length[START] - 1, .nodes = (size_t)length[FEATURE],
        .sets = (size_t)length[SET_START] - 1, .words = (size_t)length[SET_WORDS],
        .features = features,
        .start = v[START].buf, .feature = v[FEATURE].buf, .left = v[LEFT].buf, .right = v[RIGHT].buf,
        .threshold = v[THRESHOLD].buf, .flags = v[FLAGS].buf, .value = v[VALUE].buf, .cover = v[COVER].buf,
        .set_start = v[SET_START].buf, .set_words = v[SET_WORDS].buf,
    };
    int bad = forest_build(&self->forest, &arrays, budget, why, sizeof why);
    if (!bad && scratch_make(&self->scratch, &self->forest))
        bad = -3;
    if (bad == -3)
        PyErr_NoMemory();
    else if (bad)
        PyErr_SetString(bad == -2 ? PyExc_OverflowError : PyExc_ValueError,
                        why[0] ? why : "it needs more memory than is allowed");
    return bad;
}

static PyObject *forest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"features", "arrays", "sigmoid", "budget", NULL};
    unsigned int features;
    Py_ssize_t budget = (Py_ssize_t)64 << 20;
    double sigmoid = 1.0;
    PyObject *arrays;
    Py_buffer views[PARTS] = {{0}};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IO!|dn", names, &features, &PyDict_Type, &arrays,
                                     &sigmoid, &budget))
        return NULL;
    if (!(sigmoid > 0 && sigmoid < INFINITY))
        return PyErr_Format(PyExc_ValueError, "sigmoid must be positive");
    Object *self = (Object *)type->tp_alloc(type, 0);
    int bad = self ? 0 : -1;
    if (self)
        self->sigmoid = sigmoid;
    for (int i = 0; !bad && i < PARTS; i++)
        bad = items(arrays, PART[i].key, views + i, PART[i].formats, PART[i].size);
    if (!bad)
        bad = build(self, features, views, budget < 0 ? 0 : (size_t)budget);
    for (int i = 0; i < PARTS; i++)
        PyBuffer_Release(views + i);
    if (bad)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void forest_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    forest_free(&((Object *)self)->forest);
    scratch_free(&((Object *)self)->scratch);
    type->tp_free(self);
    Py_DECREF(type);
}

static double logistic(const Object *self, double margin) { return 1.0 / (1.0 + exp(-self->sigmoid * margin)); }

static PyObject *probability(PyObject *object, PyObject *row)
{
    Object *self = (Object *)object;
    Py_buffer view;
    if (doubles(row, &view, self->forest.features, 0, "row"))
        return NULL;
    double value = logistic(self, forest_margin(&self->forest, view.buf, &self->scratch));
    PyBuffer_Release(&view);
    return PyFloat_FromDouble(value);
}

static PyObject *margin(PyObject *object, PyObject *row)
{
    Object *self = (Object *)object;
    Py_buffer view;
    if (doubles(row, &view, self->forest.features, 0, "row"))
        return NULL;
    double value = forest_margin(&self->forest, view.buf, &self->scratch);
    PyBuffer_Release(&view);
    return PyFloat_FromDouble(value);
}

static int explains(const Forest *forest)
{
    if (!forest->explains)
        PyErr_SetString(PyExc_ValueError, "this forest has no covers that add up, or is too deep to explain");
    return forest->explains;
}

static PyObject *contribution(PyObject *object, PyObject *row)
{
    Object *self = (Object *)object;
    uint32_t width = self->forest.features + 1;
    Py_buffer view;
    if (!explains(&self->forest) || doubles(row, &view, width - 1, 0, "row"))
        return NULL;
    double *out = PyMem_Malloc(width * sizeof(double));
    PyObject *list = out ? PyList_New(width) : PyErr_NoMemory();
    if (list) {
        forest_explain(&self->forest, view.buf, out, &self->scratch);
        for (uint32_t i = 0; list && i < width; i++) {
            PyObject *value = PyFloat_FromDouble(out[i]);
            if (!value)
                Py_CLEAR(list);
            else
                PyList_SET_ITEM(list, i, value);
        }
    }
    PyMem_Free(out);
    PyBuffer_Release(&view);
    return list;
}

typedef enum { MARGINS, PROBABILITIES, CONTRIBUTIONS } What;

static void run(const Object *self, What what, const double *rows, size_t n, double *out, Scratch *scratch)
{
    const Forest *forest = &self->forest;
    size_t features = forest->features;
    if (what == CONTRIBUTIONS) {
        for (size_t i = 0; i < n; i++)
            forest_explain(forest, rows + i * features, out + i * (features + 1), scratch);
        return;
    }
    forest_margins(forest, rows, n, out, scratch);
    for (size_t i = 0; what == PROBABILITIES && i < n; i++)
        out[i] = logistic(self, out[i]);
}

/* Rows (n, F) in; n values, or n rows of F + 1 contributions, out. */
static PyObject *batch(Object *self, PyObject *const *args, Py_ssize_t count, What what)
{
    const Forest *forest = &self->forest;
    Py_ssize_t width = what == CONTRIBUTIONS ? (Py_ssize_t)forest->features + 1 : 1;
    Py_buffer rows, out;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "expected rows and out");
    if (PyObject_GetBuffer(args[0], &rows, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT))
        return NULL;
    Py_ssize_t n = rows.ndim > 0 ? rows.shape[0] : 0;
    PyBuffer_Release(&rows);
    if (n > PY_SSIZE_T_MAX / 16 / (forest->features + 1))
        return PyErr_NoMemory();
    if (doubles(args[0], &rows, n * forest->features, 0, "rows"))
        return NULL;
    if (doubles(args[1], &out, n * width, PyBUF_WRITABLE, "out")) {
        PyBuffer_Release(&rows);
        return NULL;
    }
    Scratch own = {0}, *scratch = &self->scratch;
    PyThreadState *state = NULL;
    int bad = 0;
    if (n > UNLOCK_ABOVE) {
        bad = scratch_make(&own, forest);
        scratch = &own;
        state = PyEval_SaveThread();
    }
    if (!bad)
        run(self, what, rows.buf, (size_t)n, out.buf, scratch);
    if (state)
        PyEval_RestoreThread(state);
    scratch_free(&own);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&out);
    if (bad)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *margins(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return batch((Object *)self, args, count, MARGINS);
}

static PyObject *probabilities(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return batch((Object *)self, args, count, PROBABILITIES);
}

static PyObject *contributions(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return explains(&((Object *)self)->forest) ? batch((Object *)self, args, count, CONTRIBUTIONS) : NULL;
}

#define NUMBER(name, make)                                                                               \
    static PyObject *get_##name(PyObject *self, void *unused)                                            \
    {                                                                                                    \
        (void)unused;                                                                                    \
        return make(((Object *)self)->forest.name);                                                      \
    }
NUMBER(features, PyLong_FromUnsignedLong)
NUMBER(trees, PyLong_FromUnsignedLong)
NUMBER(depth, PyLong_FromUnsignedLong)
NUMBER(distinct, PyLong_FromUnsignedLong)
NUMBER(nodes, PyLong_FromSize_t)
NUMBER(bytes, PyLong_FromSize_t)
NUMBER(explains, PyBool_FromLong)
NUMBER(base, PyFloat_FromDouble)

static PyGetSetDef getters[] = {
    {"features", get_features, NULL, "Values in a row.", NULL},
    {"trees", get_trees, NULL, "Number of trees.", NULL},
    {"depth", get_depth, NULL, "Splits on the longest path.", NULL},
    {"distinct", get_distinct, NULL, "Most features on one path.", NULL},
    {"nodes", get_nodes, NULL, "Number of nodes, leaves included.", NULL},
    {"bytes", get_bytes, NULL, "Memory held.", NULL},
    {"explains", get_explains, NULL, "Whether contributions can be asked for.", NULL},
    {"base", get_base, NULL, "The expected margin: what contributions start from.", NULL},
    {0},
};

static PyMethodDef methods[] = {
    {"margin", margin, METH_O, "margin(row): the sum of the leaves that the row, shape (F,), falls in."},
    {"margins", (PyCFunction)(void (*)(void))margins, METH_FASTCALL, "margins(rows, out): of rows (n, F) into (n,)."},
    {"probability", probability, METH_O, "probability(row): 1 / (1 + exp(-sigmoid * margin))."},
    {"probabilities", (PyCFunction)(void (*)(void))probabilities, METH_FASTCALL,
     "probabilities(rows, out): of rows (n, F) into (n,)."},
    {"contribution", contribution, METH_O, "contribution(row): a list of F + 1 numbers, the base last."},
    {"contributions", (PyCFunction)(void (*)(void))contributions, METH_FASTCALL,
     "contributions(rows, out): of rows (n, F) into (n, F + 1)."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, forest_new},
    {Py_tp_dealloc, forest_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_tp_doc, "Forest(features, arrays, sigmoid=1, budget=64 MiB): an ensemble of trees, checked and laid out."},
    {0, NULL},
};

PyType_Spec forest_spec = {
    .name = "serinus.model._native.Forest",
    .basicsize = sizeof(Object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
