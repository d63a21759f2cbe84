/* Arrays into a forest. Nothing is believed: a forest that is made can be walked without a check. */
#include "forest.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"

double split_threshold(const Arrays *a, size_t i)
{
    return a->flags[i] & CATEGORICAL ? 0.0 : fmin(a->threshold[i], DBL_MAX);
}

static int fail(Build *b, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->why, b->size, format, arguments);
    va_end(arguments);
    return code;
}

static int is_leaf(const Arrays *a, size_t i) { return a->left[i] == -1 && a->right[i] == -1; }

static int check_split(Build *b, size_t tree, size_t i)
{
    const Arrays *a = b->arrays;
    size_t at = i - (size_t)a->start[tree];
    if (a->feature[i] < 0 || (uint32_t)a->feature[i] >= a->features)
        return fail(b, -1, "tree %zu, node %zu: feature %d of %u", tree, at, a->feature[i], a->features);
    if (a->flags[i] & ~KNOWN_FLAGS || (a->flags[i] & MISSING) == MISSING)
        return fail(b, -1, "tree %zu, node %zu: unknown flags %d", tree, at, a->flags[i]);
    if (a->flags[i] & CATEGORICAL) {
        if (!(a->threshold[i] >= 0 && a->threshold[i] < (double)a->sets) ||
            a->threshold[i] != floor(a->threshold[i]))
            return fail(b, -1, "tree %zu, node %zu: category set %g of %zu", tree, at, a->threshold[i], a->sets);
    } else if (isnan(a->threshold[i]))
        return fail(b, -1, "tree %zu, node %zu: threshold %g", tree, at, a->threshold[i]);
    return 0;
}

/* Every node but the root is the child of exactly one; whether all hang together shows in `lay_out`. */
static int check_tree(Build *b, size_t tree)
{
    const Arrays *a = b->arrays;
    size_t start = (size_t)a->start[tree], size = (size_t)a->start[tree + 1] - start;
    memset(b->seen, 0, size);
    for (size_t i = start; i < start + size; i++) {
        if (is_leaf(a, i))
            continue;
        int32_t children[2] = {a->left[i], a->right[i]};
        for (int k = 0; k < 2; k++) {
            if (children[k] < 1 || (size_t)children[k] >= size)
                return fail(b, -1, "tree %zu, node %zu: child %d of %zu", tree, i - start, children[k], size);
            if (b->seen[children[k]]++)
                return fail(b, -1, "tree %zu: node %d has two parents", tree, children[k]);
        }
        int bad = check_split(b, tree, i);
        if (bad)
            return bad;
    }
    return 0;
}

static int check(Build *b)
{
    const Arrays *a = b->arrays;
    if (a->features < 1 || a->features > 1u << 20)
        return fail(b, -1, "%u features", a->features);
    if (a->nodes >= 1u << 30 || a->trees >= 1u << 30)
        return fail(b, -2, "%zu nodes", a->nodes);
    if (a->start[0] != 0 || a->start[a->trees] != (int64_t)a->nodes)
        return fail(b, -1, "the trees do not cover the nodes");
    for (size_t t = 0; t < a->trees; t++) {
        if (a->start[t + 1] <= a->start[t] || a->start[t + 1] > (int64_t)a->nodes)
            return fail(b, -1, "tree %zu has no nodes", t);
        size_t size = (size_t)(a->start[t + 1] - a->start[t]);
        b->largest = size > b->largest ? size : b->largest;
    }
    for (size_t s = 0; s < a->sets; s++)
        if (a->set_start[s] < 0 || a->set_start[s + 1] < a->set_start[s] ||
            a->set_start[s + 1] > (int64_t)a->words)
            return fail(b, -1, "category set %zu lies outside the words", s);
    b->seen = malloc(b->largest + 1);
    b->order = malloc((b->largest + 1) * sizeof *b->order);
    b->note = malloc((b->largest + 1) * sizeof *b->note);
    if (!b->seen || !b->order || !b->note)
        return fail(b, -3, "out of memory");
    for (size_t t = 0; t < a->trees; t++) {
        int bad = check_tree(b, t);
        if (bad)
            return bad;
    }
    return 0;
}

/* Breadth first: `order[p]` is the node at position p, `note[p]` its parent's position and level. */
static size_t walk(Build *b, size_t tree)
{
    const Arrays *a = b->arrays;
    size_t start = (size_t)a->start[tree], done = 0, known = 1;
    b->order[0] = (uint32_t)start;
    b->note[0] = (Note){0};
    for (; done < known; done++) {
        size_t i = b->order[done];
        if (is_leaf(a, i)) {
            b->note[done].left = (uint32_t)done;
            continue;
        }
        b->note[done].left = (uint32_t)known;
        for (int k = 0; k < 2; k++, known++) {
            b->order[known] = (uint32_t)(start + (size_t)(k ? a->right[i] : a->left[i]));
            b->note[known] = (Note){.parent = (uint32_t)done, .level = b->note[done].level + 1};
        }
    }
    return done;
}

