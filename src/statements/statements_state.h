/*
 * src/statements/statements_state.h - one client's prepared statements: what the files statements*.c and relay/retry.c
 * share.
 *
 *   statements.c          Bind, Describe, Close of named ones, and which server has what
 *   statements/parse.c     Parse of named ones
 *   statements/names.c     the table of a client's names, and its bytes
 *   statements/unnamed.c   the unnamed one
 *   statements/deallocate.c       SQL that deallocates them
 *   statements/expose.c  under the client's own names, for texts that look for them there
 *   statements/settled.c   what became of messages that were sent; errors that speak of our names
 *   statements/row_shape.c     what a client was told about a statement's rows and parameters
 *   relay/retry.c               a request that met an outdated plan is sent once more
 *
 * Always: a named statement is freed when neither the table nor a ledger entry (as ref) holds it.
 */
#ifndef PGWEIR_STATEMENTS_STATEMENTS_STATE_H
#define PGWEIR_STATEMENTS_STATEMENTS_STATE_H

#include "statements/statements.h"

/*
 * A client may have thousands, thus small. Ids of statements are cut to their low bits: what they are compared with was
 * given out not long before or after.
 */
struct named {
	struct statement *st; /* NULL: oversize */
	struct image *read_as; /* image_reading when it was parsed; a reference of its own. NULL: it does not matter */
	uint32_t id; /* the statement's, which DDL may renew: of its Parse while pending, then of what was told last */
	uint32_t asked; /* its id when a Describe was last sent */
	uint32_t refs; /* the table's and the ledger's */
	uint32_t scope; /* in which its Parse or Close was sent: Syncs counted */
	uint32_t hash;
	uint32_t order; /* in which the client named them */
	uint32_t shape; /* of its rows as the client was told (fields_row_shape) */
	uint32_t types; /* of its parameters as the client was told, if a database made one of them; else 0 */
	bool is_pending : 1; /* no ParseComplete yet */
	bool is_closing : 1; /* Close was sent, no CloseComplete yet: as good as gone, unless it is skipped */
	bool is_void : 1; /* its Parse failed or was skipped: it never was */
	bool is_in_table : 1, is_oversize : 1;
	bool is_first : 1; /* nobody else held the statement: its text counts as this client's */
	bool is_proven : 1; /* PostgreSQL took it for this client: its Parse, Bind or Describe */
	bool is_told : 1; /* the client was told about its rows */
	bool is_proving : 1; /* a Describe of ours is under way */
	bool is_materialised : 1; /* if anything is: the server has it under the client's own name */
	bool is_changed : 1; /* which found rows of another shape, or other types, under the id asked */
	bool is_asking_anew : 1; /* a Describe of a Parse of now is under way */
	bool has_other_types : 1; /* the last one of ours found types other than those the client was told */
	char name[];
};

struct client_statements {
	struct named **slots; /* open addressing, linear; NULL: free */
	uint32_t slot_count, count; /* slot_count: 0 or a power of two */
	size_t bytes; /* of table and names, and of texts that are its own */
	struct exchange_env *env;
	struct statement *unnamed; /* as of the last message sent */
	struct statement *confirmed; /* as of the last reply received; the same when no change is under way */
	uint32_t unnamed_scope; /* in which the last change of it was sent */
	uint32_t unnamed_under_way; /* changes of it, on the server or for the client, without a reply */
	uint64_t token; /* of its present state: the server whose unnamed_of equals it is in that state */
	struct named *failed; /* whose message the last error was about */
	struct named *describing; /* the Describe of its portal comes next, and the client is told its rows anew */
	uint32_t scope; /* Syncs sent */
	uint32_t named_count; /* that ever were */
	struct buf undoing; /* Closes of what was materialised on its server */
	uint32_t materialised_count;
	bool is_materialised; /* something is */
	bool is_look; /* all are, for a text that looks for them */
	uint32_t oversize_count; /* named ones too large to be kept: they live on one server only */
	bool is_unnamed_oversize, is_confirmed_oversize, is_oversize_bound;
	bool is_confirmed_there; /* while changes are under way: the server is in the confirmed state, if all are
				    skipped */
	struct named *deallocating; /* SQL DEALLOCATE of it is under way */
	bool is_empty_made; /* for which the server was given an empty one first */
	bool is_clearing; /* DEALLOCATE ALL or DISCARD ALL is under way */
	bool is_use_failed; /* the last error was about a Bind or Describe of failed ... */
	bool is_failed_describe; /* ... and this says which */
	bool is_types_told; /* the Describe that is sent once more has its ParameterDescription already */
};

/* What a ledger entry's ref is, by its low bits. */
enum ref_tag { REF_NAMED = 0, REF_UNNAMED = 1, REF_ID = 2, REF_UNNAMED_OVERSIZE = 3, REF_MASK = 3 };

static inline void *
ref_of(const void *p, enum ref_tag t)
{
	return (void *)((uintptr_t)p | (uintptr_t)t);
}

