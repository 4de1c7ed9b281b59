/*
 * src/setup/listeners.h - all sockets that clients connect to: those of a configuration, those that a service manager
 * has passed (systemd.socket(5)), and those of the process before this one (a restart, restart/handover.h). Clients
 * that come while pgweir restarts wait in a socket that was passed instead of being refused.
 *
 * Owns:   its listeners, and sockets of the process before this one until somebody takes them.
 * Always: a reload opens what is new beside what is there, then takes all of it or none.
 */
#pragma once

#include "log/log.h"
#include "config/config.h"
#include "net/listener.h"

#define LISTENERS_MAX 32

struct listeners; /* opaque: listeners.c */

struct listeners_settings {
	struct event_base *base;
	struct log *log;
	/* As in struct listener_settings. */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg);
	void (*on_exhausted)(int error, void *arg);
	void *arg;
};

/* Where clients will connect: those of a configuration, in its order. All zero: all stay as they are. */
struct listeners_fresh {
	struct listener *list[LISTENERS_MAX];
	bool is_new[LISTENERS_MAX];
	bool is_changed; /* else all stay as they are, whatever the configuration says */
};

struct listeners *listeners_new(const struct listeners_settings *settings); /* none yet; never returns NULL */
void listeners_free(struct listeners *l); /* NULL is fine */

/* --- opening: functions that return -1 set *why --- */

/* Takes over the sockets that a service manager passes. The configured ones are not opened then. Returns 0 or -1. */
int listeners_adopt(struct listeners *l, const struct config *config, struct fail *why);
/*
 * Opens the addresses that are new beside the old ones; nothing is accepted there before the loop's next turn. Returns
 * 0, and listeners_take() swaps them in; or -1. listeners_abandon() closes those that were opened in either case.
 */
int listeners_open(struct listeners *l, const struct config *config, struct listeners_fresh *fresh, struct fail *why);
void listeners_take(struct listeners *l, const struct config *config, const struct listeners_fresh *fresh);
void listeners_abandon(struct listeners_fresh *fresh);
int listeners_listen(struct listeners *l, const struct config *config, struct fail *why); /* open and take */

void listeners_begin(struct listeners *l); /* clients are accepted, now and on what is opened later */
void listeners_close_tcp(struct listeners *l); /* Unix sockets stay */

/* --- a restart, in the process that goes --- */

/* Returns true if a service manager has passed the sockets, to this process or to one before it. */
bool listeners_are_passed(const struct listeners *l);
/* Calls each for every address; fd is borrowed. */
void listeners_each(const struct listeners *l, void (*each)(const char *host, uint16_t port, int fd, void *arg),
		    void *arg);
/* Accepts no more: another process does. Passed sockets rest, as they could not be opened again; others are closed. */
void listeners_give_away(struct listeners *l);

/* --- a restart, in the process that comes: nothing is accepted before listeners_begin() --- */

/* Sockets of the process before this one come. are_passed: listeners_are_passed() there. */
void listeners_expect(struct listeners *l);
void listeners_set_passed(struct listeners *l, bool are_passed);
/* Keeps a socket for whoever takes it. Takes fd. kind: 'S' (SQL), 'H' (HTTP). */
void listeners_inherit(struct listeners *l, char kind, const char *host, uint16_t port, int fd);
/* Returns the socket for this address, or for any if host is NULL; 0: there is none. */
int listeners_take_inherited(struct listeners *l, char kind, const char *host, uint16_t port);
/* Closes those that nobody has taken; are_ours: nobody listens there any more, so files of Unix sockets go, too. */
void listeners_close_inherited(struct listeners *l, bool are_ours);

/* --- of a configuration --- */

/* Returns how many descriptors clients may take up; the rest is for servers, logs and cancels. 0: no limit. */
int setup_descriptors_for_clients(void);
struct tcp_options setup_tcp_options(const struct config *config);
