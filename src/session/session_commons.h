/*
 * src/session/session_commons.h - what the loops of one process share about sessions: the name that each statement's
 * text has on servers, and a number for each combination of settings (a context) under which texts are read.
 *
 * Each loop has its own statements (statement_store.h), with everything it knows about them, and its own GUC sets
 * (gucs.h). A server moves from loop to loop with its prepared statements, so equal statements of two loops have one
 * id, and thus one name: the first loop that meets the text gets a new id, the others get the same one. Facts that hold
 * for a text under its present id are shared as well: the shape of its rows, and the parameter types that PostgreSQL
 * has chosen.
 *
 * A text is renewed (given a new id) once, by the first loop that must renew it. Each other loop takes over the new id,
 * because it finds that its home's epoch has grown, too, or that its member's epoch is COMMONS_STALE.
 *
 * Everything here is done under one lock, which is held for less than a microsecond. A loop takes the lock only when it
 * first meets a text, renews it or learns something about it, and to make or drop a home, or a GUC set that has a
 * context. A process with one loop uses only the contexts.
 *
 * Owns:   texts, as long as one loop has a member of the text, and contexts. The stores own their homes and members.
 * Always: each id is given once, to one text. A text's key is the bytes of its first member.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define COMMONS_STALE UINT64_MAX /* the epoch that no home has */

struct session_commons; /* opaque: session_commons.c */
struct commons_text; /* opaque, too */

/* The statements of a database, in one loop. Homes with the same name have the same epoch. */
struct commons_home {
	const char *name;
	_Atomic uint64_t epoch; /* other loops increment it */
	LIST_ENTRY(commons_home) all;
};

/* A statement, in one loop. The fields that identify it do not change while it has a text. */
struct commons_member {
	const struct commons_home *home;
	const uint8_t *bytes; /* SQL and parameter types */
	size_t len;
	uint32_t context;
	/* the epoch of its home when the statement was named; COMMONS_STALE if another loop has renewed the text */
	_Atomic uint64_t epoch;
	struct commons_text *text; /* NULL if it has none */
	LIST_ENTRY(commons_member) others; /* members of the same text */
};

struct session_commons *session_commons_new(uint64_t seed); /* seed is random, because clients choose the texts */
void session_commons_free(struct session_commons *all); /* call it after all stores are freed; all may be NULL */

/* The values of the settings under which literals are read, in one string. A context lives as long as GUC sets have it.
 * Its number is never used again, so facts that were stored under the number are never taken for another context's. */
struct commons_context; /* opaque */
#define COMMONS_CONTEXTS_MAX 262144u /* contexts that exist at once, in all loops */
/* Returns a new reference to the context of these settings, and its number; NULL without memory, or if there are too
 * many contexts. */
struct commons_context *session_commons_context(struct session_commons *all, const void *settings, size_t len,
						uint32_t *number);
void session_commons_context_unref(struct session_commons *all, struct commons_context *c);

void session_commons_add_home(struct session_commons *all, struct commons_home *home); /* sets the home's epoch */
void session_commons_remove_home(struct session_commons *all, struct commons_home *home);
void session_commons_renew_home(struct session_commons *all, const struct commons_home *home); /* and its namesakes */

/* Returns the hash of a text that belongs to this home. */
uint32_t session_commons_hash(uint64_t seed, const char *home, const uint8_t *bytes, size_t len);
/* Returns an id that no other statement has. */
uint64_t session_commons_id(struct session_commons *all);
/* Gives the member an id, sets its epoch and returns the id. above: this id and all lower ones are outdated; 0 if none
 * is. Without memory, the id is shared with no other loop. */
uint64_t session_commons_name(struct session_commons *all, struct commons_member *m, uint64_t above);
/* Removes the member from its text. Call this before the member's bytes change or are freed. */
void session_commons_leave(struct session_commons *all, struct commons_member *m);

/* Returns the known shape of the rows under this id. If none is known, `shape` becomes known, and is returned. */
uint32_t session_commons_agree_on_shape(struct session_commons *all, const struct commons_member *m, uint64_t id,
					uint32_t shape);
/* Returns the parameter types, of *known_len bytes, that the text is known to have under this id; the caller frees
 * them. If none are known, returns NULL, and `types`, unless NULL, become known. */
uint8_t *session_commons_agree_on_types(struct session_commons *all, const struct commons_member *m, uint64_t id,
					const uint8_t *types, size_t len, size_t *known_len);
size_t session_commons_texts(struct session_commons *all); /* returns the number of texts */