static int lay_out(Build *b, Forest *f, size_t tree)
{
    const Arrays *a = b->arrays;
    size_t start = (size_t)a->start[tree], size = (size_t)a->start[tree + 1] - start;
    size_t reached = walk(b, tree);
    if (reached != size)
        return fail(b, -1, "tree %zu: only %zu of %zu nodes hang on its root", tree, reached, size);
    for (size_t p = 0; p < size; p++) {
        size_t i = b->order[p];
        Node *node = f->node + start + p;
        node->left = (uint32_t)(start + b->note[p].left);
        node->slot = is_leaf(a, i) ? f->slots : b->slot_of[i];
        node->threshold = is_leaf(a, i) ? a->value[i] : split_threshold(a, i);
    }
    f->root[tree] = (uint32_t)start;
    f->levels[tree] = b->note[size - 1].level;
    f->depth = f->levels[tree] > f->depth ? f->levels[tree] : f->depth;
    return f->explains ? build_explanation(b, f, tree) : 0;
}

static int allocate(Build *b, Forest *f)
{
    const Arrays *a = b->arrays;
    size_t splits = 0;
    for (size_t i = 0; i < a->nodes; i++)
        splits += !is_leaf(a, i);
    f->bytes = a->nodes * (sizeof(Node) + sizeof(Leaf)) + splits * (sizeof(Fork) + 4 * sizeof(double)) +
               a->trees * (sizeof(Tree) + 2 * sizeof(uint32_t)) + f->slots * sizeof(Slot);
    if (f->bytes > b->budget)
        return fail(b, -2, "it needs %zu bytes, and %zu are allowed", f->bytes, b->budget);
    f->node = malloc((a->nodes + 1) * sizeof *f->node);
    f->root = malloc((a->trees + 1) * sizeof *f->root);
    f->levels = malloc((a->trees + 1) * sizeof *f->levels);
    f->tree = calloc(a->trees + 1, sizeof *f->tree);
    f->inner = malloc((splits + 1) * sizeof *f->inner);
    f->fork = malloc((splits + 1) * sizeof *f->fork);
    f->leaf = malloc((a->nodes + 1) * sizeof *f->leaf);
    if (!f->node || !f->root || !f->levels || !f->tree || !f->inner || !f->fork || !f->leaf)
        return fail(b, -3, "out of memory");
    return 0;
}

int forest_build(Forest *f, const Arrays *arrays, size_t budget, char *why, size_t size)
{
    Build b = {.arrays = arrays, .budget = budget, .why = why, .size = size};
    memset(f, 0, sizeof *f);
    f->features = arrays->features;
    f->trees = (uint32_t)arrays->trees;
    int bad = check(&b);
    f->nodes = arrays->nodes;
    f->largest = (uint32_t)b.largest;
    f->explains = 1;
    bad = bad ? bad : build_slots(&b, f);
    bad = bad ? bad : allocate(&b, f);
    for (size_t t = 0; !bad && t < arrays->trees; t++)
        bad = lay_out(&b, f, t);
    if (bad == -3 && !why[0])
        fail(&b, bad, "out of memory");
    free(b.seen);
    free(b.order);
    free(b.note);
    free(b.slot_of);
    if (bad)
        forest_free(f);
    return bad;
}

void forest_free(Forest *f)
{
    free(f->slot);
    free(f->bits);
    free(f->node);
    free(f->root);
    free(f->levels);
    free(f->tree);
    free(f->inner);
    free(f->fork);
    free(f->leaf);
    free(f->curve);
    for (uint32_t c = 0; f->weight && c <= MOST_CHUNKS; c++)
        free(f->weight[c]);
    free(f->weight);
    memset(f, 0, sizeof *f);
}

int scratch_make(Scratch *s, const Forest *f)
{
    size_t lanes = 4 * (size_t)(f->most_chunks ? f->most_chunks : 1), inner = (size_t)f->most_inner + 1;
    size_t sizes[7] = {
        ((size_t)f->slots + 1) * BLOCK, f->largest * lanes, f->largest * lanes, inner * lanes,
        inner * lanes, 2 * inner + 1, 4 * (size_t)f->features,
    };
    double **parts[7] = {&s->value, &s->path, &s->below, &s->ratio, &s->weight, &s->alive, &s->phi};
    size_t total = 8;
    for (int i = 0; i < 7; i++)
        total += sizes[i] = (sizes[i] + 7) & ~(size_t)7;
    s->memory = calloc(total, sizeof(double));
    if (!s->memory)
        return -1;
    double *at = (double *)(((uintptr_t)s->memory + 63) & ~(uintptr_t)63); /* whole cache lines */
    for (int i = 0; i < 7; at += sizes[i++])
        *parts[i] = at;
    return 0;
}

void scratch_free(Scratch *s)
{
    free(s->memory);
    s->memory = NULL;
}
