/* Exact path-dependent TreeSHAP (Lundberg et al. 2020, Algorithm 2) in time linear in the nodes.

   A leaf of value v whose path tests the features 1..d, feature j with outcome o_j (1 if the row meets
   all its conditions on the path, else 0) and cover share z_j, adds to feature i

       v (o_i - z_i) * integral over t in [0, 1] of prod_{j != i} (z_j (1 - t) + o_j t) dt,

   because the Shapley weight of a set of size s among d players is the Beta integral of
   t^s (1 - t)^(d - 1 - s). The integrand is a polynomial of degree d - 1, which Gauss-Legendre quadrature
   with q points integrates exactly for d <= 2 q; four points fill one vector of doubles and serve d <= 8.

   Sums over leaves factor along the tree. At a point t let P be the product of the factors above a node
   and G the sum over the leaves beneath it of their values times the factors on the way. A split with
   left share z, outcome o (1: the row goes left) and B = t / (a (1 - t) + t), where a is the share of the
   feature's earlier conditions on the path (1 if there are none), multiplies the left child's P by
   r = z + (o - z) B and the right child's by 1 - r; and all leaves beneath it together add

       P (o - z) B (1 - B) / (t (1 - t)) * (G_left - G_right)

   to its feature. Where an earlier condition on the feature failed, the same holds with B = 0. (For a
   feature that is split again the factor is a ratio of two factors, and what was credited above is
   corrected; both simplify to the above.) So one pass down and one up over the splits do it, without
   branches. The quadrature form is that of Linear TreeSHAP (Yu et al. 2022) and of XGBoost's
   QuadratureTreeSHAP; taking a split's two children together is what makes it cheap. */
#include <string.h>

#include "forest.h"

typedef double lanes __attribute__((vector_size(32), aligned(8), may_alias));

typedef int64_t mask __attribute__((vector_size(32), aligned(8), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE lanes all(double x) { return (lanes){x, x, x, x}; }

/* What is left of `before` on the left side of a split: a mask, as a branch would be guessed wrong. */
INLINE lanes went_left(const Split *s, const double *x, lanes before)
{
    return (lanes)((mask)before & (mask)(all(x[s->slot]) <= all(s->threshold)));
}

/* Rows below `chunks` are unrolled by the compiler: it is a constant in each caller. */
INLINE void one_tree(const Forest *forest, const Tree *tree, const double *x, const Scratch *scratch,
                     const uint32_t chunks)
{
    lanes *path = (lanes *)scratch->path, *below = (lanes *)scratch->below;
    lanes *ratio = (lanes *)scratch->ratio, *weight = (lanes *)scratch->weight, *phi = (lanes *)scratch->phi;
    const lanes *curve = (const lanes *)forest->curve;
    const lanes *start = (const lanes *)forest->weight[tree->chunks];
    const Split *inner = forest->inner + tree->inner;
    size_t inners = tree->inner_end - tree->inner;
    double *alive = scratch->alive; /* [0] is 1; [1 + 2 i] and [2 + 2 i]: left and right of inner split i */

    for (uint32_t c = 0; c < chunks; c++)
        path[c] = start[c];
    for (size_t i = 0; i < inners; i++) {
        const Split *s = inner + i;
        lanes before = all(alive[s->before]), left = went_left(s, x, before);
        lanes right = before - left, share = all(s->share), delta = left - before * share;
        alive[1 + 2 * i] = left[0];
        alive[2 + 2 * i] = right[0];
        for (uint32_t c = 0; c < chunks; c++) {
            lanes b = curve[s->curve + c], p = path[s->self * chunks + c];
            lanes change = b * delta, r = change + share, down = p * r, w = p * change;
            path[s->left * chunks + c] = down;
            path[(s->left + 1) * chunks + c] = p - down;
            ratio[i * chunks + c] = r;
            weight[i * chunks + c] = w - w * b;
        }
    }
    for (const Leaf *l = forest->leaf + tree->leaf, *end = forest->leaf + tree->leaf_end; l < end; l++)
        for (uint32_t c = 0; c < chunks; c++)
            below[l->self * chunks + c] = all(l->value);
    for (const Fork *f = forest->fork + tree->fork, *end = forest->fork + tree->fork_end; f < end; f++) {
        const Split *s = &f->split;
        lanes before = all(alive[s->before]), share = all(s->share);
        lanes delta = went_left(s, x, before) - before * share;
        lanes difference = all(f->difference), right = all(f->right);
        lanes sum = phi[s->feature];
        for (uint32_t c = 0; c < chunks; c++) {
            lanes b = curve[s->curve + c], p = path[s->self * chunks + c];
            lanes change = b * delta, w = p * change;
            below[s->self * chunks + c] = (change + share) * difference + right;
            sum += (w - w * b) * difference;
        }
        phi[s->feature] = sum;
    }
    for (size_t i = inners; i-- > 0;) {
        const Split *s = inner + i;
        lanes sum = phi[s->feature];
        for (uint32_t c = 0; c < chunks; c++) {
            lanes right = below[(s->left + 1) * chunks + c];
            lanes difference = below[s->left * chunks + c] - right;
            below[s->self * chunks + c] = right + ratio[i * chunks + c] * difference;
            sum += weight[i * chunks + c] * difference;
        }
        phi[s->feature] = sum;
    }
}

INLINE void all_trees(const Forest *forest, const double *x, const Scratch *scratch)
{
    scratch->alive[0] = 1.0;
    for (uint32_t t = 0; t < forest->trees; t++) {
        const Tree *tree = forest->tree + t;
        switch (tree->chunks) {
        case 0: break; /* a single leaf */
        case 1: one_tree(forest, tree, x, scratch, 1); break;
        case 2: one_tree(forest, tree, x, scratch, 2); break;
        default: one_tree(forest, tree, x, scratch, tree->chunks);
        }
    }
}

typedef void (*Pass)(const Forest *, const double *, const Scratch *);

static void portable(const Forest *forest, const double *x, const Scratch *scratch)
{
    all_trees(forest, x, scratch);
}

#if defined(__x86_64__) && !defined(PORTABLE)
__attribute__((target("avx2,fma"))) static void avx2(const Forest *forest, const double *x, const Scratch *scratch)
{
    all_trees(forest, x, scratch);
}

static Pass best(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? avx2 : portable;
}
#else
static Pass best(void) { return portable; }
#endif

void forest_explain(const Forest *forest, const double *row, double *out, Scratch *scratch)
{
    static Pass pass; /* racing threads write the same */
    double *phi = scratch->phi;
    if (!pass)
        pass = best();
    read_row(forest, row, scratch->value);
    memset(phi, 0, sizeof(double) * 4 * forest->features);
    pass(forest, scratch->value, scratch);
    for (uint32_t i = 0; i < forest->features; i++)
        out[i] = (phi[4 * i] + phi[4 * i + 1]) + (phi[4 * i + 2] + phi[4 * i + 3]);
    out[forest->features] = forest->base;
}
