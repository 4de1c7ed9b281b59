/*
 * src/base/fail.h - the description of a failure, for the log and the client's ErrorResponse.
 *
 * A function that can fail takes a struct fail and returns 0, or -1 with *why set. The code that handles the failure
 * logs it, once.
 */
#pragma once

#include <stddef.h>

#define FAIL_TEXT_MAX 256

/* The treatment of a client that needs a connection while none can be opened: an error at once, or a wait of up to
 * pool_timeout or outage_hold. */
enum outage_mode { OUTAGE_FAIL, OUTAGE_WAIT, OUTAGE_HOLD };

struct fail {
	char sqlstate[6]; /* five characters, from PostgreSQL's appendix A */
	char text[FAIL_TEXT_MAX]; /* what happened; no newline, no secret */
	char detail[FAIL_TEXT_MAX]; /* may be empty */
	char hint[FAIL_TEXT_MAX]; /* what a person can do about it; may be empty */
	char pgbouncer_text[FAIL_TEXT_MAX]; /* PgBouncer's text for it, for compat = pgbouncer; may be empty */
};

/* These functions have the attribute cold, so that the compiler moves code that calls them out of the usual path. */
/* Sets sqlstate and text of why (which may be NULL), and clears its other texts. Truncates a text that is too long.
 * Always returns -1, for "return fail_set(...)". */
int fail_set(struct fail *why, const char *sqlstate, const char *fmt, ...) __attribute__((cold, format(printf, 3, 4)));
/* These macros write one more text of a failure that was set, and always return -1. */
#define fail_detail(why, ...) fail_add((why), offsetof(struct fail, detail), __VA_ARGS__)
#define fail_hint(why, ...) fail_add((why), offsetof(struct fail, hint), __VA_ARGS__)
#define fail_pgbouncer_text(why, ...) fail_add((why), offsetof(struct fail, pgbouncer_text), __VA_ARGS__)
/* Reports that there was no memory for `what`, such as "a pool". Always returns -1. */
#define fail_memory(why, what)                                                                                         \
	(fail_set((why), "53200", "out of memory"), fail_detail((why), "Failed while allocating %s.", (what)))
/* Writes the text whose offset in *why is `at`. Always returns -1. */
int fail_add(struct fail *why, size_t at, const char *fmt, ...) __attribute__((cold, format(printf, 3, 4)));
/* Copies *why to *told, in PgBouncer's words if it has any. PgBouncer gives its own errors the SQLSTATE 08P01; errors
 * of logins (class 28) and PostgreSQL's own keep theirs. */
void fail_in_pgbouncer_words(const struct fail *why, struct fail *told);
