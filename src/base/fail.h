/*
 * src/base/fail.h - one object carries a failure from where it happens to our log and the client's ErrorResponse.
 *
 * A function that can fail takes a struct fail and returns 0 or -1; on -1 it has filled it. Whoever handles the
 * failure logs it, once.
 */
#ifndef PGWEIR_BASE_FAIL_H
#define PGWEIR_BASE_FAIL_H

#define FAIL_TEXT_MAX 256

struct fail {
	char sqlstate[6]; /* five characters, as PostgreSQL's appendix A has them */
	char text[FAIL_TEXT_MAX]; /* what happened; no newline, no secret */
	char detail[FAIL_TEXT_MAX]; /* empty: none */
	char hint[FAIL_TEXT_MAX]; /* what a person can do about it; empty: none */
};

/* Fills why (NULL is allowed) and clears its detail and hint. Always -1: return fail_set(...). Cuts what is too long.
 */
int fail_set(struct fail *why, const char *sqlstate, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds to a failure that was set. Always -1. */
int fail_detail(struct fail *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fail_hint(struct fail *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
