#ifndef SERINUS_LINES_H
#define SERINUS_LINES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <time.h>

enum { HASH = 64 };

/* The growing text of one entry: the hash before it, its number, its body. */
typedef struct {
    char *start, *at, *end;
    time_t second; /* of `stamp`; -1 before the first */
    char stamp[24];
} Text;

typedef struct {
    PyObject_HEAD
    PyObject *before_time, *after_time, *end; /* bytes that all decisions share */
    PyObject *json, *sha256;
    PyObject *score, *probability, *decision, *reasons, *hexdigest; /* names of attributes */
    Text text;
    PyObject *blocks; /* of lines that are not taken yet */
    char *block;      /* and behind them, of `size` bytes, `used` of which are lines */
    Py_ssize_t size, used;
    long long first, seq; /* entries before those held, and with them */
    char head[HASH];      /* the last one's hash */
    int busy;
} Lines;

typedef struct {
    PyObject *id;   /* the request's */
    Py_ssize_t row; /* -1: its only one */
    double at, score, probability;
    PyObject *decision, *reasons;
    const double *features;
    Py_ssize_t width;
    PyObject *key; /* seals what was scored; NULL leaves it in clear */
} Decision;

/* Add the line of the entry after the last. -1 with an exception, and then nothing is changed. */
int add_line(Lines *self, const Decision *decision);

#endif
