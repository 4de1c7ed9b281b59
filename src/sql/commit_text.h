/*
 * src/sql/commit_text.h - recognises SQL that is one COMMIT and nothing else, in all its spellings. Pure.
 */
#ifndef PGWEIR_SQL_COMMIT_TEXT_H
#define PGWEIR_SQL_COMMIT_TEXT_H

#include <stddef.h>

enum commit_text {
	COMMIT_TEXT_NOT, /* other SQL, several statements, COMMIT PREPARED */
	COMMIT_TEXT_PLAIN, /* COMMIT, END [WORK|TRANSACTION] [AND NO CHAIN] [;] */
	COMMIT_TEXT_CHAIN /* ... AND CHAIN */
};

/* sql has no terminator within len. Comments and white space are skipped as PostgreSQL does. */
enum commit_text commit_text_read(const char *sql, size_t len);

#endif
