/* Decisions to lines of the decision log: what serinus/events.py and serinus/chain/link.py do, byte for byte.

   Numbers and text are written here; the hash is hashlib's, and texts that need escapes are the JSON
   encoder's. All of a call's memory is its own, since hashing long texts lets other threads run. */
#include "lines.h"

#include "number.h"

enum { BLOCK = 80 << 10 };

/* Room for so many more bytes; -1 with an exception. */
static int room(Text *t, Py_ssize_t more)
{
    if (t->end - t->at >= more)
        return 0;
    Py_ssize_t used = t->at - t->start, size = 2 * (used + more) + 1024;
    char *grown = PyMem_Realloc(t->start, (size_t)size);
    if (!grown) {
        PyErr_NoMemory();
        return -1;
    }
    t->start = grown;
    t->at = grown + used;
    t->end = grown + size;
    return 0;
}

static int put(Text *t, const char *bytes, Py_ssize_t size)
{
    if (room(t, size))
        return -1;
    memcpy(t->at, bytes, (size_t)size);
    t->at += size;
    return 0;
}

static int put_bytes(Text *t, PyObject *bytes) { return put(t, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)); }

static int put_number(Text *t, double x)
{
    if (room(t, NUMBER_ROOM))
        return -1;
    t->at = write_number(t->at, x);
    return 0;
}

/* Whatever the encoder makes of it; without its last bytes, on which a text can go on. */
static int put_encoded(const Lines *self, Text *t, PyObject *object, Py_ssize_t without)
{
    PyObject *encoded = PyObject_CallOneArg(self->json, object);
    if (!encoded)
        return -1;
    int bad = PyBytes_Check(encoded) ? put(t, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded) - without) : -1;
    if (bad && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "json must give bytes");
    Py_DECREF(encoded);
    return bad;
}

/* A JSON string without its closing quote. */
static int put_text(const Lines *self, Text *t, PyObject *text)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
        return put_encoded(self, t, text, 1);
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    const char *from = (const char *)PyUnicode_1BYTE_DATA(text);
    if (room(t, size + 1))
        return -1;
    char *at = t->at;
    *at++ = '"';
    for (Py_ssize_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)from[i];
        if (c < 0x20 || c == '"' || c == '\\')
            return put_encoded(self, t, text, 1);
        *at++ = (char)c;
    }
    t->at = at;
    return 0;
}

static int put_time(Text *t, double at)
{
    if (!(at >= 0.0 && at < 253402300800.0)) { /* the year 10000 */
        PyErr_SetString(PyExc_ValueError, "a time outside the years 1970 to 9999");
        return -1;
    }
    time_t second = (time_t)at;
    char micros[8];
    if (second != t->second) {
        struct tm parts;
        strftime(t->stamp, sizeof t->stamp, "%Y-%m-%dT%H:%M:%S", gmtime_r(&second, &parts));
        t->second = second;
    }
    /* Seven digits of which the first gives way to the point. */
    write_digits(micros + 7, 1000000 + (uint64_t)((at - (double)second) * 1e6));
    micros[0] = '.';
    return put(t, t->stamp, (Py_ssize_t)strlen(t->stamp)) || put(t, micros, 7);
}

/* What was scored and what came of it, from `"score"` to the end of the features. */
static int put_scored(const Lines *self, Text *t, const Decision *d)
{
    if (put(t, "\"score\":", 8) || put_number(t, d->score) || put(t, ",\"probability\":", 15) ||
        put_number(t, d->probability) || put(t, ",\"decision\":", 12) || put_text(self, t, d->decision) ||
        put(t, "\",\"reasons\":", 12))
        return -1;
    if (PyTuple_CheckExact(d->reasons) && PyTuple_GET_SIZE(d->reasons) == 0) {
        if (put(t, "[]", 2))
            return -1;
    } else if (put_encoded(self, t, d->reasons, 0))
        return -1;
    if (put(t, ",\"features\":[", 13) || room(t, d->width * (NUMBER_ROOM + 1)))
        return -1;
    char *at = t->at;
    for (Py_ssize_t i = 0; i < d->width; i++) {
        if (i)
            *at++ = ',';
        at = write_number(at, d->features[i]);
    }
    t->at = at;
    return put(t, "]", 1);
}

