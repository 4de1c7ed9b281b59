/*
 * src/session/statement_store.h - the SQL of prepared statements, each stored once, however many clients prepared it.
 *
 * A statement is identified by its home (the database it is meant for), its SQL and parameter types (compared, not only
 * hashed), and the context in which it was parsed: when PostgreSQL parses, it reads literals under the session's
 * DateStyle, TimeZone and the like, and under its role. The id of a statement gives it one name on every server:
 * pgweir_<tag>_<id>, where the tag is a secret of this process. Statements without references are kept for a while (the
 * least recently used go first), so short-lived clients find servers that already know their statements.
 *
 * PostgreSQL chooses the parameter types that a Parse leaves unspecified, and clients that ask for the types rely on
 * the answer. So when a statement is renewed (gets a new id), its Parse declares the types that PostgreSQL has chosen,
 * except user-defined types, which may have been dropped and created again with another OID. Clients that prepare the
 * same SQL later get another statement.
 *
 * A process with several loops has a store for each; session_commons.h decides which ids their statements have.
 *
 * DDL does not renew statements: it increments the home's epoch, and each statement is renewed at its next use.
 *
 * Owns:   the store owns its table and the statements without references; a statement owns its bytes, and a reference
 *         to its home.
 * Always: an id, and so a name on servers, means the same SQL for as long as the process lives.
 */
#pragma once

#include "sql/traits.h"

#define STATEMENT_PREFIX "pgweir_"
#define STATEMENT_OVERHEAD 256u /* approximate bytes of a statement, in addition to its text */
#define STATEMENT_NAME_MAX 48 /* bytes, with terminator */
/* what follows the prefix in the name of a statement of pgweir's own, which a server may have besides those that count
 */
#define STATEMENT_PLACEHOLDER "taken"
#define STATEMENT_RAN_ONCE 1 /* in place of a fingerprint, which is not computed for SQL that has come only once */
#define STATEMENT_FIRST_USER_TYPE 16384u /* the first user-defined type; lower OIDs are the same in all databases */

struct session_commons; /* session/session_commons.h */
struct statement_store; /* opaque: statement_store.c */
struct statement_home; /* opaque, too */

/* Statistics of a statement that clients prepare unnamed, for keep_plans. Only statements/keep.c writes them. */
struct statement_plans {
	/* how often the statement was prepared without a pause of a minute; when (s) it was last prepared */
	uint32_t uses, used_s;
	uint32_t unnamed_us, unnamed_count; /* mean time of its last uses without a name; the number of these uses */
	uint32_t kept_count; /* uses under its name in the present window */
	uint64_t kept_us; /* the total time of these uses */
	uint32_t slow_windows; /* slow windows in a row; keep.c says how many are followed by a trial */
	uint32_t given_up; /* how often keep_plans gave the statement up */
	uint32_t given_up_s; /* until when (s) the statement gets no name */
};

struct statement {
	uint64_t id; /* never reused */
	struct statement_home *home;
	size_t len; /* bytes of the query, its terminator, an int16 count and int32 types */
	size_t query_len; /* bytes of the query, without terminator */
	char name[STATEMENT_NAME_MAX]; /* the statement's name on servers */
	uint8_t name_len; /* without terminator */
	uint32_t context; /* number of gucs_context(); 0 if the context does not matter */
	/* the shape of its rows (fields_description_hash) under this id; 0 if not known yet */
	uint32_t shape;
	const uint8_t *bytes; /* renewal may change bytes and len, to declare parameter types that were learnt */
	struct sql_traits traits; /* traits of its SQL; valid if is_read is true: see statement_traits() */
	bool is_read;
	/* fingerprint of its SQL, by exchange/report.h; 0 if it did not run; or STATEMENT_RAN_ONCE */
	uint64_t fingerprint;
	struct sql_risk risk; /* risk of its SQL and its declared types, as last looked up */
	struct statement_plans plans;
	/* For keep_plans: a reference to the statement that stands for this one under settings that matter to it; or
	 * NULL. */
	struct statement *under_context;
	/* The pool and GUC set with which it was last prepared without an error. Only compared, never followed. */
	const void *valid_pool, *valid_gucs;
};

/* Makes a store. tag: secret, random, and the same for all stores of a process. commons: shared by these stores, which
 * it must outlive; NULL if there is one store. idle_bytes_max limits the statements without references. */
