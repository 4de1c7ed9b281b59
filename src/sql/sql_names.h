/*
 * src/sql/sql_names.h - words that may stand before a parenthesis: PostgreSQL's keywords and functions.
 *
 * The table (sql_names_table.h) is printed by scripts/sql-names from a running server, with what newer versions and
 * the most used parts of contrib add. A name that is not in it is a user's own.
 */
#pragma once

#include <stddef.h>

enum sql_name_bit {
	SQL_FUNCTION = 1u << 0, /* a function that leaves nothing behind */
	SQL_RESERVED = 1u << 1, /* a keyword that can't be a function's name without quotes */
	SQL_TYPE_FUNC = 1u << 2, /* a keyword that can only be a type's or a function's name without quotes */
	SQL_KEYWORD = 1u << 3, /* a keyword of any kind */
	SQL_SETTING_FUNCTION = 1u << 4, /* set_config */
	SQL_LOCK_FUNCTION = 1u << 5, /* pg_[try_]advisory_lock* */
	SQL_UNLOCK_FUNCTION = 1u << 6, /* pg_advisory_unlock* */
	SQL_SEQUENCE_FUNCTION = 1u << 7 /* currval, lastval; with FUNCTION: nextval, setval */
};

/* Returns bits of enum sql_name_bit; 0: unknown. Case does not matter. */
unsigned sql_name_find(const char *name, size_t len);
