/*
 * src/sql/sql_words.h - the words for which scan_rules.c and traits.h have rules, and PostgreSQL's keywords and
 * functions that may stand before a parenthesis.
 */
#pragma once

#include <stddef.h>

/* Each word occurs once, and words with the same first letter stand together after LETTER(). */
/* clang-format off */
#define SQL_WORDS(LETTER, WORD) \
	LETTER('a') WORD(abort, ABORT) WORD(aggregate, AGGREGATE) WORD(alter, ALTER) WORD(analyze, ANALYZE) \
	WORD(as, AS) \
	LETTER('b') WORD(begin, BEGIN) \
	LETTER('c') WORD(call, CALL) WORD(close, CLOSE) WORD(commit, COMMIT) WORD(conflict, CONFLICT) \
	WORD(constraints, CONSTRAINTS) WORD(copy, COPY) WORD(create, CREATE) WORD(cross, CROSS) \
	LETTER('d') WORD(database, DATABASE) WORD(deallocate, DEALLOCATE) WORD(declare, DECLARE) \
	WORD(delete, DELETE) WORD(discard, DISCARD) WORD(distinct, DISTINCT) WORD(do, DO) WORD(drop, DROP) \
	LETTER('e') WORD(end, END) WORD(execute, EXECUTE) WORD(exists, EXISTS) WORD(explain, EXPLAIN) \
	LETTER('f') WORD(fetch, FETCH) WORD(foreign, FOREIGN) WORD(full, FULL) WORD(function, FUNCTION) \
	LETTER('g') WORD(global, GLOBAL) WORD(group, GROUP) WORD(grouping, GROUPING) \
	LETTER('h') WORD(hold, HOLD) \
	LETTER('i') WORD(index, INDEX) WORD(inner, INNER) WORD(insert, INSERT) WORD(into, INTO) \
	LETTER('j') WORD(join, JOIN) \
	LETTER('l') WORD(language, LANGUAGE) WORD(left, LEFT) WORD(listen, LISTEN) WORD(load, LOAD) WORD(local, LOCAL) \
	LETTER('m') WORD(merge, MERGE) \
	LETTER('n') WORD(natural, NATURAL) WORD(notify, NOTIFY) \
	LETTER('o') WORD(on, ON) WORD(operator, OPERATOR) WORD(order, ORDER) WORD(outer, OUTER) \
	LETTER('p') WORD(partition, PARTITION) WORD(prepare, PREPARE) WORD(primary, PRIMARY) \
	WORD(procedure, PROCEDURE) \
	LETTER('r') WORD(recursive, RECURSIVE) WORD(references, REFERENCES) WORD(release, RELEASE) \
	WORD(replace, REPLACE) WORD(reset, RESET) WORD(returning, RETURNING) WORD(right, RIGHT) \
	WORD(rollback, ROLLBACK) WORD(routine, ROUTINE) \
	LETTER('s') WORD(savepoint, SAVEPOINT) WORD(select, SELECT) WORD(set, SET) WORD(show, SHOW) WORD(start, START_TRANSACTION) \
	LETTER('t') WORD(table, TABLE) WORD(temp, TEMP) WORD(temporary, TEMPORARY) WORD(time, TIME) WORD(to, TO) \
	WORD(transaction, TRANSACTION) \
	LETTER('u') WORD(uescape, UESCAPE) WORD(unique, UNIQUE) WORD(unlisten, UNLISTEN) WORD(update, UPDATE) \
	WORD(using, USING) \
	LETTER('v') WORD(vacuum, VACUUM) WORD(values, VALUES) WORD(view, VIEW) \
	LETTER('w') WORD(with, WITH)
/* clang-format on */

enum sql_word {
	SQL_WORDS_NONE,
#define NO_LETTER(c)
#define WORD_NAME(word, id) WORD_##id,
	SQL_WORDS(NO_LETTER, WORD_NAME) SQL_WORDS_END
#undef NO_LETTER
#undef WORD_NAME
};

/* Returns the word that `text` is, without regard to case; SQL_WORDS_NONE if `text` is none of SQL_WORDS. */
enum sql_word sql_word_find(const char *text, size_t len);

/*
 * --- Words that may stand before a parenthesis: PostgreSQL's keywords and functions.
 *
 * scripts/sql-names prints the table (sql_names.tsv) from a running server, and adds names of newer versions and of the
 * most used parts of contrib. A name that is not in the table is taken for the name of a user's own function.
 */

enum sql_name_bit {
	SQL_HARMLESS_FUNCTION = 1u << 0, /* leaves nothing in the session, except with SQL_SEQUENCE_FUNCTION */
	SQL_RESERVED = 1u << 1, /* a keyword that can't be a function's name without quotes */
	SQL_TYPE_FUNC = 1u << 2, /* a keyword that can only be a type's or a function's name without quotes */
	SQL_KEYWORD = 1u << 3, /* a keyword of any kind */
	SQL_SETTING_FUNCTION = 1u << 4, /* set_config */
	SQL_LOCK_FUNCTION = 1u << 5, /* pg_[try_]advisory_lock* */
	SQL_UNLOCK_FUNCTION = 1u << 6, /* pg_advisory_unlock* */
	SQL_SEQUENCE_FUNCTION = 1u << 7 /* currval, lastval; together with SQL_HARMLESS_FUNCTION: nextval, setval */
};

/* Returns bits of enum sql_name_bit; 0 if the name is unknown. Case does not matter. */
unsigned sql_name_find(const char *name, size_t len);
