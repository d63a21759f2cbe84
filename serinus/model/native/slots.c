/* Which splits can share one prepared value of a row: see Slot in forest.h. */
#include <stdlib.h>
#include <string.h>

#include "build.h"

static uint64_t hash(uint32_t feature, const uint32_t *words, size_t n)
{
    uint64_t h = 14695981039346656037u ^ feature; /* FNV-1a, by word */
    for (size_t i = 0; i < n; i++)
        h = (h ^ words[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static uint32_t numeric(Forest *f, uint32_t *known, uint32_t feature, uint32_t flags)
{
    if (!(flags & MISSING))
        flags &= ~(uint32_t)DEFAULT_LEFT; /* it has no side to default to */
    uint32_t *at = known + (size_t)feature * 16 + (flags >> 1);
    if (!*at) {
        f->slot[f->slots] = (Slot){.feature = feature, .flags = flags};
        *at = ++f->slots;
    }
    return *at - 1;
}

static uint32_t category(Forest *f, const Arrays *a, uint32_t *table, size_t mask, uint32_t feature, size_t set)
{
    size_t from = (size_t)a->set_start[set], words = (size_t)(a->set_start[set + 1] - a->set_start[set]);
    const uint32_t *bits = f->bits + from;
    while (words && !bits[words - 1])
        words--; /* the same set may be written with more or fewer zeros */
    size_t at = hash(feature, bits, words) & mask;
    for (; table[at]; at = (at + 1) & mask) {
        const Slot *s = f->slot + (table[at] - 1);
        if (s->feature == feature && s->words == words && !memcmp(s->bits, bits, words * sizeof *bits))
            return table[at] - 1;
    }
    f->slot[f->slots] = (Slot){feature, CATEGORICAL, (uint32_t)words, bits};
    table[at] = ++f->slots;
    return table[at] - 1;
}

int build_slots(Build *b, Forest *f)
{
    const Arrays *a = b->arrays;
    size_t sets = 0, splits = 0;
    for (size_t i = 0; i < a->nodes; i++)
        if (a->left[i] != -1) {
            splits++;
            sets += a->flags[i] & CATEGORICAL;
        }
    size_t mask = 15, numerics = (size_t)a->features * 16;
    while (mask < 2 * sets)
        mask = 2 * mask + 1;
    size_t most = sets + (splits < numerics ? splits : numerics);
    if (most * sizeof(Slot) + a->words * sizeof(uint32_t) > b->budget)
        return -2;
    uint32_t *known = calloc(numerics, sizeof *known), *table = calloc(mask + 1, sizeof *table);
    b->slot_of = malloc((a->nodes + 1) * sizeof *b->slot_of);
    f->slot = malloc((most + 1) * sizeof *f->slot);
    f->bits = malloc((a->words + 1) * sizeof *f->bits);
    int bad = !known || !table || !b->slot_of || !f->slot || !f->bits ? -3 : 0;
    if (!bad && a->words)
        memcpy(f->bits, a->set_words, a->words * sizeof *f->bits);
    for (size_t i = 0; !bad && i < a->nodes; i++) {
        uint32_t feature = (uint32_t)a->feature[i], flags = a->flags[i];
        if (a->left[i] == -1)
            continue;
        b->slot_of[i] = flags & CATEGORICAL
                            ? category(f, a, table, mask, feature, (size_t)a->threshold[i])
                            : numeric(f, known, feature, flags);
    }
    free(known);
    free(table);
    return bad;
}
