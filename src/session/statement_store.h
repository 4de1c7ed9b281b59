/*
 * src/session/statement_store.h - prepared statements, each stored once, however many clients have prepared it.
 *
 * A statement is identified by its home (the database for which it is meant), its SQL, its declared parameter types,
 * and its context (gucs_context()). The context counts because PostgreSQL reads literals by settings like DateStyle. A
 * statement has one name on all servers: pgweir_<tag>_<id>, where the tag is a secret of this process. Statements
 * without references are kept for a while, and the least recently used are dropped first. So a client that connects
 * only for a moment still finds servers that have its statements.
 *
 * PostgreSQL chooses the parameter types that a Parse does not declare, and clients that ask for the types rely on the
 * answer. So when a statement is renewed, i.e. gets a new id, its Parse declares the types that PostgreSQL has chosen,
 * except user-defined types, which may have been dropped and created again with another OID. Clients that prepare the
 * same SQL later get another statement, which does not declare these types.
 *
 * DDL does not renew statements itself: it increments the home's epoch, and each statement is renewed at its next use.
 *
 * A process with several event loops has a store for each; session_commons.h decides which ids their statements have.
 *
 * Owns:   the store owns its table and the statements without references; a statement owns its bytes, and a reference
 *         to its home.
 * Always: an id, and so a name on servers, stands for the same SQL as long as the process lives.
 */
#pragma once

#include "sql/traits.h"

#define STATEMENT_PREFIX "pgweir_"
#define STATEMENT_OVERHEAD 256u /* about how many bytes a statement takes, besides its text */
#define STATEMENT_NAME_MAX 48 /* bytes, with terminator */
/* the end of the name (statement_special_name()) of pgweir's own statement, which is not in srv->statements */
#define STATEMENT_PLACEHOLDER "taken"
/* statement.fingerprint if the SQL has run, but only once, or if report_fingerprint() returns 0 for the SQL */
#define STATEMENT_RAN_ONCE 1
/* the lowest OID of user-defined types; lower OIDs are the same in all databases */
#define STATEMENT_FIRST_USER_TYPE 16384u

struct session_commons; /* session/session_commons.h */
struct statement_store; /* opaque: statement_store.c */
struct statement_home; /* opaque, too */

/* Statistics for keep_plans, about a statement that clients prepare as the unnamed statement, and that keep_plans may
 * give a name on servers. Only statements/keep.c writes these fields. */
struct statement_plans {
	uint32_t uses; /* how often the statement was prepared, counted anew after a minute without a use */
	uint32_t last_used_s; /* when the statement was last prepared, in seconds */
	/* mean duration of its last uses without a name; the number of these uses */
	uint32_t unnamed_us, unnamed_count;
	uint32_t kept_count; /* uses under its name in the present window (keep.c) */
	uint64_t kept_us; /* the total duration of the kept_count uses */
	uint32_t slow_windows; /* how many windows in a row were slow */
	uint32_t give_up_count; /* how often keep_plans has given the statement up */
	uint32_t unnamed_until_s; /* until when the statement gets no name, in seconds */
};

struct statement {
	uint64_t id; /* never reused */
	struct statement_home *home;
	size_t len; /* bytes in `bytes` */
	size_t query_len; /* bytes of the query, without terminator */
	char name[STATEMENT_NAME_MAX]; /* the statement's name on servers */
	uint8_t name_len; /* without terminator */
	uint32_t context; /* the statement's gucs_context(); 0 if the context does not matter to this SQL */
	/* the shape of its rows (fields_hash_description()) under this id; 0 if not known yet */
	uint32_t shape;
	/* The end of a Parse: the query, its terminator, an int16 count, and that many int32 parameter types. When the
	 * statement is renewed, `bytes` and `len` may change, to declare types that were learnt. */
	const uint8_t *bytes;
	struct sql_traits traits; /* valid if has_traits is true; see statement_traits() */
	bool has_traits;
	/* the fingerprint of its SQL (exchange/report.h); 0 if the SQL has not run yet; or STATEMENT_RAN_ONCE */
	uint64_t fingerprint;
	struct sql_risk risk; /* the risk of its SQL and its declared types when it was last looked up */
	struct statement_plans plans;
	/* For keep_plans, if context is 0: a reference to the statement that has the same text, and the context in
	 * which this statement was last used; NULL if there is none. */
	struct statement *under_context;
	/* The pool and the GUC set with which a Parse of it last succeeded. Only compared, never followed. */
	const void *valid_pool, *valid_gucs;
};

/* Makes a store. seed: a random number. tag: a secret random number, the same for all stores of a process. commons:
 * shared by all stores of the process, and must outlive them; NULL if there is only one store. idle_bytes_max: the most
 * bytes of statements without references. */