struct statement_store *statement_store_new(uint64_t seed, uint64_t tag, struct session_commons *commons,
					    size_t idle_bytes_max);
/* Changes idle_bytes_max. Statements above the limit are freed at once. */
void statement_store_set_idle_max(struct statement_store *store, size_t idle_bytes_max);
void statement_store_free(struct statement_store *store); /* call this after all references are gone, also to homes */
/* Returns the home of this name (hosts and database), with a new reference; NULL without memory. */
struct statement_home *statement_home_get(struct statement_store *store, const char *name);
void statement_home_unref(struct statement_home *home); /* home may be NULL */
/* Call this when tables of the home's database have changed, because earlier plans may be wrong or refused ("cached
 * plan must not change result type"). All statements of the homes of this name, in all stores of the process, become
 * due to be renewed. */
void statement_home_renew(struct statement_home *home);
/* Returns a new reference to the statement with these bytes (rest of fields_read_parse), refreshed; NULL without
 * memory. */
struct statement *statement_get(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len,
				uint32_t context);
/* Returns the shared statement with these bytes and context 0, without a reference; NULL if there is none. */
struct statement *statement_peek(const struct statement_home *home, const uint8_t *bytes, size_t len);
/* Returns a statement that is not shared, even if its SQL is stored already; NULL without memory. */
struct statement *statement_new_unshared(struct statement_home *home, const uint8_t *bytes, size_t len,
					 size_t query_len);
/* Notes the parameter types that PostgreSQL has chosen for st. body: a ParameterDescription for st under its present
 * name; ignored if malformed. */
void statement_learn_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns the types that were learnt (borrowed), in the form of statement_learn_types(); NULL if none were learnt. */
const uint8_t *statement_learnt_types(const struct statement *st, size_t *len);
/* Returns true if the statement was found to have exactly these types, here or in another loop. */
bool statement_check_types(struct statement *st, const uint8_t *body, size_t len);
/* Returns true if its rows have this shape. If none was known under its present id, `shape` becomes known. */
bool statement_check_shape(struct statement *st, uint32_t shape);
/* Returns true if the statement has, or may have, parameters whose types are not declared. */
bool statement_has_open_types(const struct statement *st);
/* Gives the statement a new id and name, so servers prepare it again at its next use, with the parameter types that
 * were learnt. Unshared statements stay as they are. */
void statement_renew(struct statement *st);
/* call this before the id or name of st is used: renews st if that is due */
void statement_refresh(struct statement *st);
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement *st); /* st may be NULL */
/* writes the name on servers */
void statement_name_of(const struct statement_store *store, uint64_t id, char name[static STATEMENT_NAME_MAX]);
/* Writes the name of a statement of pgweir's own, which belongs to no client: the prefix, then `what`. */
void statement_special_name(const struct statement_store *store, const char *what,
			    char name[static STATEMENT_NAME_MAX]);
const char *statement_store_prefix(const struct statement_store *store); /* the beginning of all names */
bool statement_is_shared(const struct statement *st);
bool statement_has_one_ref(const struct statement *st); /* returns true if there is one reference to it */
/* Returns the traits of the statement's SQL that hold under all settings; they are made at the first call. */
static inline const struct sql_traits *
statement_traits(struct statement *st)
{
	if (!st->is_read) {
		traits_of_all_options(&st->traits, (const char *)st->bytes, st->query_len);
		st->is_read = true;
	}
	return &st->traits;
}

/* Gives the statement the traits of its SQL, which the caller has made already. */
static inline void
statement_take_traits(struct statement *st, const struct sql_traits *v)
{
	if (st->is_read)
		return;
	st->traits = *v;
	st->is_read = true;
}

/* Returns the same traits as statement_traits(), with the hints of a Parse. */
static inline const struct sql_traits *
statement_parse_traits(struct statement *st)
{
	statement_traits(st);
	traits_of_parse(&st->traits, (const char *)st->bytes, st->query_len);
	return &st->traits;
}

size_t statement_store_count(const struct statement_store *store);
/* bytes of all statements, with references or without */
size_t statement_store_bytes(const struct statement_store *store);
size_t statement_store_held_bytes(const struct statement_store *store);
/* Calls row for each shared statement, with its number of references. row must not change the store. */
void statement_store_each(const struct statement_store *store,
			  void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg);
