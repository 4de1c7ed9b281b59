/*
 * tests/fuzz/session_mutate.h - a target whose inputs are lines links session_mutate.c and says what lines there are.
 */
#pragma once

#include <stddef.h>

extern const char *const mutate_lines[]; /* put in now and then, anywhere but in front; some are several lines */
extern const size_t mutate_line_count;
const char *mutate_word(size_t i); /* the first line has any of these, in any order; NULL: there are no more */
