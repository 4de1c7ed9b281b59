/*
 * src/session/statement_store.h - the SQL of prepared statements, each stored once, whichever clients prepared it.
 *
 * A statement is identified by its home (the database it is meant for), its SQL and parameter types (compared, not only
 * hashed), and the context it was parsed in: PostgreSQL reads literals when it parses, under the session's DateStyle,
 * TimeZone and the like, and for the role that the session has then. Its id gives the one name it has on every server:
 * pgweir_<tag>_<id>, where the tag is a secret of this process. Statements that nobody holds are kept for a while (the
 * least recently used go first), so that short-lived clients find servers that know their statements already.
 *
 * PostgreSQL chooses the parameter types that a Parse leaves open, and clients that asked rely on the answer. So a
 * renewed statement keeps the types it was found to have, except types that a database made itself: these may have been
 * dropped and created again with another number. Clients that come later get another statement.
 *
 * A process with several loops has a store for each; which ids their statements have is decided in session_commons.h.
 *
 * DDL does not renew statements: it increments the home's epoch, and each statement is renewed when it is used next.
 *
 * Owns:   the store its table and the statements that nobody holds; a statement its bytes, and a reference to its home.
 * Always: an id, and so a name on servers, is never used again: it means the same SQL for as long as the process lives.
 */
#pragma once

#include "sql/traits.h"

#define STATEMENT_PREFIX "pgweir_"
#define STATEMENT_OVERHEAD 256u /* bytes of a statement, about, besides its text */
#define STATEMENT_NAME_MAX 48 /* bytes, with terminator */
#define STATEMENT_PLACEHOLDER "taken" /* behind the prefix: servers may have it besides those that are counted */
#define STATEMENT_RAN_ONCE 1 /* in place of a fingerprint: what comes once need not be read */
#define STATEMENT_FIRST_OWN_TYPE 16384u /* types with a lower OID are PostgreSQL's, and the same in all databases */

struct session_commons; /* session/session_commons.h */
struct statement_store; /* opaque: statement_store.c */
struct statement_home; /* the same */

/* Statistics of a statement that clients prepare unnamed, for keep_plans. statements/keep.c is their only writer. */
struct statement_plans {
	uint32_t uses, used_s; /* how often it was prepared, each time within a minute of the one before; when last */
	uint32_t unnamed_us, unnamed_count; /* mean time of its last uses without a name, and of how many that is */
	uint32_t kept_count; /* uses under its name, of the present window */
	uint64_t kept_us; /* the time that they took */
	uint32_t slow_windows; /* one after the other */
	uint32_t given_up, given_up_s; /* how often; until when it has no name */
};

struct statement {
	uint64_t id; /* never reused */
	struct statement_home *home;
	size_t len; /* bytes: query, terminator, int16 count, int32 types */
	size_t query_len; /* of the query, without terminator */
	char name[STATEMENT_NAME_MAX]; /* on servers */
	uint8_t name_len; /* without terminator */
	uint32_t context; /* gucs_context, or 0: it does not matter */
	uint32_t
	    shape; /* of its rows (fields_row_shape), as a client that used it under this id knows them; 0: none does */
	const uint8_t *bytes; /* renewal may change bytes and len: parameter types that were learnt */
	struct sql_traits traits; /* of its SQL; if is_read: see statement_traits() */
	bool is_read;
	uint64_t fingerprint; /* of its SQL, by exchange/report.h; 0: it did not run; or STATEMENT_RAN_ONCE */
	struct sql_risk risk; /* of its SQL and its declared types, as last looked up */
	struct statement_plans plans;
	/* For keep_plans: the statement that it is under settings that matter to it, a reference; or NULL. */
	struct statement *under_context;
	/* Where it was last prepared without an error: only compared, never followed. */
	const void *valid_pool, *valid_gucs;
};

/* tag: secret, random, the same for all stores of a process. commons: what these share, which lives longer; NULL: there
 * is one store. idle_bytes_max: for statements that nobody holds. */
