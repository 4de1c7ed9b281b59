/*
 * src/sql/forbidden.h - finds statements that the setting `refuse` forbids.
 *
 * Reads a text's statements token by token, including statements in WITH and those after EXPLAIN ANALYZE, PREPARE and
 * COPY. SQL that a function, DO or a rule runs is not seen, nor is the statement that EXECUTE runs. The functions are
 * pure and allocate nothing.
 *
 * Always: if PostgreSQL can't parse the SQL, the result means nothing, because PostgreSQL then runs none of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Returns the lowest kind in `refuse` of which sql has a statement, or FORBIDDEN_NOTHING. `refuse` is a set of
 * FORBIDDEN_BIT(), `options` a set of enum scan_option.
 */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
