/* The shortest decimal that reads back as a given double, by Schubfach (R. Giulietti, "The Schubfach way to
   render doubles", 2020): of the numbers with the fewest digits inside the interval that rounds to the
   double, the one closest to it.

   For a double c 2^q let k be the power of ten next below the interval's width. All is decided from the
   interval's ends and middle, each times 10^-k and 4, of which it is enough to know the whole part and
   whether there is a rest ("round to odd"). That takes a product with a power of ten of 128 bits, rounded
   up; the paper proves that no double comes close enough to a boundary for more to matter. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "number.h"

typedef unsigned __int128 uint128_t;

enum { LEAST = -292, MOST = 324, LIMBS = 40 };

static struct {
    uint64_t high, low;
} power[MOST - LEAST + 1]; /* 10^k with its highest bit at 127, rounded up */

static void put_power(int k, const uint32_t *limb, int inexact)
{
    int top = LIMBS - 1;
    while (!limb[top])
        top--;
    int shift = __builtin_clz(limb[top]);
    uint128_t head = 0;
    for (int i = 0; i < 5; i++) { /* 160 bits hold the 128 highest at any shift */
        uint32_t part = top >= i ? limb[top - i] : 0;
        if (i < 4)
            head = head << 32 | part;
        else {
            head = head << shift | (shift ? part >> (32 - shift) : 0);
            inexact |= (uint32_t)(part << shift) != 0;
        }
    }
    for (int i = top - 5; i >= 0; i--)
        inexact |= limb[i] != 0;
    head += (uint128_t)(inexact != 0);
    power[k - LEAST].high = (uint64_t)(head >> 64);
    power[k - LEAST].low = (uint64_t)head;
}

void prepare_numbers(void)
{
    uint32_t limb[LIMBS] = {1};
    for (int k = 0; k <= MOST; k++) { /* 10^324 has 1,077 bits */
        put_power(k, limb, 0);
        uint64_t carry = 0;
        for (int i = 0; i < LIMBS; i++) {
            carry += (uint64_t)limb[i] * 10;
            limb[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    /* From 2^1279 down: dividing a whole part again gives the whole part of the quotient, and of that 300
       bits are left at 10^-292. */
    memset(limb, 0, sizeof limb);
    limb[LIMBS - 1] = 1u << 31;
    for (int k = -1; k >= LEAST; k--) {
        uint64_t rest = 0;
        for (int i = LIMBS; i-- > 0;) {
            rest = rest << 32 | limb[i];
            limb[i] = (uint32_t)(rest / 10);
            rest %= 10;
        }
        put_power(k, limb, 1);
    }
}

static int floor_log2_of_power(int k) { return (k * 1741647) >> 19; }

/* The whole part of c times a power of ten of 128 bits, over 2^128; its last bit set if there is a rest. */
static inline uint64_t to_odd(int k, uint64_t c)
{
    uint128_t low = (uint128_t)power[k - LEAST].low * c;
    uint128_t product = (uint128_t)power[k - LEAST].high * c + (uint64_t)(low >> 64);
    return (uint64_t)(product >> 64) | ((uint64_t)product > 1);
}

/* Digits and exponent of the shortest decimal for c 2^q; the digits may end with zeros. */
static uint64_t shortest(uint64_t c, int q, int narrow, int *exponent)
{
    int odd = c & 1;
    /* floor(log10(2^q)); below a power of two the interval is half as wide: floor(log10(3/4 2^q)). */
    int k = (q * 1262611 - (narrow ? 524031 : 0)) >> 22;
    int h = q + floor_log2_of_power(-k) + 1;
    uint64_t low = to_odd(-k, (4 * c - 2 + (uint64_t)narrow) << h) + (uint64_t)odd;
    uint64_t middle = to_odd(-k, (4 * c) << h);
    uint64_t high = to_odd(-k, (4 * c + 2) << h) - (uint64_t)odd;
    uint64_t s = middle / 4;
    *exponent = k;
    if (s >= 10) {
        uint64_t tens = s / 10;
        int below = low <= 40 * tens, above = 40 * tens + 40 <= high;
        if (below != above) {
            *exponent = k + 1;
            return tens + (uint64_t)above;
        }
    }
    int below = low <= 4 * s, above = 4 * s + 4 <= high;
    if (below != above)
        return s + (uint64_t)above;
    uint64_t half = 4 * s + 2;
    return s + (middle > half || (middle == half && s & 1));
}

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051"
    "525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline void put_pair(char *out, uint32_t x) { memcpy(out, pairs + 2 * x, 2); }

static inline void put_eight(char *out, uint32_t x)
{
    uint32_t high = x / 10000, low = x % 10000;
    put_pair(out, high / 100);
    put_pair(out + 2, high % 100);
    put_pair(out + 4, low / 100);
    put_pair(out + 6, low % 100);
}

char *write_digits(char *end, uint64_t x)
{
    while (x >= 100000000) {
        put_eight(end -= 8, (uint32_t)(x % 100000000));
        x /= 100000000;
    }
    uint32_t rest = (uint32_t)x;
    while (rest >= 100) {
        put_pair(end -= 2, rest % 100);
        rest /= 100;
    }
    if (rest >= 10)
        put_pair(end -= 2, rest);
    else
        *--end = (char)('0' + rest);
    return end;
}

/* digits 10^exponent; as a plain decimal from 0.00001 up to 10^16, as JSON's writers commonly do. */
static char *lay_out(char *out, uint64_t x, int exponent)
{
    char text[20], *last = text + sizeof text, *first = write_digits(last, x);
    while (last[-1] == '0' && last - first > 1)
        last--, exponent++;
    int count = (int)(last - first), point = count + exponent; /* digits before the point */
    if (point > 16 || point < -4) {
        *out++ = *first;
        if (count > 1) {
            *out++ = '.';
            memcpy(out, first + 1, (size_t)count - 1);
            out += count - 1;
        }
        *out++ = 'e';
        if (--point < 0)
            *out++ = '-', point = -point;
        char power_of[4], *end = power_of + sizeof power_of, *begin = write_digits(end, (uint64_t)point);
        memcpy(out, begin, (size_t)(end - begin));
        return out + (end - begin);
    }
    if (point <= 0) {
        memcpy(out, "0.00000", 7);
        out += 2 - point;
        memcpy(out, first, (size_t)count);
        return out + count;
    }
    if (count <= point) {
        memcpy(out, first, (size_t)count);
        memset(out + count, '0', (size_t)(point - count));
        memcpy(out + point, ".0", 2);
        return out + point + 2;
    }
    memcpy(out, first, (size_t)point);
    out[point] = '.';
    memcpy(out + point + 1, first + point, (size_t)(count - point));
    return out + count + 1;
}

char *write_number(char *out, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff), narrow = fraction == 0 && exponent > 1;
    if (exponent == 0x7ff) {
        memcpy(out, "null", 4);
        return out + 4;
    }
    if (bits >> 63)
        *out++ = '-';
    x = fabs(x);
    if (x == 0.0) {
        memcpy(out, "0.0", 3);
        return out + 3;
    }
    /* Whole numbers and amounts: a decimal of 15 digits is the only one of so few that its double reads as. */
    if (x < 1e13) {
        int64_t cents = (int64_t)(x * 100.0 + 0.5);
        if ((double)cents / 100.0 == x)
            return lay_out(out, (uint64_t)cents, -2);
    }
    int k;
    uint64_t c = exponent ? fraction | UINT64_C(1) << 52 : fraction;
    uint64_t s = shortest(c, (exponent ? exponent : 1) - 1075, narrow, &k);
    return lay_out(out, s, k);
}
