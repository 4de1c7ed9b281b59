/*
 * src/sql/forbidden.h - finds statements that the setting refuse is about.
 *
 * Reads a text's statements token by token, including statements in WITH and those after EXPLAIN ANALYZE, PREPARE and
 * COPY. SQL that a function, DO or a rule runs is not seen, nor is the statement that EXECUTE runs. The functions are
 * pure and allocate nothing.
 *
 * Always: SQL that PostgreSQL could not read may be taken for anything, because PostgreSQL runs nothing of it.
 */
#pragma once

#include "base/counters.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Returns the first statement in sql that refuse forbids, or FORBIDDEN_NOTHING. refuse is a set of FORBIDDEN_BIT(),
 * options of enum scan_option.
 */
enum forbidden forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len);
