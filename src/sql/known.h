/*
 * src/sql/known.h - recognises statements whose effect on the session is known from their SQL alone.
 *
 * Cuts SQL into its statements and recognises those that need no probe, and some others that features look for. Pure,
 * no allocation. Anything else, or anything doubtful, is KNOWN_NOT: then scan.h's flags decide. Identifiers are folded
 * and truncated as PostgreSQL does, literals are unescaped.
 *
 * Borrows: the SQL, until its reader is done; what is recognised holds copies.
 */
#pragma once

#include "sql/sql_token.h"

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
	KNOWN_PREPARE, /* PREPARE name ... AS: name */
	KNOWN_EXECUTE, /* EXECUTE name ...: name */
	KNOWN_DEALLOCATE, /* [PREPARE] name */
	KNOWN_DEALLOCATE_ALL,
	KNOWN_DROP_DATABASE, /* name */
	KNOWN_CREATE_DATABASE, /* value: its TEMPLATE's name, or empty */
	KNOWN_RENAME_DATABASE, /* ALTER DATABASE name RENAME TO ... */
	KNOWN_COMMIT, /* COMMIT, END; not AND CHAIN, not PREPARED */
	KNOWN_ROLLBACK, /* ROLLBACK, ABORT; not TO, not AND CHAIN, not PREPARED */
	/* From here on: recognised, but what they do to the session is not known from them alone. */
	KNOWN_RECOGNISED,
	KNOWN_COMMIT_CHAIN = KNOWN_RECOGNISED, /* COMMIT, END ... AND CHAIN */
	KNOWN_ROLLBACK_CHAIN, /* ROLLBACK, ABORT ... AND CHAIN */
	KNOWN_PREPARE_TRANSACTION,
	KNOWN_END, /* COMMIT, END, ROLLBACK, ABORT in any other form */
	KNOWN_SAVEPOINT, /* name */
	KNOWN_RELEASE, /* name */
	KNOWN_ROLLBACK_TO, /* name */
	KNOWN_EXECUTE_ANY, /* EXECUTE name ... with other arguments than literals and parameters, or in EXPLAIN or
			    * CREATE TABLE ... AS: name */
};

struct known {
	uint8_t kind; /* enum known_kind */
	/* KNOWN_SET_PARAMS: which $n (1...) gives the name, value and is_local; 0: literal, in name, value, is_local */
	uint8_t name_param, value_param, local_param;
	bool is_local; /* SET LOCAL, and the third argument of set_config() */
	bool is_read_only, has_other_mode; /* BEGIN: READ ONLY; READ WRITE or SERIALIZABLE */
	uint8_t modes; /* BEGIN: which of known_modes it has; 0: others */
	/* SET, SET LOCAL ("": one with a syntax of its own): the setting, as written but folded, "role", "timezone",
	 * "client_encoding"; "session_authorization" is never known. */
	char name[KNOWN_NAME_MAX];
	/* SET, SET LOCAL search_path and pgweir.min_lsn: as set_config() takes it: lists (search_path = a, "B c")
	 * joined by ", " and quoted as needed. */
	char value[KNOWN_VALUE_MAX];
};

struct known_text {
	unsigned count; /* statements; empty ones do not count */
	bool is_all; /* count is right, and of each the effect is known */
	struct known statements[KNOWN_STATEMENTS_MAX];
};

/* Reads a text statement by statement. */
struct known_reader {
	struct sql_lexer lexer;
	struct sql_token token; /* the current one */
	bool is_at_unknown; /* the statement that begins there is to be passed over */
};

/* options: enum scan_option, how the client's session reads strings. Borrows the SQL. */
void known_begin(struct known_reader *r, unsigned options, const char *sql, size_t len);
/*
 * Reads the next statement into k, which is KNOWN_NOT if it is another one. Returns false at the end, and where it
 * can't be told how the SQL goes on.
 */
bool known_step(struct known_reader *r, struct known *k);
/* Returns true if known_step() has come to the end of all SQL. */
static inline bool
known_is_whole(const struct known_reader *r)
{
	return r->token.kind == SQL_END;
}

/*
 * Reads all statements. Returns false, with count 0, if there are none, if the first is KNOWN_NOT (that is found out
 * quickly), if there are more than fit, or if the SQL does not end properly.
 */
bool known_parse(struct known_text *text, unsigned options, const char *sql, size_t len);
/* Returns the kind of the only statement of this SQL, and fills k; KNOWN_NOT: there are several, or it is another. */
enum known_kind known_only(struct known *k, unsigned options, const char *sql, size_t len);
/* Returns true for settings that each transaction begins with anew: transaction_isolation, for one. */
bool known_is_of_transaction(const char *name);
/* Modes with which a transaction begins, from 1 on. A standby can't begin one with those that has_other_mode tells. */
#define KNOWN_MODES 13
extern const char *const known_modes[KNOWN_MODES];

/*
 * Copies these bytes to name, in lower case, if they may be the name of a custom setting (a.b). Returns false if not.
 */
bool known_take_custom(char name[static KNOWN_NAME_MAX], const char *bytes, size_t len);
/* Goes on behind the next literal of the SQL that may be such a name, and copies it. Returns false if none is left. */
bool known_next_custom(struct known_reader *r, char name[static KNOWN_NAME_MAX]);

/* known_setting.c: returns true if SET quotes its elements (GUC_LIST_QUOTE); no extension has such settings. */
bool known_quotes_elements(const char *name);
