/*
 * src/console/console_protocol.c - handles messages: simple queries of one or several statements. Other requests are
 * refused. See console_client.h.
 *
 * Where PostgreSQL would skip to the next Sync, or would refuse all commands that don't end a transaction, the console
 * does the same, because drivers rely on that.
 */
#include "console/console_client.h"
#include "wire/messages.h"
#include "config/compat.h"

#include <stdio.h>
#include <string.h>

#define OUT_KEEP ((size_t)16 << 10) /* a larger buffer is freed after its contents were sent */

void
console_flush(struct console_client *cc)
{
	if (cc->state != CONSOLE_GONE && (cc->out.len > 0 || !buf_ok(&cc->out)))
		exchange_send(&cc->c->x, &cc->out);
	cc->out.len = 0;
	if (cc->out.cap > OUT_KEEP || !buf_ok(&cc->out))
		buf_fini(&cc->out);
}

static void
put_error(struct console_client *cc, const struct fail *why)
{
	struct fail reworded;

	if (cc->tx == 'T')
		cc->tx = 'E';
	compat_reword(cc->c->env->x.config, why, &reworded);
	message_error(&cc->out, "ERROR", &reworded);
}

/* --- one statement --- */

static enum run_result
show_rows(struct console_client *cc, const struct command *command, struct fail *why)
{
	struct buf rows = { .limit = ANSWER_MAX };
	struct column scratch;
	const struct column *columns;
	size_t column_count;
	uint64_t count;
	char tag[40];

	if (console_put_rows(cc, command, &rows, &count, why) < 0) {
		buf_fini(&rows);
		return RUN_FAILED;
	}
	column_count = console_get_columns(cc->console, command, &scratch, &columns);
	rows_describe(&cc->out, columns, column_count);
	/* The rows are sent without being copied to cc->out, so the contents of cc->out must be sent first. */
	console_flush(cc);
	if (cc->state != CONSOLE_GONE && rows.len > 0)
		exchange_send(&cc->c->x, &rows);
	buf_fini(&rows);
	snprintf(tag, sizeof(tag), "SELECT %llu", (unsigned long long)count);
	message_complete(&cc->out, strcmp(command->row->tag, "SELECT") == 0 ? tag : command->row->tag);
	return RUN_DONE;
}

static enum run_result
run_command(struct console_client *cc, const struct command *command, struct fail *why)
{
	enum command_id id = command->row->id;
	struct run run = {
		.cc = cc, .host = &cc->console->host, .command = command, .tag = command->row->tag, .why = why
	};
	enum run_result r;

	/* In a failed transaction, only commands that end it are accepted. */
	if (cc->tx == 'E' && id != COMMAND_COMMIT && id != COMMAND_ROLLBACK)
		return fail_set(why, "25P02",
				"current transaction is aborted, commands ignored until end of transaction block");
	if (id < COMMAND_WITH_ROWS)
		return show_rows(cc, command, why);
	r = console_run(&run);
	/* The command has no rows; its CommandComplete follows here. */
	if (r == RUN_DONE)
		message_complete(&cc->out, run.tag);
	return r;
}

/* --- simple queries --- */

static void
fail_script(struct console_client *cc, const struct fail *why)
{
	put_error(cc, why);
	message_ready(&cc->out, cc->tx);
}

/* Runs all statements from cc->script_at on. The first statement that fails ends the script. Returns console_handle()'s
 * result. */
static bool
run_script(struct console_client *cc, const char *text, size_t len)
{
	while (cc->state != CONSOLE_GONE) {
		enum run_result r = RUN_FAILED;
		struct command command;
		struct fail why;
		size_t used;

		if (stream_is_full(&cc->c->x.stream))
			return false;
		if (cc->has_answered && console_turn_is_over(cc->console)) {
			cc->wait = WAIT_TURN;
			return false;
		}
		if (console_parse_statement(cc, text + cc->script_at, len - cc->script_at, &used, &command, &why) ==
		    0) {
			if (command.row == NULL && cc->script_at + used == len)
				break;
			if (console_ask_locks(cc, &command))
				return false;
			r = command.row == NULL ? RUN_DONE : run_command(cc, &command, &why);
			cc->has_answered |= command.row != NULL;
		}
		cc->script_at += used;
		if (r == RUN_FAILED)
			fail_script(cc, &why);
		if (r != RUN_DONE)
			return r == RUN_FAILED;
	}
	if (!cc->has_answered)
		message_put(&cc->out, 'I', NULL, 0);
	message_ready(&cc->out, cc->tx);
	return true;
}

bool
console_handle(struct console_client *cc, uint8_t type, const uint8_t *body, size_t len)
{
	const uint8_t *end = len > 0 ? memchr(body, 0, len) : NULL;
	struct fail why;

	if (type == 'S') {
		cc->is_skipping = false;
		message_ready(&cc->out, cc->tx);
	} else if (cc->is_skipping)
		return true;
	else if (type == 'Q' && end != NULL && end == body + len - 1)
		return run_script(cc, (const char *)body, len - 1);
	else if (type == 'Q') {
		fail_set(&why, "08P01", "invalid message format");
		fail_script(cc, &why);
	} else if (type == 'F') {
		fail_set(&why, "0A000", "function calls are not available in the console");
		fail_script(cc, &why);
	} else if (memchr("PBDEC", type, 5) != NULL) {
		/* The rest of the request is skipped, up to the Sync. */
		fail_set(&why, "0A000", "the console accepts simple queries only");
		fail_hint(&why, "Set default_query_exec_mode=simple_protocol in pgx, preferQueryMode=simple in pgjdbc, "
				"autocommit and prepare_threshold=None in psycopg 3.");
		put_error(cc, &why);
		cc->is_skipping = true;
	}
	/* A Flush has no effect, because answers are never held back. CopyData and similar messages are ignored,
	 * because there is no COPY. */
	return true;
}

bool
console_end_wait(struct console_client *cc, int result, const struct fail *why)
{
	if (result < 0)
		fail_script(cc, why);
	else if (cc->wait == WAIT_QUIET || cc->wait == WAIT_FLUSHED || cc->wait == WAIT_CLOSED)
		message_complete(&cc->out, cc->wait_tag);
	cc->wait = WAIT_NONE;
	return result >= 0;
}
