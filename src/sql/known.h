/*
 * src/sql/known.h - recognizes statements whose effect on the session is known from their SQL alone.
 *
 * These functions cut SQL into statements, and recognize statements whose effect pgweir knows without asking the
 * server, and some others that features of pgweir look for. All other statements, and all doubtful ones, are KNOWN_NOT;
 * pgweir handles these by their flags (scan.h). Identifiers are folded and truncated as in PostgreSQL; literals are
 * unescaped. The functions allocate nothing.
 *
 * Borrows: the SQL, as long as a known_reader reads it. A known_statement contains copies only.
 */
#pragma once

#include "sql/sql_token.h"

#include <stdint.h>

#define KNOWN_NAME_MAX 64 /* with terminator; a setting with a longer name makes the statement KNOWN_NOT */
#define KNOWN_VALUE_MAX 512 /* with terminator; a longer value makes the statement KNOWN_NOT */
#define KNOWN_STATEMENTS_MAX 8

enum known_kind {
	KNOWN_NOT, /* any other statement */
	/* SET [SESSION] name {=|TO} literal; SET TIME ZONE literal; SET NAMES literal; SET ROLE name; a SELECT of
	 * nothing but [pg_catalog.]set_config('name', 'value', false) */
	KNOWN_SET,
	KNOWN_SET_PARAMS, /* SELECT [pg_catalog.]set_config(...) with at least one parameter $n as argument */
	KNOWN_RESET, /* RESET name, SET name {=|TO} DEFAULT, SET TIME ZONE {LOCAL|DEFAULT}, RESET TIME ZONE */
	KNOWN_RESET_USER, /* SET SESSION AUTHORIZATION DEFAULT, RESET SESSION AUTHORIZATION */
	KNOWN_RESET_ALL,
	KNOWN_DISCARD_ALL,
	KNOWN_DISCARD_PART, /* DISCARD PLANS, SEQUENCES, TEMP */
	KNOWN_LOCAL, /* SET LOCAL, SET TRANSACTION, SET CONSTRAINTS, set_config('n', 'v', true) */
	KNOWN_LISTEN, /* name is the channel */
	KNOWN_UNLISTEN, /* name is the channel */
	KNOWN_UNLISTEN_ALL, /* UNLISTEN * */
	KNOWN_CLOSE_ALL,
	KNOWN_UNLOCK_ALL, /* SELECT [pg_catalog.]pg_advisory_unlock_all() */
	KNOWN_BEGIN, /* BEGIN or START TRANSACTION with any options */
	KNOWN_PREPARE, /* PREPARE name ... AS; name is the statement */
	KNOWN_EXECUTE, /* EXECUTE name ...; name is the statement */
	KNOWN_DEALLOCATE, /* DEALLOCATE [PREPARE] name */
	KNOWN_DEALLOCATE_ALL,
	KNOWN_DROP_DATABASE, /* name is the database */
	KNOWN_CREATE_DATABASE, /* value is the name of its TEMPLATE, or empty */
	KNOWN_RENAME_DATABASE, /* ALTER DATABASE name RENAME TO ... */
	KNOWN_COMMIT, /* COMMIT or END; not AND CHAIN, not PREPARED */
	KNOWN_ROLLBACK, /* ROLLBACK or ABORT; not TO, not AND CHAIN, not PREPARED */
	/* The kinds below are recognized, but the SQL alone does not show their effect on the session. */
	KNOWN_FIRST_UNCERTAIN,
	KNOWN_COMMIT_CHAIN = KNOWN_FIRST_UNCERTAIN, /* COMMIT or END ... AND CHAIN */
	KNOWN_ROLLBACK_CHAIN, /* ROLLBACK or ABORT ... AND CHAIN */
	KNOWN_PREPARE_TRANSACTION,
	KNOWN_END, /* COMMIT, END, ROLLBACK or ABORT in any other form */
	KNOWN_SAVEPOINT, /* name is the savepoint */
	KNOWN_RELEASE, /* name is the savepoint */
	KNOWN_ROLLBACK_TO, /* name is the savepoint */
	/* EXECUTE name ... with an argument that is neither a literal nor a parameter, or within EXPLAIN or CREATE
	 * TABLE ... AS; name is the statement */
	KNOWN_EXECUTE_ANY,
};

