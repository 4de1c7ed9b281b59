/*
 * src/admin/console_command.h - which commands the console knows, who may give them, and how they are read.
 *
 * One table: the words of a command, its tag, what may follow, whether it takes an admin, and its line in SHOW HELP.
 * Commands that only drivers send (BEGIN, SELECT 1 ...) stand there too, without a line. Pure.
 */
#ifndef PGWEIR_ADMIN_CONSOLE_COMMAND_H
#define PGWEIR_ADMIN_CONSOLE_COMMAND_H

#include "admin/console_settings.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_id {
	/* answered with rows */
	COMMAND_SHOW_POOLS,
	COMMAND_SHOW_POOLS_EXTENDED,
	COMMAND_SHOW_CLIENTS,
	COMMAND_SHOW_SERVERS,
	COMMAND_SHOW_SOCKETS,
	COMMAND_SHOW_ACTIVE_SOCKETS,
	COMMAND_SHOW_WAITERS,
	COMMAND_SHOW_PINS,
	COMMAND_SHOW_DATABASE_CODE,
	COMMAND_SHOW_AUDIT,
	COMMAND_SHOW_DATABASES,
	COMMAND_SHOW_USERS,
	COMMAND_SHOW_STATS,
	COMMAND_SHOW_STATS_TOTALS,
	COMMAND_SHOW_STATS_AVERAGES,
	COMMAND_SHOW_TOTALS,
	COMMAND_SHOW_LATENCY,
	COMMAND_SHOW_ERRORS,
	COMMAND_SHOW_BACKENDS,
	COMMAND_SHOW_PREPARED,
	COMMAND_SHOW_CONFIG,
	COMMAND_SHOW_CONFIG_ERRORS,
	COMMAND_SHOW_METRICS,
	COMMAND_SHOW_LISTS,
	COMMAND_SHOW_STATE,
	COMMAND_SHOW_MEM,
	COMMAND_SHOW_VERSION,
	COMMAND_SHOW_HELP,
	COMMAND_SHOW_DNS_HOSTS,
	COMMAND_SHOW_DNS_ZONES,
	COMMAND_SHOW_PEERS,
	COMMAND_SHOW_PEER_POOLS,
	COMMAND_SHOW_SETTING,
	COMMAND_SELECT_ONE,
	COMMAND_SELECT_VERSION,
	COMMAND_SELECT_SCHEMA,
	COMMAND_SELECT_DATABASE,
	COMMAND_SELECT_RECOVERY,
	COMMAND_SELECT_UNLOCK,
	COMMAND_SELECT_TYPES,
	COMMAND_WITH_ROWS, /* how many there are before this */
	/* that do something */
	COMMAND_RELOAD = COMMAND_WITH_ROWS,
	COMMAND_REOPEN,
	COMMAND_PAUSE,
	COMMAND_RESUME,
	COMMAND_RECONNECT,
	COMMAND_WAIT_CLOSE,
	COMMAND_KILL,
	COMMAND_KILL_CLIENT,
	COMMAND_SHUTDOWN,
	COMMAND_SHUTDOWN_WAIT,
	COMMAND_SET,
	COMMAND_RESET,
	COMMAND_BEGIN,
	COMMAND_COMMIT,
	COMMAND_ROLLBACK,
	COMMAND_DISCARD,
	COMMAND_DEALLOCATE,
	COMMAND_NOTHING, /* known, and nothing is to be done */
	COMMAND_SET_CONFIGURATION, /* a SET of one of pgweir's own settings; whoever runs it finds that out */
	COMMAND_REFUSED, /* known, but not to be had */
	COMMAND_COUNT
};

enum command_argument {
	ARGUMENT_NONE,
	ARGUMENT_LIKE, /* nothing, or LIKE 'pattern' */
	ARGUMENT_DATABASE, /* nothing, or a name */
	ARGUMENT_CLIENT, /* a number */
	ARGUMENT_SETTING, /* SHOW of one that exists */
	ARGUMENT_SET, /* name = value */
	ARGUMENT_RESET, /* ALL, or a name */
	ARGUMENT_STATEMENT, /* ALL, or a name */
	ARGUMENT_ANY /* not looked at */
};

struct command_row {
	enum command_id id;
	const char *phrase; /* words and signs, each followed by one blank but the last */
	const char *tag; /* of CommandComplete */
	enum command_argument argument;
	bool needs_admin;
	const char *what, *example; /* for people; NULL: only drivers send it. Of refused ones: what to do instead */
};

#define COMMAND_NAME_MAX 127 /* "tenant/database" */
#define COMMAND_TEXT_MAX 255

/* One that was read. */
struct command {
	const struct command_row *row; /* NULL: an empty statement */
	const struct console_setting *setting; /* SHOW, SET and RESET; NULL: of no consequence here */
	bool has_name, has_text;
	char name[COMMAND_NAME_MAX + 1]; /* a database, a setting, a prepared statement */
	char text[COMMAND_TEXT_MAX + 1]; /* the pattern of LIKE, the value of SET (none: DEFAULT) */
	uint64_t client_id;
};

/*
 * Reads the first statement of text, up to its semicolon or the end of text; *used bytes were it. -1 and why (42601):
 * not a command, with the nearest one as a hint.
 */
int command_parse(const char *text, size_t len, size_t *used, struct command *out, struct fail *why);
const struct command_row *command_row(size_t i); /* NULL after the last one */
const struct command_row *command_find(enum command_id id); /* the first with this id */
/* 0, or -1 and why (42501). */
int command_check_permission(const struct command_row *row, bool is_stats_only, struct fail *why);

#endif
