/*
 * src/session/statement_store.h - the texts of prepared statements, each kept once, whoever prepared them.
 *
 * A statement is known by its query text and parameter types (compared, not only hashed), and by the context it was
 * parsed in: PostgreSQL reads literals when it parses, under the session's DateStyle, TimeZone and the like. Its id
 * gives the one name it has on every server: pgweir_<id>. Statements nobody holds are kept for a while (the least
 * recently used go first), so that short-lived clients meet servers that know their statements already.
 *
 * Parameter types that a Parse leaves open are PostgreSQL's choice, and clients that asked hold on to the answer: a
 * statement that is renewed keeps the types it was found to have. Who comes later gets a statement of its own.
 */
#ifndef PGWEIR_SESSION_STATEMENT_STORE_H
#define PGWEIR_SESSION_STATEMENT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATEMENT_PREFIX "pgweir_"
#define STATEMENT_OVERHEAD 256u /* bytes of a statement, about, besides its text */
#define STATEMENT_NAME_MAX 32 /* bytes, with terminator */

struct statement_store; /* opaque: statement_store.c */

enum statement_finding { STATEMENT_UNKNOWN, STATEMENT_DOES_NOT, STATEMENT_DOES };

struct statement {
	uint64_t id; /* never reused */
	size_t len; /* bytes: query, terminator, int16 count, int32 types */
	size_t query_len; /* of the query, without terminator */
	char name[STATEMENT_NAME_MAX]; /* on servers */
	uint8_t name_len; /* without terminator */
	uint32_t context; /* image_context, or 0: it does not matter */
	uint32_t shape; /* of its rows, as somebody was told who used it under this id (fields_row_shape); 0: nobody */
	const uint8_t *bytes; /* renewal may change bytes and len: parameter types that were learnt */
	uint8_t listens, notifies; /* enum statement_finding, once client/listen.c has looked */
	uint8_t looks; /* the same, for a look into pg_prepared_statements: client/statement_materialise.c */
	/* What running it may leave in the session (enum scan_flag), once somebody has looked. */
	uint32_t suspicion;
	bool is_scanned;
	/* Where it was last prepared without an error: only compared, never followed. */
	const void *valid_pool, *valid_image;
};

/* idle_bytes_max: how much of statements nobody holds is kept. NULL: no memory. */
struct statement_store *statement_store_new(uint64_t seed, size_t idle_bytes_max);
void statement_store_free(struct statement_store *store); /* after all references are gone */
/* The one statement of these bytes (as fields_parse gives rest), with a new reference. NULL: no memory. */
struct statement *statement_get(struct statement_store *store, const uint8_t *bytes, size_t len, size_t query_len,
				uint32_t context);
/* A statement of its own, shared with nobody, though the text may be known. */
struct statement *statement_new_unshared(struct statement_store *store, const uint8_t *bytes, size_t len,
					 size_t query_len);
/* A ParameterDescription's body, of st as it is prepared under its present name. Malformed ones are ignored. */
void statement_learn_types(struct statement *st, const uint8_t *body, size_t len);
/*
 * What tables look like has changed: plans made before may be wrong or refused ("cached plan must not change result
 * type"). The statement gets a new id and name, so that servers prepare it anew at its next use, with the parameter
 * types that were learnt. Unshared ones stay as they are.
 */
void statement_renew(struct statement *st);
void statement_store_renew_all(struct statement_store *store);
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement *st); /* NULL is fine */
void statement_name_of(uint64_t id, char name[static STATEMENT_NAME_MAX]); /* as servers know it */
bool statement_is_alone(const struct statement *st); /* there is one reference to it */
size_t statement_store_count(const struct statement_store *store);
size_t statement_store_bytes(const struct statement_store *store); /* of all texts, held or not */
size_t statement_store_held_bytes(const struct statement_store *store);
/* Those that are shared, with how many references each has. row must not change the store. */
void statement_store_each(const struct statement_store *store,
			  void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg);

#endif
