/*
 * src/console/console_client.h - the session of a console client; declarations that console*.c share.
 *
 *   console.c           queues messages and handles them in turn; ticks
 *   console_protocol.c  handles each message
 *   console_run.c       runs each command
 *
 * Always: a client's messages are handled in order. Messages are queued while a command waits, while the client does
 *         not read its answers, and once the console has used up its time in this turn of the event loop. In the state
 *         CONSOLE_GONE, the pointer to the client is invalid.
 */
#pragma once

#include "console/console.h"
#include "admin/console_rows.h"
#include "admin/console_command.h"
#include "admin/console_stats.h"

#define ANSWER_MAX ((size_t)64 << 20) /* bytes of one answer's rows */

enum wait_kind {
	WAIT_NONE,
	WAIT_QUIET, /* PAUSE waits until no server is in use */
	WAIT_FLUSHED, /* SUSPEND waits until everything that was read has been sent */
	WAIT_CLOSED, /* WAIT_CLOSE waits until the servers that are to be closed are closed */
	WAIT_BLOCKING, /* a SHOW waits until PostgreSQL has told, or failed to tell, which sessions block which */
	WAIT_TURN /* the console has used up its time in this turn of the loop, so other clients come first */
};

/* Says what ends after the answer was sent: nothing, the process, or the client (by KILL_CLIENT with its own id). */
enum ending { ENDING_NONE, ENDING_SHUTDOWN, ENDING_SELF };

struct console_client {
	struct console *console;
	struct client *c;
	TAILQ_ENTRY(console_client) all;
	uint8_t tx; /* the transaction status in ReadyForQuery: I, T or E */
	bool is_skipping; /* true after an error in the extended protocol, until the next Sync: messages are ignored */
	/* BUSY: a message is being handled, so this struct must not be freed. GONE: the client was closed. */
	enum { CONSOLE_IDLE, CONSOLE_BUSY, CONSOLE_GONE } state;
	bool is_reading_off; /* true if the console has stopped reading from the client */
	enum ending ending;
	enum shutdown_how shutdown_how; /* for ENDING_SHUTDOWN */
	struct buf out; /* answers that were not sent yet */
	enum wait_kind wait; /* what the session waits for; the next three fields describe the command that waits */
	bool has_wait_database; /* true if the command is about one database only, wait_database */
	char wait_database[COMMAND_NAME_MAX + 1];
	const char *wait_tag; /* the tag for the command's CommandComplete */
	struct buf queue; /* messages in wire format; the first one is being handled, or will be handled next */
	size_t script_at; /* where the statement to run next begins in the SQL of the first message */
	bool has_answered; /* true if a statement of the first message was answered */
};

struct console {
	struct console_host host;
	struct console_stats *stats;
	struct stats_log stats_log;
	TAILQ_HEAD(, console_client) clients;
	TAILQ_HEAD(, console_client) gone; /* closed clients whose PAUSE or SUSPEND must still be undone */
	struct console_client *tick_next; /* the client that console_tick() handles next; NULL between ticks */
	/* set from the console's first work in a turn of the event loop until the next turn */
	struct timer turn;
	uint64_t turn_until_us; /* when the console's share of this turn ends */
};

/* Results of running a command. RUN_DONE and RUN_FAILED have the usual values 0 and -1 (with *why set). */
enum run_result { RUN_FAILED = -1, RUN_DONE, RUN_WAITS };

/* A command without rows that is being run. All pointers are borrowed for the call. */
struct run {
	struct console_client *cc;
	const struct console_host *host; /* the console's host */
	const struct command *command;
	const char *tag; /* the table's tag; the function that runs the command may replace it */
	struct fail *why; /* set if the command has failed */
};

/* console.c: returns true if the console has used up its time in this turn of the loop. */
bool console_turn_is_over(const struct console *k);

/* --- console_protocol.c: answers are appended to cc->out, or sent --- */
/* Handles a message, or the rest of a script from cc->script_at on. Returns true if the message is done; or false if
 * the rest must wait, for cc->wait or until the client has read more of its answers. */
bool console_handle(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len);
/* Ends the wait in cc->wait; `result` is from console_check_wait(). If it is -1, ends the message and returns false. */
bool console_end_wait(struct console_client *cc, int result, const struct fail *why);
/* Sends the contents of cc->out. */
void console_flush(struct console_client *cc);

/* --- console_run.c --- */
/* Parses the statement at the front of text, and sets *used to its length. Returns 0, or -1 with *why set if there is
 * no such command, or if this client may not give it. */
int console_parse_statement(struct console_client *cc, const char *text, size_t len, size_t *used, struct command *out,
			    struct fail *why);
/* Sets *out to the columns of the command's rows, and returns their number; 0 if the command has no rows. *out may
 * point to *scratch, for a column whose name is known only at run time. */
size_t console_get_columns(const struct console *k, const struct command *command, struct column *scratch,
			   const struct column **out);
/* Appends the command's rows as DataRow messages, and sets *count to their number. Returns 0, or -1 with *why set if
 * the rows exceed the limit of out, a worker does not answer, or the client may not give this command any more. */
int console_put_rows(struct console_client *cc, const struct command *command, struct buf *out, uint64_t *count,
		     struct fail *why);
enum run_result console_run(struct run *r); /* runs a command without rows */
/* Asks PostgreSQL about locks if the command needs that. Returns true with cc->wait set if the command must wait. */
bool console_ask_locks(struct console_client *cc, const struct command *command);
/* Returns 1 if the wait in cc->wait is over or there is none, 0 if it goes on, or -1 with *why set if it has failed. */
int console_check_wait(const struct console_client *cc, struct fail *why);
