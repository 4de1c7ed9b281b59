/*
 * src/admin/console_command.h - which commands the console knows, who may give them, and how they are read.
 *
 * One table: the words of a command, its tag, what may follow, whether it takes an admin, and its line in SHOW HELP.
 * Commands that only drivers send (BEGIN, SELECT 1 ...) stand there too, without a line. Pure.
 *
 * Owns:    struct command its texts, which are within it.
 * Borrows: rows and settings are of static tables; a lexer reads the caller's text.
 * Always:  a command that was read has a row, unless the statement is empty.
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
/*
 * Commands that act: ROW(id, the function that runs it). NOTHING is known and does nothing, SET_CONFIGURATION is a SET of one of
 * pgweir's own settings (the reader of the SET finds out which), REFUSED is known but not offered. From PAUSE to KILL_CLIENT
 * stand those that concern the clients and pools of all workers.
 */
#define RUN_LIST(ROW) \
	ROW(RELOAD, run_reload) ROW(REOPEN, run_reopen) ROW(PAUSE, run_pause) ROW(RESUME, run_resume) \
	ROW(DISABLE, run_disable) ROW(ENABLE, run_disable) ROW(SUSPEND, run_suspend) \
	ROW(RECONNECT, run_reconnect) ROW(WAIT_CLOSE, run_wait_close) ROW(KILL, run_kill) \
	ROW(KILL_CLIENT, run_kill_client) ROW(SHUTDOWN, run_shutdown) ROW(SHUTDOWN_SERVERS, run_shutdown) \
	ROW(SHUTDOWN_CLIENTS, run_shutdown) ROW(RESTART, run_restart) \
	ROW(RESET_QUERIES, run_reset_queries) ROW(SET, run_nothing) ROW(BEGIN, run_begin) ROW(COMMIT, run_end) \
	ROW(ROLLBACK, run_end) ROW(NOTHING, run_nothing) ROW(SET_CONFIGURATION, run_set_configuration) ROW(REFUSED, run_refused)

enum command_id {
	/* answered with rows */
	SHOW_LIST(SHOW_ID)
	COMMAND_SHOW_SETTING,
	ANSWER_LIST(ANSWER_ID)
	COMMAND_WITH_ROWS, /* how many there are before this */
	/* that do something */
	COMMAND_BEFORE_RUNS = COMMAND_WITH_ROWS - 1,
	RUN_LIST(RUN_ID)
	COMMAND_COUNT
};
/* clang-format on */

enum command_argument {
	ARGUMENT_NONE,
	ARGUMENT_LIKE, /* nothing, or LIKE 'pattern' */
	ARGUMENT_DATABASE, /* nothing, or a name */
	ARGUMENT_ONE_DATABASE, /* a name */
	ARGUMENT_CLIENT, /* a number */
	ARGUMENT_SETTING, /* SHOW of one that exists */
	ARGUMENT_SET, /* name = value */
	ARGUMENT_RESET, /* a name, or ALL, which is taken for one */
	ARGUMENT_PATTERN, /* a string; what is behind it is ignored */
	ARGUMENT_ANY /* anything, ignored */
};

struct command_row {
	enum command_id id;
	const char *phrase; /* words and signs, each followed by one blank but the last */
	const char *tag; /* CommandComplete's */
	enum command_argument argument;
	bool needs_admin;
	const char *what, *example; /* for people; NULL: only drivers send it; for a refused one, what to do instead */
};

#define COMMAND_NAME_MAX 127 /* "tenant/database" */
#define COMMAND_TEXT_MAX 255

/* Says what SHOW QUERIES has one row of. */
enum query_per { PER_NOTHING, PER_STATEMENT, PER_APPLICATION, PER_USER, PER_COUNT };

/* A command as command_parse() has read it. */
struct command {
	const struct command_row *row; /* NULL: an empty statement */
	const struct console_setting *setting; /* SHOW and SET; NULL: SET of a name that is not one of these */
	bool has_name, has_text;
	bool is_for; /* SHOW DATABASE_CODE FOR: text is the SQL */
	char name[COMMAND_NAME_MAX + 1]; /* a database, a setting */
	char text[COMMAND_TEXT_MAX + 1]; /* the pattern of LIKE, the value of SET (none: DEFAULT) */
	uint64_t client_id;
	uint64_t top; /* SHOW QUERIES: how many rows; 0: all */
	size_t order; /* the same: by which column; 0: total_ms */
	unsigned per; /* the same: enum query_per */
};

/* --- console_parse.c --- */

/*
 * Reads the first statement of text, up to its semicolon or the end of text; *used bytes were it. -1 and why (42601):
 * not a command, with the nearest one as a hint.
 */
int command_parse(const char *text, size_t len, size_t *used, struct command *out, struct fail *why);

/* --- console_command.c --- */

const struct command_row *command_row(size_t i); /* NULL after the last one */
const struct command_row *command_find(enum command_id id); /* the first with this id */
/* Returns 0, or -1 with *why set (42501). */
int command_check_permission(const struct command_row *row, bool is_stats_only, struct fail *why);

/*
 * --- console_settings.c: the session settings that drivers ask the console for, or set, on their own. Names and values
 * look like PostgreSQL's; as nothing here depends on them, to set one changes nothing. Pure.
 */
struct console_setting {
	const char *name, *value;
};

/* Finds a setting, ignoring case; NULL if there is none. */
const struct console_setting *console_setting_find(const char *name);
