/*
 * src/admin/console_command.h - the commands of the console, the permissions that they need, and their parser.
 *
 * A table has a row for each command: its words, its tag, its argument, whether it needs an admin, and its line in SHOW
 * HELP. Commands that only drivers send (BEGIN, SELECT 1 ...) have no line in SHOW HELP. Pure.
 *
 * Borrows: the pointers in struct command lead to static tables.
 * Always:  a parsed command has a row, unless the statement is empty.
 */
#pragma once

#include "admin/show_list.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHOW_ID(id, name, may, what, example) COMMAND_SHOW_##id,
#define ANSWER_ID(id, name) COMMAND_SELECT_##id,
#define RUN_ID(id, run) COMMAND_##id,

/* clang-format off */
/* Commands without rows: ROW(id, the function that runs it). NOTHING is accepted and does nothing. command_parse()
 * returns SET_CONFIGURATION instead of SET if the setting is one of pgweir's configuration. REFUSED is answered with an
 * error that says what to do instead. The commands from PAUSE to KILL_CLIENT run in a halt (console_host.h). */
#define RUN_LIST(ROW) \
	ROW(RELOAD, run_reload) ROW(REOPEN, run_reopen) ROW(PAUSE, run_pause) ROW(RESUME, run_resume) \
	ROW(DISABLE, run_disable_or_enable) ROW(ENABLE, run_disable_or_enable) ROW(SUSPEND, run_suspend) \
	ROW(RECONNECT, run_reconnect) ROW(WAIT_CLOSE, run_wait_close) ROW(KILL, run_kill) \
	ROW(KILL_CLIENT, run_kill_client) ROW(SHUTDOWN, run_shutdown) ROW(SHUTDOWN_SERVERS, run_shutdown) \
	ROW(SHUTDOWN_CLIENTS, run_shutdown) ROW(RESTART, run_restart) \
	ROW(RESET_QUERIES, run_reset_queries) ROW(SET, run_nothing) ROW(BEGIN, run_begin) ROW(COMMIT, run_end) \
	ROW(ROLLBACK, run_end) ROW(NOTHING, run_nothing) ROW(SET_CONFIGURATION, run_set_configuration) ROW(REFUSED, run_refused)

enum command_id {
	/* commands that are answered with rows */
	SHOW_LIST(SHOW_ID)
	COMMAND_SHOW_SETTING,
	ANSWER_LIST(ANSWER_ID)
	COMMAND_WITH_ROWS, /* the number of the commands above */
	/* commands that are not answered with rows; the first has the value COMMAND_WITH_ROWS, too */
	COMMAND_BEFORE_RUNS = COMMAND_WITH_ROWS - 1,
	RUN_LIST(RUN_ID)
	COMMAND_COUNT
};
/* clang-format on */

enum command_argument {
	ARGUMENT_NONE,
	ARGUMENT_LIKE, /* nothing, or LIKE 'pattern'; for SHOW QUERIES, READS and DATABASE_CODE also other words */
	ARGUMENT_DATABASE, /* nothing, or a name */
	ARGUMENT_ONE_DATABASE, /* a name */
	ARGUMENT_CLIENT, /* the id of a client */
	ARGUMENT_SETTING, /* for SHOW: the name of a setting in console_settings.c; SHOW alone means SHOW HELP */
	ARGUMENT_SET, /* name = value */
	ARGUMENT_RESET, /* a name, or ALL, which is treated as a name */
	ARGUMENT_PATTERN, /* a string; anything else is ignored */
	ARGUMENT_ANY /* any words; all are ignored */
};

struct command_row {
	enum command_id id;
	/* the command's first words and punctuation, separated by single spaces: "SHOW POOLS", "SELECT VERSION ( )" */
	const char *phrase;
	const char *tag; /* the tag in CommandComplete */
	enum command_argument argument;
	bool needs_admin;
	/* *what is the description in SHOW HELP, and *example the example. Both are NULL if SHOW HELP leaves the
	 * command out; but for COMMAND_REFUSED, *what says what to do instead */
	const char *what, *example;
};

#define COMMAND_NAME_MAX 127 /* "tenant/database" */
#define COMMAND_TEXT_MAX 255

/* The word after PER in SHOW QUERIES; PER_NOTHING if there is no PER. */
enum query_per { PER_NOTHING, PER_STATEMENT, PER_APPLICATION, PER_USER, PER_COUNT };

/* A command that command_parse() has parsed. */
struct command {
	const struct command_row *row; /* NULL for an empty statement */
	const struct console_setting *setting; /* the named setting; NULL if console_settings.c has no such setting */
	bool has_name; /* true if the field name is set */
	bool has_text; /* true if the field text holds the value of LIKE or SET, or the string of ARGUMENT_PATTERN */
	bool has_for; /* true for SHOW DATABASE_CODE FOR, whose SQL is in the field text */
	char name[COMMAND_NAME_MAX + 1]; /* a database's or a setting's name, or client_id as text */
	char text[COMMAND_TEXT_MAX + 1]; /* see has_text and has_for; not set for SET ... TO DEFAULT */
	uint64_t client_id; /* KILL_CLIENT and EXPLAIN WAIT: the client's id */
	uint64_t top; /* SHOW QUERIES and SHOW READS: the maximum number of rows; 0 for all */
	size_t order; /* SHOW QUERIES: index of the column by which rows are ordered; 0 for total_ms */
	unsigned per; /* SHOW QUERIES: enum query_per */
};

/* --- console_parse.c --- */

/* Parses the first statement of `text`, up to its semicolon or the end of `text`, and sets *used to its length in
 * bytes. Returns 0, or -1 with *why set (42601); for an unknown command, the hint may name a similar command. */
int command_parse(const char *text, size_t len, size_t *used, struct command *out, struct fail *why);

/* --- console_command.c --- */

const struct command_row *command_row(size_t i); /* returns row i of the table, NULL after the last */
const struct command_row *command_find(enum command_id id); /* returns the first row with this id */
/* Checks that a client may give this command. is_stats_only: the client's user is in stats_users, but not in
 * admin_users. Returns 0, or -1 with *why set (42501). */
int command_check_permission(const struct command_row *row, bool is_stats_only, struct fail *why);

/*
 * --- console_settings.c: session settings that drivers query or set in the console by themselves, with PostgreSQL's
 * names and values. A SET changes nothing, because nothing depends on the values. Pure.
 */
struct console_setting {
	const char *name, *value;
};

/* Returns the setting with this name, ignoring case; NULL if there is none. */
const struct console_setting *console_setting_find(const char *name);
