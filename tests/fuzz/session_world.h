/*
 * tests/fuzz/session_world.h - one run's world: a struct weir with a configuration of its own, a fake PostgreSQL that
 * it dials, and a few clients on socket pairs; no thread, no network, and no time but world_pass's.
 */
#pragma once

#include "session_client.h"
#include "session_server.h"

#include "process/process_state.h"

struct world {
	struct weir *weir;
	struct fake fake;
	struct fake_client clients[TEXT_CLIENTS];
	struct fake_client canceller; /* what it sent; its connection is never looked at again */
	const char *options; /* words; see session_world.c */
	bool is_reloaded; /* the other configuration is in force */
};

/* The words that mean something in options, but for state_word's; NULL: there are no more. */
const char *world_word(size_t i);
/* options: of the first line, words in any order. Aborts if pgweir can't start. */
void world_init(struct world *w, const char *options, unsigned workers);
/* Everybody behaves and leaves; what is counted must come to nothing. Then all is freed. */
void world_fini(struct world *w);
/* The two halves of it. */
void world_leave(struct world *w);
void world_free(struct world *w);
/* Turns until nothing moves. */
void world_settle(struct world *w);
void world_pass(struct world *w, uint64_t us);
/* A new connection to pgweir for this client. */
void world_connect(struct world *w, struct fake_client *c);
/* Return false if a halt was given up: nothing has changed then. */
bool world_reload(struct world *w);
bool world_pause(struct world *w, bool on);
void world_reconnect(struct world *w); /* as the console's RECONNECT */
/* The server of pgweir's whose backend is this one; NULL: there is none. */
struct server *world_find_server(const struct world *w, uint32_t pid);
/* The client of pgweir's with this number, on whichever worker; NULL: there is none. */
struct client *world_find_client(const struct world *w, uint64_t id);
