/*
 * src/setup/listeners.h - the sockets to which clients connect. They are opened from a configuration, passed by a
 * service manager (systemd.socket(5)), or, in a restart, passed by the old process (restart/handover.h). A passed
 * socket stays open while pgweir restarts, so clients that connect meanwhile wait and are not refused.
 *
 * Owns:   its listeners, and the old process's sockets until they are taken.
 * Always: a reload first opens all new listeners, and uses all of them or none. Exception:
 *         with COMPAT_LISTENS_WHERE_IT_CAN, TCP addresses that can't be opened are left out if at least one can be.
 */
#pragma once

#include "log/log.h"
#include "config/config.h"
#include "net/listener.h"

#define LISTENERS_MAX 32

struct listeners; /* opaque; defined in listeners.c */

struct listeners_settings {
	struct event_base *base;
	struct log *log;
	/* see struct listener_settings, which gets these fields */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg);
	void (*on_exhausted)(int error, void *arg);
	void *arg;
};

/* The listeners of a new configuration, in the order of its addresses. */
struct listeners_next {
	struct listener *list[LISTENERS_MAX];
	/* true if list[i] was opened for the new configuration; false if it is a present listener */
	bool is_new[LISTENERS_MAX];
	bool is_changed; /* if false, list is not used, and the present listeners stay */
};

/* Makes an empty set of listeners. Never returns NULL. */
struct listeners *listeners_new(const struct listeners_settings *settings);
void listeners_free(struct listeners *l); /* l may be NULL */

/* --- opening. Functions that return an int return 0, or -1 with *why set. --- */

/* Uses the sockets that a service manager has passed, in place of the configured addresses, if it has passed any. */
int listeners_adopt(struct listeners *l, const struct config *config, struct fail *why);
/* Opens the addresses of a new configuration that are not open yet. Accepts nothing on them before the next turn of the
 * event loop. The caller then calls listeners_use() or, always after -1, listeners_abandon(). */
int listeners_open(struct listeners *l, const struct config *config, struct listeners_next *next, struct fail *why);
/* Uses `next` in place of the present listeners, and closes present listeners that are not in `next`. */
void listeners_use(struct listeners *l, const struct config *config, const struct listeners_next *next);
void listeners_abandon(struct listeners_next *next); /* closes the listeners that were opened for `next` */
/* Calls listeners_open() and listeners_use(). */
int listeners_listen(struct listeners *l, const struct config *config, struct fail *why);

void listeners_begin(struct listeners *l); /* begins to accept clients, also on listeners that are opened later */
void listeners_close_tcp(struct listeners *l); /* closes all listeners but Unix sockets */

/* --- a restart, in the old process --- */

/* Returns true if the sockets come from a service manager, perhaps by way of an earlier process. */
bool listeners_are_passed(const struct listeners *l);
/* Calls each() for every listener; fd is borrowed. */
void listeners_each(const struct listeners *l, void (*each)(const char *host, uint16_t port, int fd, void *arg),
		    void *arg);
/* Stops accepting, because the successor accepts. Closes the sockets, except those that a service manager has passed,
 * because this process could not open them again. */
void listeners_stop_for_successor(struct listeners *l);

/* --- a restart, in the new process --- */

void listeners_hold(struct listeners *l); /* accepts nothing until listeners_begin(), even on sockets that are open */
/* Sets what listeners_are_passed() returns: the value in the old process. */
void listeners_set_passed(struct listeners *l, bool are_passed);
/* Takes over fd, a socket of the old process, for listeners_take_inherited(). kind is 'S' (SQL) or 'H' (HTTP). */
void listeners_inherit(struct listeners *l, char kind, const char *host, uint16_t port, int fd);
/* Returns the old process's socket for this address or, if host is NULL, any socket of this kind; 0 if there is none.
 * The caller owns the socket. */
int listeners_take_inherited(struct listeners *l, char kind, const char *host, uint16_t port);
/* Closes inherited sockets that were not taken. must_unlink: true to remove the files of Unix sockets as well, because
 * no other process listens on them. */
void listeners_close_inherited(struct listeners *l, bool must_unlink);

/* --- values that listeners need --- */

/* Returns how many descriptors clients may use; 0 if there is no limit. The rest is for servers, logs and cancels. */
int listeners_client_descriptors_max(void);
struct tcp_options setup_get_tcp_options(const struct config *config);
