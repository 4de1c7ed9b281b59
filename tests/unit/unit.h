/* tests/unit/unit.h - what unit tests include, and how they walk through their tables. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(literal) literal, sizeof(literal) - 1
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define EACH(row, rows) for (const __typeof__((rows)[0]) *row = (rows); row < (rows) + COUNT(rows); row++)

/* In a .fini Criterion prints a failed assertion, but only a crash fails the test. */
static inline void
must_hold_at_the_end(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "at the end of a test: not so: %s\n", what);
	abort();
}
