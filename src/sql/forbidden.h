/*
 * src/sql/forbidden.h - finds statements that the setting `refuse` forbids.
 *
 * The search reads SQL token by token, and finds statements within WITH, EXPLAIN ANALYZE, PREPARE and COPY, too. It
 * does not find SQL that a function, DO or a rule runs, or the statement that EXECUTE runs. The function is pure and
 * allocates nothing.
 *
 * Always: if PostgreSQL can't parse the SQL, the result means nothing, because PostgreSQL then runs none of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Returns the first kind, in the order of enum forbidden, that is in `refuse` and of which sql has a statement;
 * FORBIDDEN_NOTHING if there is none. refuse: a set of FORBIDDEN_BIT(). options: a set of enum scan_option.
 */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
