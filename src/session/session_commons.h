/*
 * src/session/session_commons.h - what the loops of one process know together of sessions: which name a text has on
 * servers, and the numbers of settings that texts are read under.
 *
 * Each loop has its own statements (statement_store.h) with all that it knows of them, and its own GUC sets (gucs.h). A
 * server goes from loop to loop with what is prepared there, so equal statements of two loops have one id, and so one
 * name: the first that meets the text is given an id, the others are told that one. What is true of a text under its
 * present id is here as well: the shape of its rows, and the parameter types that PostgreSQL has chosen.
 *
 * A text is renewed once, by the first loop that must. The others have seen that its home has been renewed, too, or
 * find COMMONS_STALE in their epoch.
 *
 * Everything here is done under one lock, which is held for less than a microsecond. No loop asks for it but when it
 * meets a text, renews it or learns something of it first, and to make or drop a home, or a GUC set that texts are read
 * under. A process with one loop has contexts alone.
 *
 * Owns:   texts, as long as one loop has a member there, and contexts. Homes and members are their stores'.
 * Always: an id is never given to two texts, nor twice to one. The bytes of a text's key are its first member's.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define COMMONS_STALE UINT64_MAX /* the epoch of no home */

struct session_commons; /* opaque: session_commons.c */
struct commons_text; /* the same */

/* A database's statements, as one loop has them. Homes of one name have one epoch. */
struct commons_home {
	const char *name;
	_Atomic uint64_t epoch; /* other loops increment it */
	LIST_ENTRY(commons_home) all;
};

/* A statement, as one loop has it. What identifies it stays as it is while it has a text. */
struct commons_member {
	const struct commons_home *home;
	const uint8_t *bytes; /* SQL and parameter types */
	size_t len;
	uint32_t context;
	_Atomic uint64_t epoch; /* of its home when it was named; COMMONS_STALE: another loop has renewed the text */
	struct commons_text *text; /* NULL: none */
	LIST_ENTRY(commons_member) others; /* of the same text */
};

struct session_commons *session_commons_new(uint64_t seed); /* seed: random, as clients choose the texts */
void session_commons_free(struct session_commons *all); /* behind all stores; NULL is fine */

/*
 * The values of the settings that literals are read under, in one string. It lives as long as GUC sets have it, and its
 * number is never used again: so nothing that was stored under the number can be found by mistake.
 */
struct commons_context; /* opaque */
#define COMMONS_CONTEXTS_MAX 262144u /* at once, of all loops */
/* Returns a new reference to that of these settings, and its number; NULL: there are too many, or no memory. */
struct commons_context *session_commons_context(struct session_commons *all, const void *settings, size_t len,
						uint32_t *number);
void session_commons_context_unref(struct session_commons *all, struct commons_context *c);

void session_commons_add_home(struct session_commons *all, struct commons_home *home); /* sets its epoch */
void session_commons_remove_home(struct session_commons *all, struct commons_home *home);
void session_commons_renew_home(struct session_commons *all, const struct commons_home *home); /* on all loops */

/* Returns the hash of a text that is of this home. */
uint32_t session_commons_hash(uint64_t seed, const char *home, const uint8_t *bytes, size_t len);
/* Returns an id for a statement that is nobody else's. */
uint64_t session_commons_id(struct session_commons *all);
/*
 * Returns the id that the member has from now on, and sets its epoch. above: an id that is outdated, and with it all
 * that were given before; 0: none. Without memory it is an id of its own.
 */
uint64_t session_commons_name(struct session_commons *all, struct commons_member *m, uint64_t above);
/* Call it before the member's bytes change or go. */
void session_commons_leave(struct session_commons *all, struct commons_member *m);

/* Returns the shape that the rows under this id are known to have; if none is known, this one is from now on. */
uint32_t session_commons_shape(struct session_commons *all, const struct commons_member *m, uint64_t id,
			       uint32_t shape);
/*
 * Returns the parameter types that the text is known to have under this id, *known_len bytes, to be freed. If none are
 * known, returns NULL, and these, if they are not NULL, are known from now on.
 */
uint8_t *session_commons_types(struct session_commons *all, const struct commons_member *m, uint64_t id,
			       const uint8_t *types, size_t len, size_t *known_len);
size_t session_commons_texts(struct session_commons *all); /* how many there are */