/* A statement. Its kind decides which other fields have a meaning. */
struct known_statement {
	uint8_t kind; /* enum known_kind */
	/* For KNOWN_SET_PARAMS: if set_config()'s first, second or third argument is a parameter $n, that n; 0 if the
	 * argument is a literal, which is then in name, value or is_local. */
	uint8_t name_param, value_param, local_param;
	bool is_local; /* true for SET LOCAL, and if the third argument of set_config() is true */
	bool is_read_only; /* for BEGIN: the statement has READ ONLY */
	bool has_other_mode; /* for BEGIN: the statement has READ WRITE or SERIALIZABLE */
	uint8_t modes; /* for BEGIN: the index of its modes in known_modes; 0 if known_modes does not have them */
	/* The name that enum known_kind mentions. For SET and SET LOCAL: the setting's name in lower case, such as
	 * "role" or "timezone"; never "session_authorization". "" for a SET LOCAL without a setting's name, such as SET
	 * LOCAL TIME ZONE, and for a SET LOCAL whose value is needed but can't be read. */
	char name[KNOWN_NAME_MAX];
	/* For SET, and for SET LOCAL of search_path and pgweir.min_lsn: the value as set_config() takes it. The
	 * elements of a list (search_path = a, "B c") are quoted if needed, and joined by ", ". */
	char value[KNOWN_VALUE_MAX];
};

struct known_text {
	unsigned count; /* number of statements, without empty ones */
	bool is_certain; /* true if the effect of each statement is known */
	struct known_statement statements[KNOWN_STATEMENTS_MAX];
};

/* Reads a text statement by statement. */
struct known_reader {
	struct sql_lexer lexer;
	struct sql_token token; /* the current token, which was not used yet */
	bool is_at_unknown; /* the statement at the current token was not recognized, so the next call skips it */
};

/* Begins to read sql, which r borrows. options: a set of enum scan_option, which says how the session reads strings. */
void known_begin(struct known_reader *r, unsigned options, const char *sql, size_t len);
/*
 * Reads the next statement into k, whose kind is KNOWN_NOT if the statement is not recognized. Returns false at the end
 * of the SQL, or if pgweir can't tell where the next statement begins.
 */
bool known_next_statement(struct known_reader *r, struct known_statement *k);
/* Returns true if known_next_statement() has reached the end of the SQL. */
static inline bool
known_is_whole(const struct known_reader *r)
{
	return r->token.kind == SQL_END;
}

/*
 * Reads all statements of the SQL into *text. Returns false, with text->count 0, if there is no statement, if there are
 * more than fit, if the first statement is KNOWN_NOT, or if the SQL does not end properly.
 */
bool known_parse(struct known_text *text, unsigned options, const char *sql, size_t len);
/* Reads SQL that has one statement into k. Returns the statement's kind; KNOWN_NOT if there are several. */
enum known_kind known_single_statement(struct known_statement *k, unsigned options, const char *sql, size_t len);
/* Returns true for settings that last for one transaction, such as transaction_isolation. */
bool known_is_transaction_setting(const char *name);
/* The modes that a BEGIN may have, such as "read only", indexed by known_statement.modes; [0] is NULL. */
#define KNOWN_MODES 13
extern const char *const known_modes[KNOWN_MODES];

/* If the bytes may be the name of a custom setting (a.b), copies them to name, in lower case, and returns true. */
bool known_copy_custom_name(char name[static KNOWN_NAME_MAX], const char *bytes, size_t len);
/*
 * Finds the next literal that may be the name of a custom setting, copies that name to `name`, and moves r to the token
 * after the literal. Returns false if no such literal is left.
 */
bool known_next_custom_name(struct known_reader *r, char name[static KNOWN_NAME_MAX]);

/* In known_setting.c. Returns true if the setting is a list whose elements SET quotes if needed (GUC_LIST_QUOTE). */
bool known_quotes_elements(const char *name);