struct statement_store *statement_store_new(uint64_t seed, uint64_t tag, struct session_commons *commons,
					    size_t idle_bytes_max);
/* Changes idle_bytes_max. Statements above the limit are freed at once. */
void statement_store_set_idle_max(struct statement_store *store, size_t idle_bytes_max);
/* Call this when there are no more references to statements or homes. */
void statement_store_free(struct statement_store *store);
/* Returns a new reference to the home of this name (hosts and database); NULL if there is no memory. */
struct statement_home *statement_home_get_or_create(struct statement_store *store, const char *name);
void statement_home_unref(struct statement_home *home); /* home may be NULL */
/* Call this when tables of the home's database have changed, because PostgreSQL may refuse earlier plans ("cached plan
 * must not change result type"). Each statement of this home, and of the homes with the same name in other stores of
 * the process, is then renewed at its next use. */
void statement_home_renew(struct statement_home *home);
/* Returns a new reference to the shared statement with these bytes (statement.bytes); NULL if there is no memory. Makes
 * the statement if needed, and refreshes it (statement_refresh()). */
struct statement *statement_get_or_create(struct statement_home *home, const uint8_t *bytes, size_t len,
					  size_t query_len, uint32_t context);
/* Returns the shared statement with these bytes and context 0, borrowed; NULL if there is none. */
struct statement *statement_peek(const struct statement_home *home, const uint8_t *bytes, size_t len);
/* Returns a new statement, for one client alone, even if a shared one has these bytes; NULL if there is no memory. */
struct statement *statement_new_unshared(struct statement_home *home, const uint8_t *bytes, size_t len,
					 size_t query_len);
/* Learns the parameter types that PostgreSQL has chosen for st. body: the body of a ParameterDescription of st under
 * its present name; ignored if malformed. */
void statement_learn_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns the types that were learnt, as the borrowed body of a ParameterDescription, and sets *len to its length.
 * Returns NULL if none were learnt. */
const uint8_t *statement_learnt_types(const struct statement *st, size_t *len);
/* Returns true if exactly these types were learnt for the statement, in this loop or another one. */
bool statement_check_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns true if the statement's rows are known to have this shape under its present id. If no shape is known yet,
 * makes this one known, and returns true. */
bool statement_agree_on_shape(struct statement *st, uint32_t shape);
/* Returns true if the statement may have parameters whose types it does not declare. */
bool statement_has_open_types(const struct statement *st);
/* Renews a shared statement: it gets a new id and name, so it is prepared again on servers at its next use, and
 * declares the parameter types that were learnt. */
void statement_renew(struct statement *st);
/* Renews st if its home's epoch has changed. Call this before the id or name of st is used. */
void statement_refresh(struct statement *st);
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement *st); /* st may be NULL */
/* Writes the name that the statement with this id has on servers. */
void statement_name_of(const struct statement_store *store, uint64_t id, char name[static STATEMENT_NAME_MAX]);
/* Writes the name of a statement of pgweir's own: the prefix, then `what`. */
void statement_special_name(const struct statement_store *store, const char *what,
			    char name[static STATEMENT_NAME_MAX]);
const char *statement_store_prefix(const struct statement_store *store); /* returns the beginning of all names */
/* Returns false for a statement that only one client may use: see statement_new_unshared(). */
bool statement_is_shared(const struct statement *st);
bool statement_has_one_ref(const struct statement *st); /* returns true if there is one reference to it */
/* Returns the traits that the statement's SQL has under all settings. Reads the SQL at the first call. */
static inline const struct sql_traits *
statement_traits(struct statement *st)
{
	if (!st->has_traits) {
		traits_set_for_all_options(&st->traits, (const char *)st->bytes, st->query_len);
		st->has_traits = true;
	}
	return &st->traits;
}

/* Copies *v to the statement's traits, unless these are known. v: what statement_traits() would return. */
static inline void
statement_take_traits(struct statement *st, const struct sql_traits *v)
{
	if (st->has_traits)
		return;
	st->traits = *v;
	st->has_traits = true;
}

/* Returns the same traits as statement_traits(), after adding the hints that matter to a Parse. */
static inline const struct sql_traits *
statement_parse_traits(struct statement *st)
{
	statement_traits(st);
	traits_add_parse_hints(&st->traits, (const char *)st->bytes, st->query_len);
	return &st->traits;
}

size_t statement_store_count(const struct statement_store *store); /* returns the number of statements */
size_t statement_store_bytes(const struct statement_store *store); /* returns the bytes of all statements */
/* Returns the bytes of the statements that have references. */
size_t statement_store_held_bytes(const struct statement_store *store);
/* Calls row for each shared statement, with its number of references. row must not change the store. */
void statement_store_each(const struct statement_store *store,
			  void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg);
