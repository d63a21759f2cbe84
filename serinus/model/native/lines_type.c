/* Lines: what the recorder holds of its requests, row by row, to lines.c. */
#include "lines.h"

#include "module.h"
#include "number.h"

enum { FULL = 64 << 10 }; /* bytes at which a block is closed, between requests */

/* One request's decisions as the recorder keeps them: `Taken` in serinus/lines.py. */
typedef struct {
    PyObject *id, *rows, *answers;
    PyObject *keys; /* one a row; NULL seals nothing */
    double at;
    Py_ssize_t start, stop, count;
} Item;

static int read_item(PyObject *const *args, Py_ssize_t n, Item *item)
{
    if (n < 6 || n > 7 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "add(id, time, rows, answers, start, stop[, keys])");
        return -1;
    }
    *item = (Item){.id = args[0], .rows = args[2], .answers = args[3]};
    if (n == 7 && args[6] != Py_None)
        item->keys = args[6];
    item->at = PyFloat_AsDouble(args[1]);
    item->start = PyLong_AsSsize_t(args[4]);
    item->stop = PyLong_AsSsize_t(args[5]);
    if (PyErr_Occurred() || (item->count = PyObject_Size(item->answers)) < 0)
        return -1;
    if (!(0 <= item->start && item->start <= item->stop && item->stop <= item->count)) {
        PyErr_SetString(PyExc_IndexError, "the rows meant are not among the answers");
        return -1;
    }
    if (!item->keys || (PyTuple_Check(item->keys) && PyTuple_GET_SIZE(item->keys) == item->count))
        return 0;
    PyErr_SetString(PyExc_TypeError, "keys must be a tuple with an entry a row");
    return -1;
}

static int attribute_double(PyObject *object, PyObject *name, double *out)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (!value)
        return -1;
    *out = PyFloat_AsDouble(value);
    Py_DECREF(value);
    return *out == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* What the text is made of, for one row: all of it borrowed, or held here. */
typedef struct {
    Decision decision;
    Py_buffer rows, score, probability;
    PyObject *decisions, *reasons; /* lists of a batch, or one answer's */
} Source;

static void release(Source *s)
{
    PyBuffer_Release(&s->rows);
    PyBuffer_Release(&s->score);
    PyBuffer_Release(&s->probability);
    Py_CLEAR(s->decisions);
    Py_CLEAR(s->reasons);
}

static int float64(PyObject *object, Py_buffer *view, int dimensions, Py_ssize_t least, const char *name)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT))
        return -1;
    if (view->format && strcmp(view->format, "d") == 0 && view->ndim == dimensions && view->shape[0] >= least)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be float64 in %d dimension(s), of at least %zd", name, dimensions, least);
    PyBuffer_Release(view);
    return -1;
}

/* The features of one row: of a matrix, whose view is taken once, or of a sequence of vectors. */
static int features(const Item *item, Source *s, Py_ssize_t i)
{
    if (!PyTuple_Check(item->rows) && !PyList_Check(item->rows)) {
        if (!s->rows.obj && float64(item->rows, &s->rows, 2, item->stop, "rows"))
            return -1;
        s->decision.width = s->rows.shape[1];
        s->decision.features = (const double *)s->rows.buf + i * s->decision.width;
        return 0;
    }
    PyBuffer_Release(&s->rows);
    PyObject *vector = PySequence_GetItem(item->rows, i);
    if (!vector)
        return -1;
    int bad = float64(vector, &s->rows, 1, 0, "a row");
    Py_DECREF(vector); /* the view holds it */
    if (bad)
        return -1;
    s->decision.width = s->rows.shape[0];
    s->decision.features = s->rows.buf;
    return 0;
}

static int answer(const Lines *self, Source *s, PyObject *found)
{
    Py_XSETREF(s->decisions, PyObject_GetAttr(found, self->decision));
    Py_XSETREF(s->reasons, PyObject_GetAttr(found, self->reasons));
    s->decision.decision = s->decisions;
    s->decision.reasons = s->reasons;
    return !s->decisions || !s->reasons || attribute_double(found, self->score, &s->decision.score) ||
                   attribute_double(found, self->probability, &s->decision.probability)
               ? -1
               : 0;
}

/* The columns of a batch's answers. */
static int columns(const Lines *self, const Item *item, Source *s)
{
    PyObject *score = PyObject_GetAttr(item->answers, self->score);
    PyObject *probability = PyObject_GetAttr(item->answers, self->probability);
    int bad = !score || !probability || float64(score, &s->score, 1, item->stop, "score") ||
              float64(probability, &s->probability, 1, item->stop, "probability");
    Py_XDECREF(score);
    Py_XDECREF(probability);
    if (bad)
        return -1;
    s->decisions = PyObject_GetAttr(item->answers, self->decision);
    s->reasons = PyObject_GetAttr(item->answers, self->reasons);
    if (!s->decisions || !s->reasons)
        return -1;
    if (PyList_Check(s->decisions) && PyList_Check(s->reasons) && PyList_GET_SIZE(s->decisions) >= item->stop &&
        PyList_GET_SIZE(s->reasons) >= item->stop)
        return 0;
    PyErr_SetString(PyExc_TypeError, "decision and reasons must be lists with an entry a row");
    return -1;
}

