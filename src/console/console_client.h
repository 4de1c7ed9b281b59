/*
 * src/console/console_client.h - one console client's session, as the console's own files share it.
 *
 *   console.c           messages come in, wait their turn, and are handled; ticks
 *   console_protocol.c  what each message asks for
 *   console_run.c       what each command does
 *
 * Always: a client's messages are handled in order: they are queued after a command that waits, while the client does
 * not read its answers, and when the console's time in this turn of the loop is over. Once it is CONSOLE_GONE, cc->c
 * may only be compared.
 */
#pragma once

#include "console/console.h"
#include "admin/console_rows.h"
#include "admin/console_command.h"
#include "admin/console_stats.h"

#define ANSWER_MAX ((size_t)64 << 20) /* bytes of rows */

enum wait_kind {
	WAIT_NONE,
	WAIT_QUIET, /* PAUSE: until no server is in use */
	WAIT_FLUSHED, /* SUSPEND: until all that was read is sent */
	WAIT_CLOSED, /* WAIT_CLOSE: until the servers that were to be closed are gone */
	WAIT_BLOCKING, /* until PostgreSQL has said who blocks whom, or has not */
	WAIT_TURN /* no command waits: until the loop has served others, as the console has had its time in this turn */
};

enum ending { ENDING_NONE, ENDING_SHUTDOWN, ENDING_SELF };

struct console_client {
	struct console *console;
	struct client *c;
	TAILQ_ENTRY(console_client) all;
	uint8_t tx; /* as in ReadyForQuery: I, T, E */
	bool is_skipping; /* behind a message of the extended protocol: to the next Sync */
	enum { CONSOLE_IDLE, CONSOLE_BUSY /* not to be freed */, CONSOLE_GONE /* the client was closed */ } life;
	bool is_reading_off; /* the console has switched reading off */
	enum ending ending; /* what is to be done once the answer is sent */
	enum shutdown_how shutdown_how;
	struct buf out; /* answers, until they are sent */
	/* a command that waits */
	enum wait_kind wait;
	bool has_wait_database;
	char wait_database[COMMAND_NAME_MAX + 1];
	const char *wait_tag; /* the tag of its CommandComplete */
	struct buf queue; /* messages, as on the wire: the one that is handled, or next, is the first */
	size_t script_at; /* how much of that one's SQL was read, if some of its statements are yet to be run */
	bool has_answered; /* one of them was answered */
};

struct console {
	struct console_host host;
	struct console_stats *stats;
	struct stats_log stats_log;
	TAILQ_HEAD(, console_client) clients;
	TAILQ_HEAD(, console_client) gone; /* whose PAUSE or SUSPEND is still to be taken back */
	struct console_client *tick_next; /* of a walk over clients */
	struct timer turn; /* pending in a turn of the loop in which the console has done something; until then: */
	uint64_t turn_until_us;
};

/* RUN_DONE and RUN_FAILED are the 0 and -1 of functions that set *why. */
enum run_result { RUN_FAILED = -1, RUN_DONE, RUN_WAITS };

/* A command without rows that is run. All is borrowed for the call. */
struct run {
	struct console_client *cc;
	const struct console_host *host; /* its console's */
	const struct command *command;
	const char *tag; /* the table's; whoever runs the command may change it */
	struct fail *why; /* is set by FAILED */
};

/* console.c: returns true if the console has had its time in this turn of the loop. */
bool console_turn_is_over(const struct console *k);

/* console_protocol.c. Answers are put to cc->out or sent. */
/* Handles a message, or what is left of it. Returns false if something is left for later: cc->wait says until when,
 * or the client is to read more of its answers. */
bool console_handle(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len);
/* A wait is over, as result says. Returns false if it failed, and with it the message that has waited. */
bool console_go_on(struct console_client *cc, int result, const struct fail *why);
/* Sends what is in cc->out. */
void console_flush(struct console_client *cc);

/* console_run.c */
/* Reads the next statement. Returns 0, or -1 with *why set: it is wrong, or this client may not use it. */
int console_read(struct console_client *cc, const char *text, size_t len, size_t *used, struct command *out,
		 struct fail *why);
/* The columns of its rows; 0: it has none. scratch is for one whose name is known only now. */
size_t console_columns(const struct console *k, const struct command *command, struct column *scratch,
		       const struct column **out);
/* Appends its rows as DataRow messages. Returns 0, or -1 with *why set: out is too small, or a worker is silent. */
int console_rows(struct console_client *cc, const struct command *command, struct buf *out, uint64_t *count,
		 struct fail *why);
enum run_result console_run(struct run *r);
/* Returns true if it must wait for PostgreSQL's answer about locks; asks if need be. */
bool console_asks_first(struct console_client *cc, const struct command *command);
/* Returns 1 if the wait is over, 0 if not, or -1 with *why set if it failed. */
int console_wait_result(const struct console_client *cc, struct fail *why);
