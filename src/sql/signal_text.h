/*
 * src/sql/signal_text.h - recognises SQL that is one call of pg_cancel_backend() or pg_terminate_backend() and nothing
 * else, so that nobody but whoever runs it can have called the function. Pure.
 */
#ifndef PGWEIR_SQL_SIGNAL_TEXT_H
#define PGWEIR_SQL_SIGNAL_TEXT_H

#include <stddef.h>

enum signal_text {
	SIGNAL_TEXT_NOT, /* other SQL, several statements, arguments that are more than constants and parameters */
	SIGNAL_TEXT_CANCEL, /* SELECT [* FROM] [pg_catalog.]pg_cancel_backend(...) [[AS] name] [;] */
	SIGNAL_TEXT_TERMINATE /* the same of pg_terminate_backend() */
};

/*
 * sql has no terminator within len. Comments and white space are skipped as PostgreSQL does. SQL with a backslash or
 * bytes beyond ASCII is none: how it is read depends on settings.
 */
enum signal_text signal_text_read(const char *sql, size_t len);

#endif
