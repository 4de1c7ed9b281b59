/*
 * src/sql/forbidden.h - finds statements that the setting `refuse` forbids.
 *
 * The search reads SQL token by token, and also finds statements within WITH, EXPLAIN ANALYZE, PREPARE and COPY. The
 * search can't find SQL that a function, DO or a rule runs, or the statement that EXECUTE runs.
 *
 * Always: if PostgreSQL can't parse the SQL, the result means nothing, because PostgreSQL then runs none of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Returns a kind of statement that sql has and `refuse` forbids; FORBIDDEN_NOTHING if there is none. Of several such
 * kinds, returns the first in enum forbidden. refuse: a set of FORBIDDEN_BIT(). options: a set of enum scan_option.
 */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
