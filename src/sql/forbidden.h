/*
 * src/sql/forbidden.h - finds statements that the setting `refuse` forbids.
 *
 * Reads statements token by token, including statements in WITH and those after EXPLAIN ANALYZE, PREPARE and COPY. It
 * does not see SQL that a function, DO or a rule runs, or the statement that EXECUTE runs. The functions are pure and
 * allocate nothing.
 *
 * Always: if PostgreSQL can't parse the SQL, the result means nothing, because PostgreSQL then runs none of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Returns the lowest kind of statement that is in `refuse` and occurs in sql; FORBIDDEN_NOTHING if none does. `refuse`
 * is a set of FORBIDDEN_BIT(), `options` a set of enum scan_option.
 */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