struct statement_store *statement_store_new(uint64_t seed, uint64_t tag, struct session_commons *commons,
					    size_t idle_bytes_max);
/* Changes idle_bytes_max; what is above it goes at once. */
void statement_store_set_idle_max(struct statement_store *store, size_t idle_bytes_max);
void statement_store_free(struct statement_store *store); /* after all references are gone, those to homes too */
/* Returns the home of this name (hosts and database), with a new reference; NULL without memory. */
struct statement_home *statement_home_get(struct statement_store *store, const char *name);
void statement_home_unref(struct statement_home *home); /* NULL is fine */
/* Tables have changed there: plans made before may be wrong or refused ("cached plan must not change result type").
 * Makes all statements of the home due to be renewed, and those of the homes of this name
 * in the other stores of the process. */
void statement_home_renew(struct statement_home *home);
/* Returns the statement of these bytes (rest of fields_parse), refreshed, with a new reference. NULL: no memory. */
struct statement *statement_get(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len,
				uint32_t context);
/* Returns the shared statement of these bytes and context 0, without a reference; NULL: there is none. */
struct statement *statement_peek(const struct statement_home *home, const uint8_t *bytes, size_t len);
/* Returns a statement that is shared with nobody, even if its SQL is stored already. NULL: no memory. */
struct statement *statement_new_unshared(struct statement_home *home, const uint8_t *bytes, size_t len,
					 size_t query_len);
/* body: a ParameterDescription of st as it is prepared under its present name. Malformed ones are ignored. */
void statement_learn_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns the types that were learnt, in the form of statement_learn_types(), borrowed; NULL: none were. */
const uint8_t *statement_learnt_types(const struct statement *st, size_t *len);
/* Returns true if it was found to have exactly these types. */
bool statement_has_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns true if this is the shape of its rows: as it was found under its present id, or found now. */
bool statement_has_shape(struct statement *st, uint32_t shape);
/* Returns true if its types are not all declared, or not known yet. */
bool statement_has_open_types(const struct statement *st);
/* Gives the statement a new id and name, so that servers prepare it again at its next use, with the parameter types
 * that were learnt. Unshared ones stay as they are. */
void statement_renew(struct statement *st);
void statement_refresh(struct statement *st); /* its id or name is about to be used: renews it if that is due */
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement *st); /* NULL is fine */
void statement_name_of(const struct statement_store *store, uint64_t id,
		       char name[static STATEMENT_NAME_MAX]); /* as servers know it */
/* The name of a statement of pgweir's own, which is no client's: the prefix and what. */
void statement_special_name(const struct statement_store *store, const char *what,
			    char name[static STATEMENT_NAME_MAX]);
const char *statement_store_prefix(const struct statement_store *store); /* what all these names begin with */
bool statement_is_shared(const struct statement *st);
bool statement_is_alone(const struct statement *st); /* there is one reference to it */
/* Returns the traits of its SQL, whichever settings PostgreSQL reads that under; made at the first call. */
static inline const struct sql_traits *
statement_traits(struct statement *st)
{
	if (!st->is_read) {
		traits_anyhow(&st->traits, (const char *)st->bytes, st->query_len);
		st->is_read = true;
	}
	return &st->traits;
}

/* Gives it the traits of this SQL of its, which somebody has made. */
static inline void
statement_take_traits(struct statement *st, const struct sql_traits *v)
{
	if (st->is_read)
		return;
	st->traits = *v;
	st->is_read = true;
}

/* The same as statement_traits(), with the hints of a Parse. */
static inline const struct sql_traits *
statement_parse_traits(struct statement *st)
{
	statement_traits(st);
	traits_of_parse(&st->traits, (const char *)st->bytes, st->query_len);
	return &st->traits;
}

size_t statement_store_count(const struct statement_store *store);
size_t statement_store_bytes(const struct statement_store *store); /* of all statements, held or not */
size_t statement_store_held_bytes(const struct statement_store *store);
/* Calls row for each shared statement, with its number of references. row must not change the store. */
void statement_store_each(const struct statement_store *store,
			  void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg);
