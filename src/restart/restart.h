/*
 * src/restart/restart.h - a restart that no client notices (docs/operations.md). The old process starts its successor,
 * passes its listening sockets and then its clients to it, and ends when no client is left. handover.h has the messages
 * between the two processes.
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

/* The objects of the process that a restart needs, and callbacks with which it acts on the process. All callbacks are
 * called on worker 0's thread. */
struct restart_host {
	struct weir *w; /* the process, which is the first argument of the callbacks */
	const char *program; /* the program with which the next process is started; NULL if not known */
	char *const *argv; /* arguments of that program */
	struct client_env *main_env; /* worker 0's; main_env->client_envs has the client_env of each worker */
	struct listeners *listeners;
	_Atomic uint64_t *last_id; /* the newest id of a client or server */
	int (*halt)(struct weir *w, struct fail *why); /* stops all workers: see struct console_host */
	void (*end_the_halt)(struct weir *w); /* ends the halt */
	void (*begin_service)(struct weir *w); /* begins to accept clients in this process */
	/* Opens the sockets for SQL and HTTP again after they were given away. Returns 0, or -1 with *why set. */
	int (*listen_again)(struct weir *w, struct fail *why);
	void (*hand_over_duties)(struct weir *w); /* leaves the HTTP port and the pid file to the successor */
	void (*stop)(struct weir *w, enum shutdown_how how);
	void (*end)(struct weir *w); /* ends the main loop */
};

struct restart *restart_new(const struct restart_host *host); /* never returns NULL */
void restart_free(struct restart *r); /* r may be NULL */
void restart_tick(struct restart *r); /* called about every 100 ms */
/* Called when the process stops. Abandons a successor that is not ready yet, and tells the predecessor to stop, too. */
void restart_on_stop(struct restart *r, enum shutdown_how how);
void restart_on_end(struct restart *r); /* called when the process has left its main loop for good */
void restart_client_gone(struct restart *r, const struct client *c); /* serves as client_env.on_client_gone */
/* --- called on any worker --- */
void restart_client_released(struct restart *r, struct exchange *x); /* serves as exchange_ops.released */
void restart_transfer_progress(struct restart *r); /* serves as exchange_ops.takeover_progress */
void restart_worker_tick(struct restart *r, struct client_env *env); /* called about every 100 ms */

/* Called on worker 0. Checks that no other process of this restart has clients, because a PAUSE in this process would
 * not pause them. Returns 0, or -1 with *why set. */
int restart_check_owns_all_clients(const struct restart *r, struct fail *why);

/* --- the old process --- */

/* Starts the successor. http_fd is the HTTP server's socket (borrowed), or -1. Returns 0, or -1 with *why set. */
int restart_begin(struct restart *r, int http_fd, struct fail *why);
bool restart_has_successor(const struct restart *r); /* returns true if a successor was started; r may be NULL */
/* Tells the successor to stop. Returns false if there is no successor, or if it is not ready for clients yet. */
bool restart_stop_successor(struct restart *r, enum shutdown_how how);
void restart_forget_successor(struct restart *r); /* frees the successor's state; r may be NULL */

/* --- the new process --- */

/* Called once, before the other functions. Returns the descriptor on which the old process passes its sockets and
 * clients, or -1 if no old process has started this one. */
int restart_predecessor_fd(void);
/* Tells the old process that this process can't start, for the reason `text`. fd may be -1. */
void restart_send_failed(int fd, const char *text);
/* Writes the old process's PID, how many clients it has, and why these clients stay. Returns false if there is no old
 * process any more, or if this process does not accept clients yet. */
bool restart_describe_staying(const struct restart *r, char *out, size_t size);
/* Takes over fd, and receives from it the sockets on which the old process listens. Returns 0, or -1 with *why set. */
int restart_meet_predecessor(struct restart *r, int fd, struct fail *why);
/* Does what restart_send_failed() does. But does nothing if the link that took over fd was closed. r may be NULL. */
void restart_tell_failure(const struct restart *r, int fd, const struct fail *why);
bool restart_is_waiting_for_go(const struct restart *r); /* returns true if no client may be accepted yet */
void restart_tell_ready(struct restart *r); /* called once, if restart_is_waiting_for_go() */
void restart_forget_predecessor(struct restart *r); /* frees the predecessor's state; r may be NULL */

/* --- CancelRequests for clients that the other process may have --- */

/* Serves as client_env.on_unknown_cancel_key. Returns true if the other process was asked; `asker` then waits for
 * HANDOVER_CANCELLED. */
bool restart_forward_cancel(struct restart *r, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len);
void restart_cancel_over(struct restart *r, uint64_t number); /* serves as client_env.on_far_cancel_over */
