/* A forest laid out for speed: built and checked once, then only read. */
#ifndef SERINUS_FOREST_H
#define SERINUS_FOREST_H

#include <stddef.h>
#include <stdint.h>

/* Flags of a split; the low four bits are LightGBM's decision_type. */
enum {
    CATEGORICAL = 1,
    DEFAULT_LEFT = 2,
    MISSING_ZERO = 1 << 2, /* zero and NaN take the default side */
    MISSING_NAN = 2 << 2,  /* NaN takes the default side; with neither, NaN counts as zero */
    MISSING = 3 << 2,
    AS_FLOAT = 16, /* the value is rounded to float32 first, as scikit-learn does */
    KNOWN_FLAGS = 31
};

/* What a split compares with its threshold. Splits that treat a feature's missing values alike
   share a slot; a missing value is -inf or +inf there and a category -inf (in the set) or +inf,
   so that every split is the one comparison `value > threshold`. */
typedef struct {
    uint32_t feature, flags, words;
    const uint32_t *bits; /* of a category set */
} Slot;

/* Breadth first within a tree, siblings adjacent. A leaf points at itself through a slot that is
   always -inf, and its threshold is its value. */
typedef struct {
    double threshold;
    uint32_t left, slot;
} Node;

/* A split as the explanation sees it; positions are within its tree. */
typedef struct {
    double threshold, share; /* share of the node's cover that went left */
    uint32_t slot, feature;
    uint32_t self, left; /* positions of the node and of its left child; the right child follows */
    uint32_t before;     /* where the same feature was last split above: see explain.c */
    uint32_t curve;      /* offset of its curve, in lanes of four */
} Split;

/* A split whose children are both leaves. */
typedef struct {
    Split split;
    double right, difference; /* value of the right leaf, and left minus right */
} Fork;

typedef struct {
    double value;
    uint32_t self;
} Leaf;

typedef struct {
    uint32_t chunks; /* quadrature points / 4 */
    size_t inner, inner_end, fork, fork_end, leaf, leaf_end;
} Tree;

typedef struct {
    uint32_t features, trees, slots, depth, distinct, largest, most_inner, most_chunks;
    size_t nodes, bytes;
    int explains; /* covers are there and add up */
    double base;  /* the expected margin */
    Slot *slot;
    uint32_t *bits;
    Node *node;
    uint32_t *root, *levels; /* by tree: index of its root, steps to its deepest leaf */
    Tree *tree;
    Split *inner;
    Fork *fork;
    Leaf *leaf;
    double *curve;   /* per curve 4 * chunks values */
    double **weight; /* by chunks: quadrature weights */
} Forest;

/* The arrays a forest is made from: trees one after another, node 0 of each its root, children by
   position within the tree, -1 for both children of a leaf. */
typedef struct {
    size_t trees, nodes, sets, words;
    uint32_t features;
    const int64_t *start; /* trees + 1 */
    const int32_t *feature, *left, *right;
    const double *threshold; /* of a categorical split: the number of its set */
    const uint8_t *flags;
    const double *value, *cover;
    const int64_t *set_start; /* sets + 1, in words */
    const uint32_t *set_words;
} Arrays;

/* 0, or -1 with a reason in `why`: -1 malformed, -2 too large, -3 out of memory. */
int forest_build(Forest *forest, const Arrays *arrays, size_t budget, char *why, size_t size);
void forest_free(Forest *forest);

/* Memory that one thread needs to score or explain. */
typedef struct {
    void *memory;
    double *value;              /* slots + 1 values of a row, or of a block of rows */
    double *path, *below, *ratio, *weight, *alive, *phi;
} Scratch;

enum { BLOCK = 32 }; /* rows scored together */

int scratch_make(Scratch *scratch, const Forest *forest);
void scratch_free(Scratch *scratch);

void read_row(const Forest *forest, const double *row, double *value);
double forest_margin(const Forest *forest, const double *row, Scratch *scratch);
void forest_margins(const Forest *forest, const double *rows, size_t n, double *out, Scratch *scratch);
/* out: features + 1 values, the base last. */
void forest_explain(const Forest *forest, const double *row, double *out, Scratch *scratch);

#endif
