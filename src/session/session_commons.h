/*
 * src/session/session_commons.h - shares two things between the event loops of one process: the ids of prepared
 * statements, and the numbers of contexts (gucs_context()).
 *
 * Each loop has its own statements (statement_store.h) and its own GUC sets (gucs.h). But servers move from loop to
 * loop with their prepared statements, so equal statements of two loops must have the same id, and thus the same name
 * on servers. A *text* is the SQL and parameter types of a statement, for one home (a database, see statement_store.h)
 * and context. A loop's statement with the same SQL, types, home and context is a *member* of the text. The first
 * member gets a new id for the text; all others get the same id. Two facts about a text under its present id are
 * shared, too: the shape of its rows, and the parameter types that PostgreSQL has chosen.
 *
 * When a text must be renewed, i.e. get a new id, the first loop that notices makes the id. Another loop takes over the
 * new id when it sees that the epoch of its member's home has changed, or that the member's own epoch is COMMONS_STALE.
 *
 * The functions take one lock, for less than a microsecond. A loop calls them only when a text is new to the loop, when
 * it renews a text or learns something about a text, and when it makes or drops a home or a context. A process with one
 * loop uses only contexts.
 *
 * Owns:   contexts and texts. The stores own their homes and members.
 * Always: each id is given once, to one text. A text lives as long as it has a member; its key is a member's bytes.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define COMMONS_STALE UINT64_MAX /* the epoch of a member that must be renewed; no home ever has this epoch */

struct session_commons; /* opaque: session_commons.c */
struct commons_text; /* opaque, too */

/* A home: the statements of a database, in one loop. Homes with the same name, in all loops, have the same epoch. */
struct commons_home {
	const char *name;
	/* any loop increments the epoch when all statements of the home must be renewed at their next use */
	_Atomic uint64_t epoch;
	LIST_ENTRY(commons_home) all;
};

/* A statement in one loop. While text is not NULL, home, bytes, len and context do not change. */
struct commons_member {
	const struct commons_home *home;
	const uint8_t *bytes; /* SQL and parameter types */
	size_t len;
	uint32_t context;
	/* home->epoch when the member got its id; COMMONS_STALE if another loop has renewed the text since */
	_Atomic uint64_t epoch;
	struct commons_text *text; /* NULL if this is a member of no text */
	LIST_ENTRY(commons_member) others; /* links all members of the text */
};

struct session_commons *session_commons_new(uint64_t seed); /* seed is random, because clients choose the texts */
void session_commons_free(struct session_commons *all); /* call this after all stores are freed; `all` may be NULL */

/* The settings of gucs_context() in one string, and their number. A context lives as long as a GUC set has it. Its
 * number is never used again, so facts that were stored with the number never apply to another context. */
struct commons_context; /* opaque */
#define COMMONS_CONTEXTS_MAX 262144u /* the most contexts at once, in all loops */
/* Returns a new reference to the context of these settings, and sets *number. Returns NULL if there is no memory, or if
 * there are too many contexts. */
struct commons_context *session_commons_get_or_create_context(struct session_commons *all, const void *settings,
							      size_t len, uint32_t *number);
void session_commons_context_unref(struct session_commons *all, struct commons_context *c);

void session_commons_add_home(struct session_commons *all, struct commons_home *home); /* sets the home's epoch */
void session_commons_remove_home(struct session_commons *all, struct commons_home *home);
/* Increments the epoch of all homes that have the name of this one. */
void session_commons_renew_home(struct session_commons *all, const struct commons_home *home);

/* Returns the hash of a text that belongs to this home. */
uint32_t session_commons_hash(uint64_t seed, const char *home, const uint8_t *bytes, size_t len);
/* Returns an id that no other statement has. */
uint64_t session_commons_new_id(struct session_commons *all);
/* Makes m a member of its text, sets m->epoch, and returns the text's id. If the home's epoch has changed since the
 * text got its id, or if the id is not greater than `above`, the text gets a new id first. If there is no memory,
 * returns a new id that no other loop gets. */
uint64_t session_commons_join(struct session_commons *all, struct commons_member *m, uint64_t above);
/* Removes the member from its text. Call this before the member's bytes change or are freed. */
void session_commons_leave(struct session_commons *all, struct commons_member *m);

/* Returns the row shape that all loops know for m's text under this id; else `shape`, which becomes known. */
uint32_t session_commons_agree_on_shape(struct session_commons *all, const struct commons_member *m, uint64_t id,
					uint32_t shape);
/* Returns the parameter types that all loops know for m's text under this id, and sets *known_len to their length in
 * bytes; the caller frees them. If none are known yet, returns NULL, and `types` become known, unless they are NULL. */
uint8_t *session_commons_agree_on_types(struct session_commons *all, const struct commons_member *m, uint64_t id,
					const uint8_t *types, size_t len, size_t *known_len);
size_t session_commons_count_texts(struct session_commons *all); /* returns the number of texts */
