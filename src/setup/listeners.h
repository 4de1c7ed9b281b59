/*
 * src/setup/listeners.h - all sockets to which clients connect: those of a configuration, those that a service manager
 * has passed (systemd.socket(5)), and, in a restart, those of the old process (restart/handover.h). Clients that
 * connect while pgweir restarts wait in a socket that was passed, and are not refused.
 *
 * Owns:   its listeners, and sockets of the old process until they are taken.
 * Always: a reload opens new listeners beside the present ones, then takes all of them or none.
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
	/* as in struct listener_settings */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg);
	void (*on_exhausted)(int error, void *arg);
	void *arg;
};

/* The listeners to which clients will connect, in the configuration's order. If zeroed, the present listeners stay. */
struct listeners_fresh {
	struct listener *list[LISTENERS_MAX];
	bool is_new[LISTENERS_MAX];
	bool is_changed; /* if false, the present listeners stay, whatever the configuration says */
};

/* Makes the list, without a listener yet. Never returns NULL. */
struct listeners *listeners_new(const struct listeners_settings *settings);
void listeners_free(struct listeners *l); /* l may be NULL */

/* --- opening: functions that return -1 set *why --- */

/* Takes the sockets that a service manager passes, if it passes any: the configured addresses are not opened then.
 * Returns 0 or -1. */
int listeners_adopt(struct listeners *l, const struct config *config, struct fail *why);
/*
 * Opens the configuration's addresses that are new, beside the present listeners; nothing is accepted there before the
 * loop's next turn. Returns 0 or -1. After 0, the caller takes the listeners with listeners_take(), or closes them with
 * listeners_abandon(). After -1, the caller calls listeners_abandon().
 */
int listeners_open(struct listeners *l, const struct config *config, struct listeners_fresh *fresh, struct fail *why);
void listeners_take(struct listeners *l, const struct config *config, const struct listeners_fresh *fresh);
void listeners_abandon(struct listeners_fresh *fresh);
/* calls listeners_open() and listeners_take() */
int listeners_listen(struct listeners *l, const struct config *config, struct fail *why);

void listeners_begin(struct listeners *l); /* accepts clients from now on, also on listeners that are opened later */
void listeners_close_tcp(struct listeners *l); /* Unix sockets stay open */

/* --- a restart, in the old process --- */

/* Returns true if a service manager has passed the sockets, to this process or to a predecessor. */
bool listeners_are_passed(const struct listeners *l);
/* Calls each for every listener; fd is borrowed. */
void listeners_each(const struct listeners *l, void (*each)(const char *host, uint16_t port, int fd, void *arg),
		    void *arg);
/* Stops accepting, because the successor accepts. Closes the sockets, except those that a service manager has passed,
 * because this process could not open them again. */
void listeners_give_away(struct listeners *l);

/* --- a restart, in the new process: nothing is accepted before listeners_begin() --- */

void listeners_hold(struct listeners *l); /* accepts nothing until listeners_begin(), even on sockets that are open */
/* are_passed: what listeners_are_passed() returned in the old process */
void listeners_set_passed(struct listeners *l, bool are_passed);
/* Keeps a socket until it is taken. Takes fd. kind is 'S' (SQL) or 'H' (HTTP). */
void listeners_inherit(struct listeners *l, char kind, const char *host, uint16_t port, int fd);
/* Returns the socket for this address, or any socket of this kind if host is NULL; 0 if there is none. */
int listeners_take_inherited(struct listeners *l, char kind, const char *host, uint16_t port);
/* Closes inherited sockets that were not taken. are_ours: no other process listens on them, so the files of Unix
 * sockets are removed, too. */
void listeners_close_inherited(struct listeners *l, bool are_ours);

/* --- values from a configuration --- */

/* Returns how many descriptors clients may use; the rest is for servers, logs and cancels. Returns 0 if there is no
 * limit. */
int setup_descriptors_for_clients(void);
struct tcp_options setup_tcp_options(const struct config *config);
