/*
 * src/server/passwords.h - passwords that a program prints (password_command): tokens of a cloud's IAM, of Entra, of
 * Vault, that end after some minutes.
 *
 * A command runs as a process of its own (/bin/sh -c) beside the loop, one at a time for each order; whoever asks
 * meanwhile shares its answer. An answer is used for ttl_us; in the last fifth of that it is renewed in advance, if
 * anybody has asked for it since the last time. After a failure the command is not run again for a while.
 *
 * Owns:    the passwords, wiped when they end; the processes, killed when they take too long.
 * Bounded: 16 processes at a time, 30 s each, 16 KiB of output.
 */
#pragma once

#include "base/fail.h"
#include "log/log.h"

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

struct passwords; /* opaque: passwords.c */
struct password_entry;

/* Which password: the command sees the last four as PGHOST, PGPORT, PGUSER and PGDATABASE. All are copied. */
struct password_order {
	const char *command;
	uint64_t ttl_us;
	const char *host, *user, *database;
	uint16_t port;
};

/* Embed one in whoever asks, zeroed. */
struct password_ask {
	/* The password, which lasts for this call, or NULL and why. Called from the loop, not by passwords_get(). */
	void (*done)(const char *password, const struct fail *why, void *arg);
	void *arg;
	struct password_entry *entry; /* NULL: it does not wait */
	TAILQ_ENTRY(password_ask) link;
};

/* now_us: the time of the loop's turn, borrowed. */
struct passwords *passwords_new(struct event_base *base, struct log *log, uint64_t *now_us);
void passwords_free(struct passwords *p); /* nobody may wait; kills what runs. NULL is fine */
/* Returns the password if there is a good one (borrowed for the moment); else NULL, and ask->done is called later,
 * once, unless password_ask_cancel() comes first. Without memory ask->entry is NULL as well, and nothing is called. */
const char *passwords_get(struct passwords *p, const struct password_order *order, struct password_ask *ask);
void password_ask_cancel(struct password_ask *ask); /* fine if it does not wait */
/* PostgreSQL has refused this password: whoever asks next gets a new one. */
void passwords_refused(struct passwords *p, const struct password_order *order);
void passwords_tick(struct passwords *p); /* about every 100 ms: renews, and forgets what nobody asks for */

/* --- password_process.c: one run of a password_command. */
struct password_process; /* opaque: password_process.c */

/* Starts it. NULL and why: it can't be started. */
struct password_process *password_process_new(const struct password_order *order, uint64_t now_us, struct fail *why);
/* Never waits. 0: it runs. Else it is over and freed: 1, and the caller owns *password (to be wiped), or -1 and why: it
 * failed, printed nothing of use, or took too long. */
int password_process_poll(struct password_process *process, uint64_t now_us, char **password, struct fail *why);
void password_process_kill(struct password_process *process); /* and frees it */