/* In place of the text from `scored` on, what the key makes of it; the body before it is bound to it. */
static int seal(Text *t, Py_ssize_t body, Py_ssize_t scored, PyObject *key)
{
    PyObject *clear = PyBytes_FromStringAndSize(t->start + body, scored - body), *plain = NULL, *sealed = NULL;
    if (clear && (plain = PyBytes_FromStringAndSize(t->start + scored, t->at - t->start - scored)))
        sealed = PyObject_CallFunctionObjArgs(key, clear, plain, NULL);
    Py_XDECREF(plain);
    Py_XDECREF(clear);
    if (!sealed)
        return -1;
    t->at = t->start + scored;
    int bad = PyBytes_Check(sealed) ? put_bytes(t, sealed) : -1;
    if (bad && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a key must give bytes");
    Py_DECREF(sealed);
    return bad;
}

static int put_body(const Lines *self, Text *t, const Decision *d)
{
    char row[24], *end = row + sizeof row;
    Py_ssize_t body = t->at - t->start;
    if (put(t, "{\"id\":", 6) || put_text(self, t, d->id))
        return -1;
    if (d->row >= 0) {
        char *begin = write_digits(end, (uint64_t)d->row);
        *--begin = '.';
        if (put(t, begin, end - begin))
            return -1;
    }
    if (put(t, "\"", 1) || put_bytes(t, self->before_time) || put_time(t, d->at) || put_bytes(t, self->after_time))
        return -1;
    Py_ssize_t scored = t->at - t->start;
    if (put_scored(self, t, d) || (d->key && seal(t, body, scored, d->key)))
        return -1;
    return put(t, "}", 1) || put_bytes(t, self->end);
}

/* Into `digest`, the hash of a text. */
static int hash(const Lines *self, const Text *t, char *digest)
{
    int bad = -1;
    PyObject *view = PyMemoryView_FromMemory(t->start, t->at - t->start, PyBUF_READ), *made = NULL, *text = NULL;
    if (view && (made = PyObject_CallOneArg(self->sha256, view)) &&
        (text = PyObject_CallMethodNoArgs(made, self->hexdigest))) {
        Py_ssize_t size;
        const char *digits = PyUnicode_AsUTF8AndSize(text, &size);
        if (digits && size == HASH) {
            memcpy(digest, digits, HASH);
            bad = 0;
        } else if (digits)
            PyErr_SetString(PyExc_ValueError, "a hash of another length");
    }
    Py_XDECREF(text);
    Py_XDECREF(made);
    Py_XDECREF(view);
    return bad;
}

/* Room for so many more bytes of lines. */
static char *block_room(Lines *self, Py_ssize_t more)
{
    if (self->size - self->used < more) {
        Py_ssize_t size = 2 * (self->used + more) + BLOCK;
        char *grown = PyMem_Realloc(self->block, (size_t)size);
        if (!grown) {
            PyErr_NoMemory();
            return NULL;
        }
        self->block = grown;
        self->size = size;
    }
    return self->block + self->used;
}

int add_line(Lines *self, const Decision *d)
{
    Text *t = &self->text;
    char room_for_it[24], digest[HASH];
    char *number = write_digits(room_for_it + sizeof room_for_it, (uint64_t)self->seq + 1);
    Py_ssize_t digits = room_for_it + sizeof room_for_it - number;
    t->at = t->start;
    if (put(t, self->head, HASH) || put(t, "\n", 1) || put(t, number, digits) || put(t, "\n", 1))
        return -1;
    Py_ssize_t before = t->at - t->start;
    if (put_body(self, t, d) || hash(self, t, digest))
        return -1;
    Py_ssize_t body = t->at - t->start - before, size = body + digits + 2 * HASH + 37;
    char *at = block_room(self, size);
    if (!at)
        return -1;
#define ADD(from, size) (memcpy(at, from, (size_t)(size)), at += (size))
    ADD("{\"seq\":", 7);
    ADD(number, digits);
    ADD(",\"prev\":\"", 9);
    ADD(self->head, HASH);
    ADD("\",\"hash\":\"", 10);
    ADD(digest, HASH);
    ADD("\",\"body\":", 9);
    ADD(t->start + before, body);
    ADD("}\n", 2);
#undef ADD
    memcpy(self->head, digest, HASH);
    self->used += size;
    self->seq++;
    return 0;
}
