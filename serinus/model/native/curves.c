/* The part of a forest that explains: see explain.c for what shares, curves and weights are. */
#include <math.h>
#include <stdlib.h>

#include "build.h"

enum { UNEXPLAINED = 1 };

/* Gauss-Legendre points and weights on [0, 1] by Newton's method on the Legendre polynomial. */
static void quadrature(uint32_t n, double *point, double *weight)
{
    for (uint32_t i = 0; i < n; i++) {
        double x = cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5)), slope = 1.0;
        for (int round = 0; round < 100; round++) {
            double p = 1.0, previous = 0.0;
            for (uint32_t k = 0; k < n; k++) {
                double next = ((2.0 * k + 1.0) * x * p - k * previous) / (k + 1.0);
                previous = p;
                p = next;
            }
            slope = n * (x * p - previous) / (x * x - 1.0);
            double step = p / slope;
            x -= step;
            if (fabs(step) < 1e-16)
                break;
        }
        point[i] = (1.0 - x) / 2.0;
        weight[i] = 1.0 / ((1.0 - x * x) * slope * slope);
    }
}

/* The curve B of a condition after earlier ones of share `earlier`; its offset in lanes, or UINT32_MAX. */
static uint32_t curve(Build *b, Forest *f, uint32_t chunks, double earlier)
{
    uint32_t n = 4 * chunks;
    const double *point = b->point[chunks];
    if (b->curves + n > b->room) {
        size_t room = 2 * b->room + 1024;
        if (room * sizeof(double) > b->budget)
            return UINT32_MAX;
        double *grown = realloc(f->curve, room * sizeof *grown);
        if (!grown)
            return UINT32_MAX;
        f->curve = grown;
        b->room = room;
    }
    for (uint32_t i = 0; i < n; i++)
        f->curve[b->curves + i] = point[i] / (earlier * (1.0 - point[i]) + point[i]);
    b->curves += n;
    return (uint32_t)((b->curves - n) / 4);
}

static int prepare(Build *b, Forest *f, uint32_t chunks)
{
    double *point = b->point[chunks], weight[4 * MOST_CHUNKS];
    if (!f->weight && !(f->weight = calloc(MOST_CHUNKS + 1, sizeof *f->weight)))
        return -3;
    if (b->plain[chunks])
        return 0;
    if (!(f->weight[chunks] = malloc(4 * chunks * sizeof(double))))
        return -3;
    quadrature(4 * chunks, point, weight);
    for (uint32_t i = 0; i < 4 * chunks; i++)
        f->weight[chunks][i] = weight[i] / (point[i] * (1.0 - point[i]));
    uint32_t offset = curve(b, f, chunks, 1.0);
    b->plain[chunks] = offset + 1;
    return offset == UINT32_MAX ? -3 : 0;
}

/* Fills the notes of a split at position p: its share and what stands above it. */
static int note(Build *b, size_t p)
{
    const Arrays *a = b->arrays;
    size_t i = b->order[p];
    Note *n = b->note + p;
    double left = a->cover[b->order[n->left]], right = a->cover[b->order[n->left + 1]], sum = left + right;
    if (!(left >= 0 && right >= 0 && sum > 0 && sum < INFINITY) || !(fabs(sum - a->cover[i]) <= 1e-6 * sum))
        return UNEXPLAINED;
    n->share = left / sum;
    n->distinct = p ? b->note[n->parent].distinct : 0;
    n->before = 0;
    n->earlier = 1.0;
    for (size_t below = p; below;) {
        size_t above = b->note[below].parent;
        const Note *m = b->note + above;
        if (a->feature[b->order[above]] == a->feature[i]) {
            int right_side = below != m->left;
            n->before = 1 + 2 * m->inner + (uint32_t)right_side;
            n->earlier = m->earlier * (right_side ? 1.0 - m->share : m->share);
            return 0;
        }
        below = above;
    }
    n->distinct++;
    return 0;
}

static int is_fork(const Build *b, size_t p)
{
    const Note *n = b->note;
    return n[n[p].left].left == n[p].left && n[n[p].left + 1].left == n[p].left + 1;
}

/* Notes of all splits; the most features on one path, or -1 if the covers do not add up. */
static int64_t notes(Build *b, Tree *tree, size_t size)
{
    uint32_t distinct = 0, inner = 0;
    for (size_t p = 0; p < size; p++) {
        Note *n = b->note + p;
        if (n->left == p)
            continue;
        if (!is_fork(b, p))
            n->inner = inner++;
        if (note(b, p))
            return -1;
        distinct = n->distinct > distinct ? n->distinct : distinct;
    }
    tree->inner_end = tree->inner + inner;
    return distinct;
}

static int add(Build *b, Forest *f, uint32_t chunks, size_t p)
{
    const Arrays *a = b->arrays;
    size_t i = b->order[p];
    const Note *n = b->note + p;
    uint32_t at = b->plain[chunks] - 1;
    if (n->before && (at = curve(b, f, chunks, n->earlier)) == UINT32_MAX)
        return -3;
    Split split = {
        .threshold = split_threshold(a, i),
        .share = n->share, .slot = b->slot_of[i], .feature = (uint32_t)a->feature[i],
        .self = (uint32_t)p, .left = n->left, .before = n->before, .curve = at,
    };
    if (is_fork(b, p)) {
        double left = a->value[b->order[n->left]], right = a->value[b->order[n->left + 1]];
        f->fork[b->forks++] = (Fork){split, right, left - right};
        return 0;
    }
    f->inner[b->inners++] = split;
    for (uint32_t child = n->left; child < n->left + 2; child++)
        if (b->note[child].left == child)
            f->leaf[b->leaves++] = (Leaf){a->value[b->order[child]], child};
    return 0;
}

int build_explanation(Build *b, Forest *f, size_t t)
{
    const Arrays *a = b->arrays;
    size_t size = (size_t)(a->start[t + 1] - a->start[t]);
    Tree *tree = f->tree + t;
    *tree = (Tree){0, b->inners, b->inners, b->forks, b->forks, b->leaves, b->leaves};
    if (size == 1) {
        f->base += a->value[b->order[0]];
        return 0;
    }
    int64_t distinct = f->levels[t] > MOST_LEVELS ? -1 : notes(b, tree, size);
    if (distinct < 0 || distinct > 8 * MOST_CHUNKS) {
        f->explains = 0;
        return 0;
    }
    uint32_t chunks = tree->chunks = (uint32_t)(distinct + 7) / 8;
    int bad = prepare(b, f, chunks);
    for (size_t p = 0; !bad && p < size; p++)
        if (b->note[p].left != p)
            bad = add(b, f, chunks, p);
    tree->fork_end = b->forks;
    tree->leaf_end = b->leaves;
    double base = 0.0;
    for (size_t p = 0; p < size; p++)
        if (b->note[p].left == p)
            base += a->cover[b->order[p]] / a->cover[b->order[0]] * a->value[b->order[p]];
    f->base += base;
    f->distinct = (uint32_t)distinct > f->distinct ? (uint32_t)distinct : f->distinct;
    uint32_t inner = (uint32_t)(tree->inner_end - tree->inner);
    f->most_inner = inner > f->most_inner ? inner : f->most_inner;
    f->most_chunks = chunks > f->most_chunks ? chunks : f->most_chunks;
    return bad;
}
