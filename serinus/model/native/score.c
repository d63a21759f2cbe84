/* Margins: the sum of one leaf per tree, in the order of the trees, so that it is LightGBM's to the bit. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "forest.h"

enum { LANES = 8 }; /* walks in flight together: each step waits for a load */

static const double TINY = (double)1e-35f; /* what LightGBM takes for zero */

static double numeric(double x, uint32_t flags)
{
    int missing = isnan(x);
    if (flags & AS_FLOAT)
        x = (double)(float)x;
    else if (fabs(x) <= TINY)
        x = 0.0;
    if ((flags & MISSING) == MISSING_ZERO)
        missing = missing || x == 0.0;
    else if ((flags & MISSING) != MISSING_NAN) {
        if (missing)
            return 0.0;
    }
    if (missing)
        return flags & DEFAULT_LEFT ? -INFINITY : INFINITY;
    return fmin(x, DBL_MAX);
}

static double category(double x, const Slot *slot)
{
    if (!(x > -1.0 && x < 2147483648.0)) /* NaN too */
        return INFINITY;
    uint32_t code = (uint32_t)x;
    if (code / 32 >= slot->words)
        return INFINITY;
    return slot->bits[code / 32] >> (code % 32) & 1 ? -INFINITY : INFINITY;
}

void read_row(const Forest *forest, const double *row, double *value)
{
    for (uint32_t i = 0; i < forest->slots; i++) {
        const Slot *slot = forest->slot + i;
        double x = row[slot->feature];
        value[i] = slot->flags & CATEGORICAL ? category(x, slot) : numeric(x, slot->flags);
    }
    value[forest->slots] = -INFINITY; /* the leaves' */
}

#define STEP(k, x)                                                                                       \
    do {                                                                                                 \
        const Node *n = node + at##k;                                                                    \
        at##k = n->left + ((x)[n->slot] > n->threshold);                                                 \
    } while (0)

double forest_margin(const Forest *forest, const double *row, Scratch *scratch)
{
    double *x = scratch->value, total = 0.0;
    const Node *node = forest->node;
    uint32_t tree = 0;
    read_row(forest, row, x);
    for (; tree + LANES <= forest->trees; tree += LANES) {
        const uint32_t *root = forest->root + tree, *levels = forest->levels + tree;
        uint32_t at0 = root[0], at1 = root[1], at2 = root[2], at3 = root[3];
        uint32_t at4 = root[4], at5 = root[5], at6 = root[6], at7 = root[7], deepest = 0;
        for (int k = 0; k < LANES; k++)
            deepest = levels[k] > deepest ? levels[k] : deepest;
        for (uint32_t step = 0; step < deepest; step++) {
            STEP(0, x); STEP(1, x); STEP(2, x); STEP(3, x);
            STEP(4, x); STEP(5, x); STEP(6, x); STEP(7, x);
        }
        total += node[at0].threshold; total += node[at1].threshold;
        total += node[at2].threshold; total += node[at3].threshold;
        total += node[at4].threshold; total += node[at5].threshold;
        total += node[at6].threshold; total += node[at7].threshold;
    }
    for (; tree < forest->trees; tree++) {
        uint32_t at0 = forest->root[tree];
        for (uint32_t step = 0; step < forest->levels[tree]; step++)
            STEP(0, x);
        total += node[at0].threshold;
    }
    return total;
}

/* A tree at a time over a block of rows: its nodes stay in the nearest cache. */
static void block(const Forest *forest, const double *rows, size_t n, double *out, double *values)
{
    const Node *node = forest->node;
    size_t width = (size_t)forest->slots + 1;
    for (size_t i = 0; i < n; i++) {
        read_row(forest, rows + i * forest->features, values + i * width);
        out[i] = 0.0;
    }
    for (uint32_t tree = 0; tree < forest->trees; tree++) {
        uint32_t root = forest->root[tree], levels = forest->levels[tree];
        size_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            const double *x = values + i * width;
            uint32_t at0 = root, at1 = root, at2 = root, at3 = root;
            uint32_t at4 = root, at5 = root, at6 = root, at7 = root;
            for (uint32_t step = 0; step < levels; step++) {
                STEP(0, x); STEP(1, x + width); STEP(2, x + 2 * width); STEP(3, x + 3 * width);
                STEP(4, x + 4 * width); STEP(5, x + 5 * width); STEP(6, x + 6 * width); STEP(7, x + 7 * width);
            }
            out[i] += node[at0].threshold; out[i + 1] += node[at1].threshold;
            out[i + 2] += node[at2].threshold; out[i + 3] += node[at3].threshold;
            out[i + 4] += node[at4].threshold; out[i + 5] += node[at5].threshold;
            out[i + 6] += node[at6].threshold; out[i + 7] += node[at7].threshold;
        }
        for (; i < n; i++) {
            const double *x = values + i * width;
            uint32_t at0 = root;
            for (uint32_t step = 0; step < levels; step++)
                STEP(0, x);
            out[i] += node[at0].threshold;
        }
    }
}

void forest_margins(const Forest *forest, const double *rows, size_t n, double *out, Scratch *scratch)
{
    for (size_t i = 0; i < n; i += BLOCK)
        block(forest, rows + i * forest->features, n - i < BLOCK ? n - i : BLOCK, out + i, scratch->value);
}
