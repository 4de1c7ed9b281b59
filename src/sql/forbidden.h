/*
 * src/sql/forbidden.h - finds statements that the setting refuse is about.
 *
 * Reads a text's statements token by token, with those in WITH and behind EXPLAIN ANALYZE, PREPARE and COPY. What a
 * function, DO or a rule runs is not seen, nor what EXECUTE does. Pure, without allocations.
 *
 * Always: SQL that PostgreSQL could not read may be taken for anything, since it runs nothing of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/* refuse: FORBIDDEN_BIT() of some; options: enum scan_option. Returns the first of these that is there, or
 * FORBIDDEN_NOTHING. */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
