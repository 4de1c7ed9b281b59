/*
 * src/console/console_client.h - a console client's session, shared by the console's files.
 *
 *   console.c           queues messages and handles them in turn; ticks
 *   console_protocol.c  handles each message
 *   console_run.c       runs each command
 *
 * Always: a client's messages are handled in order. Messages are queued while a command waits, while the client does
 *         not read its answers, and once the console has used up its time in this turn of the loop. When a session is
 *         CONSOLE_GONE, its pointer c may only be compared.
 */
#pragma once

#include "console/console.h"
#include "admin/console_rows.h"
#include "admin/console_command.h"
#include "admin/console_stats.h"

#define ANSWER_MAX ((size_t)64 << 20) /* bytes of one answer's rows */

enum wait_kind {
	WAIT_NONE,
	WAIT_QUIET, /* PAUSE: until no server is in use */
	WAIT_FLUSHED, /* SUSPEND: until everything that was read has been sent */
	WAIT_CLOSED, /* WAIT_CLOSE: until the servers that were to be closed are closed */
	WAIT_BLOCKING, /* until PostgreSQL has said which sessions block which, or has failed to */
	/* no command waits, but the console has used up its time in this turn, so the loop serves other clients
	 * first */
	WAIT_TURN
};

enum ending { ENDING_NONE, ENDING_SHUTDOWN, ENDING_SELF };

struct console_client {
	struct console *console;
	struct client *c;
	TAILQ_ENTRY(console_client) all;
	uint8_t tx; /* the status that ReadyForQuery has: I, T or E */
	bool is_skipping; /* after an error in the extended protocol: messages are skipped up to the next Sync */
	enum { CONSOLE_IDLE, CONSOLE_BUSY /* must not be freed */, CONSOLE_GONE /* the client was closed */ } state;
	bool is_reading_off; /* true if the console has stopped reading from the client */
	enum ending ending; /* what to do when the answer has been sent */
	enum shutdown_how shutdown_how;
	struct buf out; /* answers, until they are sent */
	/* the command that waits */
	enum wait_kind wait;
	bool has_wait_database;
	char wait_database[COMMAND_NAME_MAX + 1];
	const char *wait_tag; /* the tag in its CommandComplete */
	struct buf queue; /* messages in wire format; the first one is being handled, or will be handled next */
	/* bytes of the first message's SQL that were read, if some of its statements are still to be run */
	size_t script_at;
	bool has_answered; /* true if a statement of the queue's first message was answered */
};

struct console {
	struct console_host host;
	struct console_stats *stats;
	struct stats_log stats_log;
	TAILQ_HEAD(, console_client) clients;
	TAILQ_HEAD(, console_client) gone; /* closed clients whose PAUSE or SUSPEND must still be undone */
	struct console_client *tick_next; /* the next client of a walk through clients */
	/* set in a turn of the loop in which the console has run something; its share of that turn ends at
	 * turn_until_us */
	struct timer turn;
	uint64_t turn_until_us;
};

/* RUN_DONE and RUN_FAILED equal the results 0 and -1 of functions that set *why. */
enum run_result { RUN_FAILED = -1, RUN_DONE, RUN_WAITS };

/* A command without rows that is being run. All pointers are borrowed for the call. */
struct run {
	struct console_client *cc;
	const struct console_host *host; /* its console's host */
	const struct command *command;
	const char *tag; /* the table's tag; the function that runs the command may replace it */
	struct fail *why; /* set if the command has failed */
};

/* console.c: returns true if the console has used up its time in this turn of the loop. */
bool console_turn_is_over(const struct console *k);

/* --- console_protocol.c: answers are appended to cc->out, or sent --- */
/* Handles a message, or the rest of one. Returns true; or false if a part of the message is left for later: until the
 * wait in cc->wait is over, or until the client has read more of its answers. */
bool console_handle(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len);
/* Ends a wait with this result. Returns false if the wait has failed, and the message that has waited fails with it. */
bool console_end_wait(struct console_client *cc, int result, const struct fail *why);
/* Sends the contents of cc->out. */
void console_flush(struct console_client *cc);

/* --- console_run.c --- */
/* Reads the next statement. Returns 0, or -1 with *why set if the statement is wrong, or if this client may not use
 * it. */
int console_read(struct console_client *cc, const char *text, size_t len, size_t *used, struct command *out,
		 struct fail *why);
/* Returns the number of columns of the command's rows, 0 if it has no rows. scratch is for a column whose name is known
 * only at run time. */
size_t console_columns(const struct console *k, const struct command *command, struct column *scratch,
		       const struct column **out);
/* Appends the command's rows as DataRow messages. Returns 0, or -1 with *why set if out is too small, or if a worker
 * does not answer. */
int console_rows(struct console_client *cc, const struct command *command, struct buf *out, uint64_t *count,
		 struct fail *why);
enum run_result console_run(struct run *r);
/* Returns true if the command must wait for PostgreSQL's answer about locks; asks PostgreSQL if that is necessary. */
bool console_ask_locks(struct console_client *cc, const struct command *command);
/* Returns 1 if the wait is over, 0 if not, or -1 with *why set if it failed. */
int console_wait_result(const struct console_client *cc, struct fail *why);