static inline void *
ref_of_id(uint64_t id)
{
	return (void *)((uintptr_t)(id << 2) | (uintptr_t)REF_ID);
}

/*
 * A client may find out how we call statements on servers, and use such a name: it must not reach another client's.
 * This, behind the store's prefix (special_name), goes before the name; no statement of ours is called so. Names of
 * clients that get it begin with that prefix; the others are ours: PostgreSQL knows no such statement, and its error is
 * replaced by the one that is meant.
 */
#define STRANGER "?"
#define STRANGER_FULL STRANGER "full" /* no room for another statement */
#define STRANGER_CHANGED STRANGER "changed" /* its rows or parameters are not what the client was told */
/* A statement for a Parse of a name that is taken to fail at, or to see what PostgreSQL says of it now. */
#define STAND_IN STATEMENT_STAND_IN

/* statements/names.c */
struct client_statements *names_own(struct exchange *x); /* made at first use; NULL: no memory */
struct named *named_find(const struct exchange *x, const char *name);
/* What comes of an earlier message about this name (n may be NULL) is known only when the Sync behind is answered. */
bool named_is_unsettled(const struct exchange *x, const struct named *n);
/* Pending, with one reference, the caller's; takes st if it succeeds. NULL: no memory. */
struct named *named_new(struct exchange *x, const char *name, struct statement *st);
void named_unref(struct named *n);
int named_enter(struct client_statements *own, struct named *n); /* -1: no memory, n is not in the table */
void named_leave(struct client_statements *own, struct named *n); /* fine if it is not in the table; may free n */
int named_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct named *n);
static inline uint32_t
short_id(const struct statement *st)
{
	return (uint32_t)st->id;
}

void names_clear(struct client_statements *s); /* all but those whose Parse is under way */
bool name_is_ours(const struct exchange *x, const char *name); /* as servers know it */
void special_name(const struct exchange *x, const char *what, char name[static STATEMENT_NAME_MAX]);
/* Before its id or name is used: it is renewed if that is due. -1: no memory. */
int named_refresh(struct exchange *x, struct named *n);
/*
 * Its statement gets a new id; other clients keep the parameter types they know. opens: this one does not know any, and
 * leaves them open again.
 */
void named_renew(struct exchange *x, struct named *n, bool opens);
/* May the statement of this Parse be kept for this client? */
bool names_have_room(const struct exchange *x, const struct parse_fields *f);

/* statements.c */
enum statement_presence statement_presence_of(struct exchange *x, const struct statement *st);
/* Sees to it that the server has n's statement when what follows arrives there. DONE, HOLD or FAILED. */
enum statement_step statement_ensure(struct exchange *x, struct named *n);
int statement_evict(struct exchange *x); /* room for one more on its server. -1: no memory */
int statement_close_outdated(struct exchange *x, const struct statement *st); /* before its Parse. -1: no memory */
/* A Parse of st under this name, text from the store. */
void put_parse(struct exchange *x, const char *name, const struct statement *st);

/* statements/expose.c */
/* Is n to be used under the client's own name? */
bool materialised_is(const struct exchange *x, const struct named *n);
/* Is a new statement of this text to be parsed under the client's own name? Then by materialised_parse; -1: no memory.
 */
bool materialised_takes(const struct exchange *x, struct statement *st);
int materialised_parse(struct exchange *x, struct named *n);

/* statements/parse.c */
/* closed: which had the name, and is as good as gone. */
enum statement_step statements_parse_named(struct exchange *x, const struct parse_fields *f, struct named *closed);

/* statements/unnamed.c */
enum statement_step unnamed_ensure(struct exchange *x); /* the server has the client's own unnamed statement, or none */
enum statement_step unnamed_parse(struct exchange *x, const struct parse_fields *f, const uint8_t *message, size_t len);
int unnamed_parse_oversize(struct exchange *x);
enum statement_step unnamed_close(struct exchange *x, enum owed_to to);
void unnamed_drop(struct exchange *x); /* for certain: nothing is under way */
void unnamed_settled(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize,
		     enum owed_end how);

/* statements/deallocate.c: DONE, HOLD, FAILED as a Parse; FORWARD: it deallocates nothing of ours. */

/* statements/row_shape.c */
/*
 * Before a Bind of n, behind which next_len bytes lie at next. HOLD: it must be seen first whether its rows are still
 * what the client was told. FORWARD: they are not. DONE: n may be bound. bind: its body; one that gives formats of
 * several columns knows the rows, whatever comes behind it.
 */
enum statement_step shape_prove(struct exchange *x, struct named *n, const char *portal, const uint8_t *bind,
				size_t bind_len, const uint8_t *next, size_t next_len);
void shape_asked(struct named *n); /* a Describe of it is sent */

/* relay/retry.c */
void rerun_begins(struct server *srv); /* what is sent next is kept, if nothing of this request was sent before */

#endif
