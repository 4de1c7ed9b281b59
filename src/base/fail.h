/*
 * src/base/fail.h - the description of a failure, for the log and the client's ErrorResponse.
 *
 * A function that can fail takes a struct fail and returns 0, or -1 with *why set; the caller logs the failure.
 */
#pragma once

#include <stddef.h>

#define FAIL_TEXT_MAX 256

/* How pgweir treats a client that needs a server while no connection to a server can be opened: the client gets an
 * error at once (OUTAGE_FAIL), or waits for up to pool_timeout (OUTAGE_WAIT) or outage_hold (OUTAGE_HOLD). */
enum outage_mode { OUTAGE_FAIL, OUTAGE_WAIT, OUTAGE_HOLD };

struct fail {
	char sqlstate[6]; /* five characters, from PostgreSQL's appendix A */
	char text[FAIL_TEXT_MAX]; /* what happened; no newline, no secret */
	char detail[FAIL_TEXT_MAX]; /* may be empty */
	char hint[FAIL_TEXT_MAX]; /* what a person can do about the failure; may be empty */
	/* the text that PgBouncer has for this failure, for compat = pgbouncer; may be empty */
	char pgbouncer_text[FAIL_TEXT_MAX];
};

/* Sets the SQLSTATE and the text of why (which may be NULL), and clears the other texts. Truncates a text that is too
 * long. Always returns -1, for "return fail_set(...)". The attribute cold makes the compiler move callers' error
 * branches out of the usual path. */
int fail_set(struct fail *why, const char *sqlstate, const char *fmt, ...) __attribute__((cold, format(printf, 3, 4)));
/* The next three macros add a text to a failure that fail_set() has set, and always return -1. */
#define fail_detail(why, ...) fail_set_field((why), offsetof(struct fail, detail), __VA_ARGS__)
#define fail_hint(why, ...) fail_set_field((why), offsetof(struct fail, hint), __VA_ARGS__)
#define fail_pgbouncer_text(why, ...) fail_set_field((why), offsetof(struct fail, pgbouncer_text), __VA_ARGS__)
/* Reports that there was no memory for `what`, such as "a pool". Always returns -1. */
#define fail_memory(why, what)                                                                                         \
	(fail_set((why), "53200", "out of memory"), fail_detail((why), "Failed while allocating %s.", (what)))
/* Sets the text at offset `at` of *why, unless why is NULL. Always returns -1. */
int fail_set_field(struct fail *why, size_t at, const char *fmt, ...) __attribute__((cold, format(printf, 3, 4)));
/* Copies *why to *told. If *why has a pgbouncer_text, that text becomes told->text, and most of pgweir's own SQLSTATEs
 * become 08P01, as in PgBouncer. Errors of logins (class 28) and of PostgreSQL itself keep their SQLSTATE. */
void fail_in_pgbouncer_words(const struct fail *why, struct fail *told);
