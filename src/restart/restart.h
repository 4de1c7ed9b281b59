/*
 * src/restart/restart.h - a restart without a gap (docs/operations.md): a process starts its successor, passes its
 * listening sockets and then its clients on, and ends when none is left. handover.h is what the two say to each other.
 *
 *   the process that goes:   successor.c, and moving.c with its clients
 *   the process that comes:  predecessor.c
 *
 * Owns:    the link to the other process, and clients on their way.
 * Borrows: what struct restart_host names.
 */
#pragma once

#include "admin/console_host.h"
#include "setup/listeners.h"

struct restart; /* opaque: restart_state.h */

/* The process as a restart sees it, and the calls by which it acts, all on worker 0's thread. */
struct restart_host {
	struct weir *w; /* the process: the first argument of what follows */
	const char *program; /* by which the next process is started; NULL: there is none */
	char *const *argv; /* its arguments */
	struct client_env *clients; /* worker 0's; its crew has the others' */
	struct listeners *listeners;
	int (*halt)(struct weir *w, struct fail *why); /* as in struct console_host */
	void (*go)(struct weir *w);
	void (*serve)(struct weir *w); /* from now on clients are accepted here */
	/* Listens, for SQL and HTTP, after the sockets were given away. Returns 0, or -1 with *why set. */
	int (*listen_again)(struct weir *w, struct fail *why);
	void (*give_way)(struct weir *w); /* the successor serves HTTP now, and the pid file is its own */
	void (*stop)(struct weir *w, enum shutdown_how how);
	void (*end)(struct weir *w); /* leaves the loop */
};

struct restart *restart_new(const struct restart_host *host); /* nothing is under way; never returns NULL */
void restart_free(struct restart *r); /* NULL is fine */
void restart_tick(struct restart *r); /* about every 100 ms */
/* The process stops: a successor that is not ready yet is given up, and the predecessor stops, too. */
void restart_on_stop(struct restart *r, enum shutdown_how how);
void restart_on_end(struct restart *r); /* the process has left its loop for good */
void restart_client_gone(struct restart *r, const struct client *c); /* client_env.on_client_gone */
/* On any worker: exchange_ops.released and transfer_progress; and its tick, about every 100 ms. */
void restart_client_released(struct restart *r, struct exchange *x);
void restart_transfer_progress(struct restart *r);
void restart_worker_tick(struct restart *r, struct client_env *env);
/* Checks that clients can be held back: not while another process has some, too. Returns 0, or -1 with *why set. */
int restart_may_hold(const struct restart *r, struct fail *why);

/* --- the process that goes --- */

/* Starts the successor. http_fd: the HTTP server's socket, borrowed, or -1. Returns 0, or -1 with *why set. */
int restart_begin(struct restart *r, int http_fd, struct fail *why);
bool restart_has_successor(const struct restart *r); /* returns true once it is started; r may be NULL */
/* Tells the successor to stop. Returns false if clients don't move there yet, or there is none. */
bool restart_stop_successor(struct restart *r, enum shutdown_how how);
void restart_forget_successor(struct restart *r); /* r may be NULL */

/* --- the process that comes --- */

/* Once, first: returns the descriptor by which the process before passes on its sockets and clients, or -1. */
int restart_find_predecessor(void);
void restart_tell_predecessor(int fd, const char *text); /* why this process can't start; fine with -1 */
/* Writes which process the clients come from, and who is still there and why. Returns false if there is none any more.
 */
bool restart_tell_staying(const struct restart *r, char *out, size_t size);
/* Gets the sockets that the old process listens on from the other end of fd, which is taken. -1: *why is set. */
int restart_meet_predecessor(struct restart *r, int fd, struct fail *why);
/* Tells it why this process can't start. fd: as restart_meet_predecessor() got it, or would have. r may be NULL. */
void restart_tell_failure(const struct restart *r, int fd, const struct fail *why);
bool restart_is_waiting_for_go(const struct restart *r); /* returns true while nothing may be accepted yet */
void restart_tell_ready(struct restart *r); /* once, if so */
void restart_forget_predecessor(struct restart *r); /* r may be NULL */

/* --- cancel requests that the other process may know --- */

/* client_env.on_strange_cancel. Returns true if the other process was asked: asker waits for its answer. */
bool restart_forward_cancel(struct restart *r, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len);
void restart_cancel_over(struct restart *r, uint64_t number); /* client_env.on_far_cancel_over */
