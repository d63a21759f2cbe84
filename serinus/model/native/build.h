/* What the parts of the building of a forest share. */
#ifndef SERINUS_BUILD_H
#define SERINUS_BUILD_H

#include "forest.h"

enum { MOST_CHUNKS = 16, MOST_LEVELS = 512 }; /* beyond, a forest scores but does not explain */

typedef struct {
    uint32_t parent, level, left; /* positions in the breadth-first order; a leaf's left is itself */
    uint32_t distinct;            /* features tested above */
    uint32_t before, inner;       /* see Split; which inner split of its tree this is */
    double share, earlier;        /* of this split; of the feature's earlier conditions above it */
} Note;

typedef struct {
    const Arrays *arrays;
    size_t budget, size, largest;
    char *why;
    uint8_t *seen;
    uint32_t *order, *slot_of;
    Note *note;
    size_t inners, forks, leaves, curves, room; /* filled so far; curves and room in doubles */
    uint32_t plain[MOST_CHUNKS + 1];            /* offset + 1 of the curve of a first condition */
    double point[MOST_CHUNKS + 1][4 * MOST_CHUNKS];
} Build;

/* What a prepared value is compared with. LightGBM writes inf where all that is not missing goes left;
   prepared values are finite, and inf only where a missing value must go right. */
double split_threshold(const Arrays *arrays, size_t node);
int build_slots(Build *build, Forest *forest);
int build_explanation(Build *build, Forest *forest, size_t tree);

#endif
