#ifndef SERINUS_NUMBER_H
#define SERINUS_NUMBER_H

#include <stdint.h>

enum { NUMBER_ROOM = 32 }; /* bytes that a number may take */

/* To be called once before `write_number`. */
void prepare_numbers(void);

/* The shortest JSON number that reads back as x; null if it is none. Returns its end; no 0 is set. */
char *write_number(char *out, double x);

/* Decimal digits of x, at most 20, up to `end`; returns where they begin. */
char *write_digits(char *end, uint64_t x);

#endif
