/*
 * src/restart/restart.h - a restart without a gap (docs/operations.md): a process starts its successor, passes its
 * listening sockets and then its clients to it, and ends when no client is left. handover.h has the messages between
 * the two processes.
 *
 *   the old process:  successor.c, and moving.c, which moves its clients
 *   the new process:  predecessor.c
 *
 * Owns:    the link to the other process, and the state of clients on their way.
 * Borrows: the objects that struct restart_host names.
 */
#pragma once

#include "admin/console_host.h"
#include "setup/listeners.h"

struct restart; /* opaque; defined in restart_state.h */

/* The process as a restart sees it, and callbacks by which a restart acts, all on worker 0's thread. */
struct restart_host {
	struct weir *w; /* the process, which is the first argument of the callbacks */
	const char *program; /* the program with which the next process is started; NULL if not known */
	char *const *argv; /* arguments of that program */
	struct client_env *clients; /* worker 0's clients; client_envs in it has the other workers' clients */
	struct listeners *listeners;
	_Atomic uint64_t *last_id; /* the id that a client or a server got last */
	int (*halt)(struct weir *w, struct fail *why); /* as in struct console_host */
	void (*go)(struct weir *w);
	void (*serve)(struct weir *w); /* begins to accept clients in this process */
	/* Opens the sockets for SQL and HTTP again after they were given away. Returns 0, or -1 with *why set. */
	int (*listen_again)(struct weir *w, struct fail *why);
	void (*hand_over_duties)(struct weir *w); /* leaves the HTTP port and the pid file to the successor */
	void (*stop)(struct weir *w, enum shutdown_how how);
	void (*end)(struct weir *w); /* ends the main loop */
};

struct restart *restart_new(const struct restart_host *host); /* never returns NULL */
void restart_free(struct restart *r); /* r may be NULL */
void restart_tick(struct restart *r); /* called about every 100 ms */
/* Called when the process stops: gives up a successor that is not ready yet, and has the predecessor stop, too. */
void restart_on_stop(struct restart *r, enum shutdown_how how);
void restart_on_end(struct restart *r); /* called when the process has left its main loop for good */
void restart_client_gone(struct restart *r, const struct client *c); /* client_env.on_client_gone */
/* Called on any worker: the first two are exchange_ops.released and transfer_progress, the third is for the worker's
 * tick, about every 100 ms. */
void restart_client_released(struct restart *r, struct exchange *x);
void restart_transfer_progress(struct restart *r);
void restart_worker_tick(struct restart *r, struct client_env *env);
/* Checks that all clients can be paused, which is impossible while another process has clients, too. Returns 0, or -1
 * with *why set. */
int restart_check_hold(const struct restart *r, struct fail *why);

/* --- the old process --- */

/* Starts the successor. http_fd is the HTTP server's socket, borrowed, or -1. Returns 0, or -1 with *why set. */
int restart_begin(struct restart *r, int http_fd, struct fail *why);
bool restart_has_successor(const struct restart *r); /* returns true if a successor was started; r may be NULL */
/* Tells the successor to stop. Returns false if there is no successor, or if clients don't move to it yet. */
bool restart_stop_successor(struct restart *r, enum shutdown_how how);
void restart_forget_successor(struct restart *r); /* r may be NULL */

/* --- the new process --- */

/* Called once, before the other functions: returns the descriptor by which the old process passes its sockets and
 * clients, or -1. */
int restart_find_predecessor(void);
void restart_tell_predecessor(int fd, const char *text); /* tells why this process can't start; fd may be -1 */
/* Writes which process the clients come from, and how many are still there and why. Returns false if there is no old
 * process any more. */
bool restart_describe_staying(const struct restart *r, char *out, size_t size);
/* Takes fd, and gets from its other end the sockets on which the old process listens. Returns 0, or -1 with *why
 * set. */
int restart_meet_predecessor(struct restart *r, int fd, struct fail *why);
/* Tells the old process why this one can't start. fd is the descriptor meant for restart_meet_predecessor(), whether
 * that function was called or not. r may be NULL. */
void restart_tell_failure(const struct restart *r, int fd, const struct fail *why);
bool restart_is_waiting_for_go(const struct restart *r); /* returns true while nothing may be accepted yet */
void restart_tell_ready(struct restart *r); /* called once, if restart_is_waiting_for_go() */
void restart_forget_predecessor(struct restart *r); /* r may be NULL */

/* --- cancel requests for clients that the other process may have --- */

/* client_env.on_unknown_cancel_key. Returns true if the other process was asked; asker then waits for the answer. */
bool restart_forward_cancel(struct restart *r, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len);
void restart_cancel_over(struct restart *r, uint64_t number); /* client_env.on_far_cancel_over */