static int add_rows(Lines *self, const Item *item)
{
    Source s = {.decision = {.id = item->id, .at = item->at}};
    int each = PyTuple_Check(item->answers) || PyList_Check(item->answers), bad = 0;
    if (!each)
        bad = columns(self, item, &s);
    for (Py_ssize_t i = item->start; !bad && i < item->stop; i++) {
        Decision *d = &s.decision;
        d->row = item->count == 1 ? -1 : i;
        d->key = item->keys ? PyTuple_GET_ITEM(item->keys, i) : NULL;
        if (each) {
            PyObject *found = PySequence_GetItem(item->answers, i);
            bad = !found || answer(self, &s, found);
            Py_XDECREF(found);
        } else {
            d->score = ((const double *)s.score.buf)[i];
            d->probability = ((const double *)s.probability.buf)[i];
            d->decision = PyList_GET_ITEM(s.decisions, i);
            d->reasons = PyList_GET_ITEM(s.reasons, i);
        }
        bad = bad || features(item, &s, i) || add_line(self, d);
    }
    release(&s);
    return bad ? -1 : 0;
}

/* The lines in the block become bytes of their own; its memory, which is warm, is used again. */
static int close_block(Lines *self)
{
    if (!self->used)
        return 0;
    PyObject *closed = PyBytes_FromStringAndSize(self->block, self->used);
    int bad = !closed || PyList_Append(self->blocks, closed);
    Py_XDECREF(closed);
    if (bad)
        return -1;
    self->used = 0;
    return 0;
}

/* Only one call at a time: hashing lets other threads run. */
static int enter(Lines *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is adding lines");
        return -1;
    }
    return 0;
}

static PyObject *lines_add(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    Lines *self = (Lines *)object;
    Item item;
    if (enter(self) || read_item(args, n, &item) || (self->used >= FULL && close_block(self)))
        return NULL;
    long long seq = self->seq;
    Py_ssize_t used = self->used;
    char head[HASH];
    memcpy(head, self->head, HASH);
    self->busy = 1;
    int bad = add_rows(self, &item);
    self->busy = 0;
    if (!bad)
        Py_RETURN_NONE;
    memcpy(self->head, head, HASH);
    self->seq = seq;
    self->used = used;
    return NULL;
}

static PyObject *lines_begin(PyObject *object, PyObject *args)
{
    Lines *self = (Lines *)object;
    long long seq;
    const char *head;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Ls#", &seq, &head, &size) || enter(self))
        return NULL;
    if (size != HASH || seq < 0)
        return PyErr_Format(PyExc_ValueError, "head must have %d characters, not %zd; seq is %lld", HASH, size, seq);
    if (PyList_SetSlice(self->blocks, 0, PyList_GET_SIZE(self->blocks), NULL))
        return NULL;
    self->used = 0;
    self->first = self->seq = seq;
    memcpy(self->head, head, HASH);
    Py_RETURN_NONE;
}

static PyObject *lines_take(PyObject *object, PyObject *Py_UNUSED(none))
{
    Lines *self = (Lines *)object;
    PyObject *fresh = NULL, *taken = NULL;
    if (!enter(self) && !close_block(self) && (fresh = PyList_New(0)) &&
        (taken = Py_BuildValue("(OLLs#)", self->blocks, self->first, self->seq, self->head, (Py_ssize_t)HASH))) {
        Py_SETREF(self->blocks, fresh);
        self->first = self->seq;
        return taken;
    }
    Py_XDECREF(fresh);
    return NULL;
}

static void lines_dealloc(PyObject *object)
{
    Lines *self = (Lines *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject **held[] = {&self->before_time, &self->after_time, &self->end,     &self->json,    &self->sha256,
                         &self->score,       &self->probability, &self->decision, &self->reasons, &self->hexdigest,
                         &self->blocks};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_CLEAR(*held[i]);
    PyMem_Free(self->text.start);
    PyMem_Free(self->block);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *lines_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *before_time, *after_time, *end, *json, *sha256;
    if (kwargs && PyDict_GET_SIZE(kwargs))
        return PyErr_Format(PyExc_TypeError, "Lines takes no keyword arguments");
    if (!PyArg_ParseTuple(args, "SSSOO", &before_time, &after_time, &end, &json, &sha256))
        return NULL;
    Lines *self = (Lines *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->before_time = Py_NewRef(before_time);
    self->after_time = Py_NewRef(after_time);
    self->end = Py_NewRef(end);
    self->json = Py_NewRef(json);
    self->sha256 = Py_NewRef(sha256);
    struct {
        PyObject **name;
        const char *text;
    } names[] = {{&self->score, "score"},
                 {&self->probability, "probability"},
                 {&self->decision, "decision"},
                 {&self->reasons, "reasons"},
                 {&self->hexdigest, "hexdigest"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].name = PyUnicode_InternFromString(names[i].text))) {
            Py_DECREF(self);
            return NULL;
        }
    self->text.second = -1;
    memset(self->head, '0', HASH);
    if (!(self->blocks = PyList_New(0))) {
        Py_DECREF(self);
        return NULL;
    }
    prepare_numbers();
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"begin", lines_begin, METH_VARARGS, "begin(seq, head): go on after that entry; lines not taken are dropped."},
    {"add", (PyCFunction)(void (*)(void))lines_add, METH_FASTCALL,
     "add(id, time, rows, answers, start, stop[, keys]): write these decisions, all or none."},
    {"take", lines_take, METH_NOARGS,
     "take(): what was added since the last: blocks of whole lines, the entry before them, the last and its hash."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, lines_new},
    {Py_tp_dealloc, lines_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Lines(before_time, after_time, end, json, sha256): decisions to lines of the decision log."},
    {0, NULL},
};

PyType_Spec lines_spec = {
    .name = "serinus.model._native.Lines",
    .basicsize = sizeof(Lines),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
