/*
 * src/sql/known.h - recognises statements whose effect on the session is known from their SQL alone.
 *
 * Cuts SQL into its statements and recognises those that need no probe. Pure, no allocation. Anything else, or anything
 * doubtful, is KNOWN_NOT: then scan.h's flags decide. Identifiers are folded and truncated as PostgreSQL does, literals
 * are unescaped.
 */
#ifndef PGWEIR_SQL_KNOWN_H
#define PGWEIR_SQL_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KNOWN_NAME_MAX 64 /* with terminator; a longer setting's name makes the statement KNOWN_NOT */
#define KNOWN_VALUE_MAX 512 /* with terminator; a longer value makes the statement KNOWN_NOT */
#define KNOWN_STATEMENTS_MAX 8

enum known_kind {
	KNOWN_NOT, /* another statement: its effect is not known */
	KNOWN_SET, /* SET [SESSION] name {=|TO} literal; SET TIME ZONE literal; SET NAMES literal; SET ROLE name;
		    * SELECT [pg_catalog.]set_config('name', 'value', false) and nothing more */
	KNOWN_SET_PARAMS, /* SELECT [pg_catalog.]set_config(...) with $n among name, value, is_local */
	KNOWN_RESET, /* RESET name, SET name {=|TO} DEFAULT, SET TIME ZONE {LOCAL|DEFAULT}, RESET TIME ZONE */
	KNOWN_RESET_USER, /* SET SESSION AUTHORIZATION DEFAULT, RESET SESSION AUTHORIZATION */
	KNOWN_RESET_ALL,
	KNOWN_DISCARD_ALL,
	KNOWN_DISCARD_PART, /* DISCARD PLANS, SEQUENCES, TEMP */
	KNOWN_LOCAL, /* SET LOCAL, SET TRANSACTION, SET CONSTRAINTS, set_config('n', 'v', true) */
	KNOWN_LISTEN, /* name: the channel */
	KNOWN_UNLISTEN, /* name: the channel */
	KNOWN_UNLISTEN_ALL, /* UNLISTEN * */
	KNOWN_CLOSE_ALL,
	KNOWN_UNLOCK_ALL, /* SELECT [pg_catalog.]pg_advisory_unlock_all() */
	KNOWN_BEGIN, /* BEGIN, START TRANSACTION with any options */
	KNOWN_COMMIT, /* COMMIT, END; not AND CHAIN, not PREPARED */
	KNOWN_ROLLBACK, /* ROLLBACK, ABORT; not TO, not AND CHAIN, not PREPARED */
	KNOWN_PREPARE, /* PREPARE name ... AS: name */
	KNOWN_EXECUTE, /* EXECUTE name ...: name */
	KNOWN_DEALLOCATE, /* [PREPARE] name */
	KNOWN_DEALLOCATE_ALL,
	KNOWN_DROP_DATABASE, /* name */
	KNOWN_CREATE_DATABASE, /* value: its TEMPLATE's name, or empty */
	KNOWN_RENAME_DATABASE, /* ALTER DATABASE name RENAME TO ... */
	/* of known_each_mark only */
	KNOWN_SAVEPOINT, /* name */
	KNOWN_RELEASE, /* name */
	KNOWN_ROLLBACK_TO, /* name */
	KNOWN_END /* COMMIT, END, ROLLBACK, ABORT in any other form, PREPARE TRANSACTION */
};

struct known {
	uint8_t kind; /* enum known_kind */
	/* KNOWN_SET_PARAMS: which $n (1...) gives the name, value and is_local; 0: literal, in name, value, is_local */
	uint8_t name_param, value_param, local_param;
	bool is_local;
	/* SET: the setting, as written but folded, "role", "timezone", "client_encoding"; "session_authorization" is
	 * never known. */
	char name[KNOWN_NAME_MAX];
	/* SET: as set_config() takes it: lists (search_path = a, "B c") joined by ", " and quoted as needed. */
	char value[KNOWN_VALUE_MAX];
};

struct known_text {
	unsigned count; /* statements; empty ones do not count */
	bool is_all; /* count is right and none is KNOWN_NOT */
	struct known statements[KNOWN_STATEMENTS_MAX];
};

/*
 * options: enum scan_option. Returns false quickly if the first word is none that could be known (the first statement
 * is KNOWN_NOT); or if there are more statements than fit, or the SQL does not end properly: then text->count is 0.
 */
bool known_parse(struct known_text *text, unsigned options, const char *sql, size_t len);

/*
 * Calls on for each UNLISTEN and each statement that divides or ends a transaction, in their order, among any others.
 * on returns 0 to continue; returns what it returned last. SQL that does not end properly is read as far as it goes.
 */
/* known_setting.c: returns true if its elements are quoted when they come from SET (GUC_LIST_QUOTE); no extension has
 * such. */
bool known_quotes_elements(const char *name);

typedef int known_on_mark(void *arg, const struct known *mark);
int known_each_mark(unsigned options, const char *sql, size_t len, known_on_mark *on, void *arg);
/* As known_each_mark(), for each PREPARE, EXECUTE (with any arguments) and DEALLOCATE. */
int known_each_call(unsigned options, const char *sql, size_t len, known_on_mark *on, void *arg);

#endif
