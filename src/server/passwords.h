/*
 * src/server/passwords.h - passwords that a program prints (password_command): tokens of a cloud's IAM, of Entra or of
 * Vault, which expire after some minutes.
 *
 * A command runs as a process of its own (/bin/sh -c), while the loop goes on. For equal password_requests, one command
 * runs at a time, and all servers that have asked before that command ends get the password. A password is used for
 * ttl_us. In the last fifth of that time, the command is run again in advance if a server has asked for the password
 * since the command ended. After a failure the command is not run again for a while.
 *
 * Owns:    the passwords, wiped when they expire; the processes, killed when they take too long. Bounded: 16 processes
 *          at a time, each for at most 30 s and with at most 16 KiB of output.
 */
#pragma once

#include "base/fail.h"
#include "log/log.h"

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

struct passwords; /* opaque: passwords.c */
struct password_entry;

/*
 * Says which password is wanted. The command gets the last four fields as the variables PGHOST, PGUSER, PGDATABASE and
 * PGPORT of its environment. All texts are copied.
 */
struct password_request {
	const char *command;
	uint64_t ttl_us; /* how long the password may be used */
	const char *host, *user, *database;
	uint16_t port;
};

/* Embedded, zeroed, in the struct that asks for a password. */
struct password_ask {
	/* Called from the loop, never from within passwords_get_or_ask(). `password` is valid only during this call; if
	 * there is no password, it is NULL, and *why has the reason. */
	void (*done)(const char *password, const struct fail *why, void *arg);
	void *arg;
	struct password_entry *entry; /* NULL while this struct does not wait for a password */
	TAILQ_ENTRY(password_ask) link;
};

/* now_us: points to the time of the loop's turn, and must outlive the result. */
struct passwords *passwords_new(struct event_base *base, struct log *log, uint64_t *now_us);
/* Kills all running commands. No password_ask may be waiting. p may be NULL. */
void passwords_free(struct passwords *p);
/*
 * Returns the password if a valid one is known; it is borrowed until the loop's next turn. Otherwise returns NULL, and
 * calls ask->done later, once, unless password_ask_cancel() comes first. If out of memory, returns NULL with ask->entry
 * NULL, and never calls done.
 */
const char *passwords_get_or_ask(struct passwords *p, const struct password_request *request, struct password_ask *ask);
void password_ask_cancel(struct password_ask *ask); /* does nothing if `ask` does not wait */
/* Call when PostgreSQL has refused this password. The command is then run anew for the next server that asks. */
void passwords_note_refused(struct passwords *p, const struct password_request *request);
/* Renews passwords in advance, wipes expired passwords, and forgets passwords that no server has asked for in an hour.
 * Call this about every 100 ms. */
void passwords_tick(struct passwords *p);

/* --- password_process.c: one run of a password_command. */
struct password_process; /* opaque: password_process.c */

/* Starts the command. Returns NULL, with *why set, if it can't be started. */
struct password_process *password_process_new(const struct password_request *request, uint64_t now_us,
					      struct fail *why);
/*
 * Looks for the command's result, without waiting. Returns 0 if the command still runs. Otherwise frees process, and
 * returns 1 with *password set, which the caller then owns and must wipe; or -1 with *why set if the command has
 * failed, has printed nothing of use, or takes too long.
 */
int password_process_poll(struct password_process *process, uint64_t now_us, char **password, struct fail *why);
void password_process_kill(struct password_process *process); /* kills the command and frees process */
