/*
 * src/statements/statements_state.h - one client's prepared statements: what the files of this folder and relay/retry.c
 * share.
 *
 *   statements.c            Bind, Describe and Close of named statements; which server has which
 *   parse.c                 Parse of named statements
 *   names.c                 the table of a client's names, and its memory
 *   unnamed.c               the unnamed statement
 *   keep.c                  unnamed ones that have a name on servers
 *   statements_deallocate.c SQL that deallocates statements
 *   settled.c               the results of messages; errors that contain pgweir's names
 *   row_shape.c             what a client knows of a statement's rows and parameters
 *   statements_transfer.c   statements of a client that moves to another process
 *
 * Owns:   struct client_statements, its names, and a reference to each statement that they stand for.
 * Always: a named statement is freed when neither the table nor a ledger entry (as ref) holds it.
 */
#pragma once

#include "statements/statements.h"

/* The life of a name of the client's: client_statement_step() is the only writer. */
enum name_state {
	NAME_THERE,
	NAME_CLOSING, /* its Close was sent, no CloseComplete yet: as good as gone, unless it is skipped */
	NAME_PENDING, /* its Parse was sent, no ParseComplete yet */
	NAME_PENDING_CLOSING, /* the same of both */
	NAME_GONE /* it was closed; or its Parse failed or was skipped, and it never existed */
};
enum name_event { NAME_PARSED, NAME_NOT_PARSED, NAME_CLOSE_SENT, NAME_CLOSED, NAME_CLOSE_SKIPPED };

/* The client's knowledge of a statement's rows. */
enum rows_known {
	ROWS_UNTOLD,
	ROWS_TOLD,
	ROWS_CHANGED /* pgweir's own Describe has found other rows or types under the id asked */
};

/* The Describe that is under way. */
enum describing {
	DESCRIBING_NOT,
	DESCRIBING_ANEW, /* the client's, of the statement parsed once more */
	DESCRIBING_TO_PROVE, /* pgweir's own */
	DESCRIBING_OTHER_TYPES /* ... which has found types other than those the client knows */
};

/*
 * A named statement of a client. A client may have thousands, so it is small. Ids are cut to their low bits: those they
 * are compared with were given out not long before or after.
 */
struct client_statement {
	struct statement *st; /* NULL: oversize */
	uint32_t id; /* the statement's, which DDL may renew: of its Parse while pending, then of what was told last */
	uint32_t asked; /* its id when a Describe was last sent */
	uint32_t refs; /* the table's and the ledger's */
	uint32_t sync_no; /* in which its Parse or Close was sent: Syncs counted */
	uint32_t hash;
	uint32_t order; /* in which the client named them */
	uint32_t shape; /* of its rows as the client was told (fields_row_shape) */
	uint32_t types; /* of its parameters as the client was told, if a database made one of them; else 0 */
	enum name_state state : 3;
	enum rows_known rows : 2;
	enum describing describing : 2;
	bool is_in_table : 1; /* the table has a reference; set and cleared by names.c */
	bool is_first : 1; /* its SQL counts as this client's; set by client_statement_new(), never cleared */
	/* PostgreSQL has accepted it for this client. Set by settled.c and statements_transfer.c, never cleared. */
	bool is_proven : 1;
	char name[];
};

/* Returns true if its Parse is under way. */
static inline bool
statement_is_pending(const struct client_statement *n)
{
	return n->state == NAME_PENDING || n->state == NAME_PENDING_CLOSING;
}

/* Returns true if its Close is under way. */
static inline bool
statement_is_closing(const struct client_statement *n)
{
	return n->state == NAME_CLOSING || n->state == NAME_PENDING_CLOSING;
}

/* Returns true for the unnamed one, which has a name on servers alone: statements/keep.h. */
static inline bool
statement_is_unnamed(const struct client_statement *n)
{
	return n->name[0] == '\0';
}

/* Returns true if it is too large to be stored: only the server has it, under the client's own name. */
static inline bool
statement_is_oversize(const struct client_statement *n)
{
	return n->st == NULL;
}

/* The use of a statement that the last error was about. */
enum failed_use { FAILED_NO_USE, FAILED_BIND, FAILED_DESCRIBE };

#define DEALLOCATING_MAX 8 /* by one Query */

enum unnamed_kind {
	UNNAMED_STORED, /* or none */
	UNNAMED_OVERSIZE, /* only the server has it, and is kept for it */
	UNNAMED_OVERSIZE_BOUND /* ... until it was bound */
};

struct client_statements {
	struct client_statement **slots; /* open addressing, linear; NULL: free */
	uint32_t slot_count, count; /* slot_count: 0 or a power of two */
	uint32_t found_at; /* the slot of the name that was found last: most often it is the next one, too */
	size_t bytes; /* of table and names, and of the SQL that is its own */
	struct exchange_env *env;
	struct statement *unnamed; /* as of the last message sent */
	struct statement *confirmed; /* as of the last reply received; the same when no change is under way */
	uint32_t unnamed_sync_no; /* in which the last change of it was sent */
	uint32_t unnamed_under_way; /* changes of it, on the server or for the client, without a reply */
	uint32_t unnamed_overwritten; /* how many of these, the first ones, pgweir's own SQL has overwritten since */
	uint64_t token; /* identifies its present state: a server whose unnamed_owner is equal is in that state */
	struct client_statement *kept; /* the unnamed one with its name on servers, if kept_token is token: keep.h */
	uint64_t kept_token;
	uint32_t unnamed_binds; /* Binds of the unnamed one in the fast lane, since a request was answered */
	struct client_statement *failed; /* the last error was about a message of this statement */
	struct client_statement *describing; /* the Describe of its portal comes next, and shows the client its rows */
	uint32_t describing_sync_no; /* of its Bind: if both were skipped, another portal's Describe comes later */
	uint32_t sync_no; /* Syncs sent */
	uint32_t named_count; /* names that ever were */
	uint8_t failed_use; /* enum failed_use, of failed */
	uint32_t oversize_count; /* named ones too large to be stored: only one server has them */
	uint32_t begin_count; /* named ones that may be a BEGIN with a mode */
	uint8_t unnamed_kind, confirmed_kind; /* enum unnamed_kind */
	/* The server is in the confirmed state if all changes under way are skipped. Set and cleared by unnamed.c. */
	bool is_confirmed_there;
	/* SQL DEALLOCATE of these is under way, in this order; empty ones have their names there. NULL: of another. */
	struct client_statement *deallocating[DEALLOCATING_MAX];
	uint8_t deallocating_count;
	/* DEALLOCATE ALL, DISCARD ALL are under way; set by statements_deallocate.c, cleared by statements_deallocate.c
	 * and statements_request_done(). */
	bool is_clearing;
	/* The Describe that is sent once more has its ParameterDescription. Set by retry_wanted(), cleared by
	 * describe_named(). */
	bool is_types_told;
};

static inline uint32_t
short_id(const struct statement *st)
{
	return (uint32_t)st->id;
}

/* The low bits of a ledger entry's ref tell what it points to. */
enum ref_tag { REF_NAMED = 0, REF_UNNAMED = 1, REF_ID = 2, REF_UNNAMED_OVERSIZE = 3, REF_MASK = 3 };

static inline void *
statements_ref_of(const void *p, enum ref_tag t)
{
	return (void *)((uintptr_t)p | (uintptr_t)t);
}

static inline void *
statements_ref_of_id(uint64_t id)
{
	return (void *)((uintptr_t)(id << 2) | (uintptr_t)REF_ID);
}

/*
 * A client may find out the names that statements have on servers, and use such a name: it must not reach another
 * client's statement. So the store's prefix and UNKNOWN_NAME (statement_special_name) are put before the name; no
 * statement is called so. The longer ones stand for refusals of pgweir's: PostgreSQL knows no such statement, and its
 * error is replaced by the one that is meant.
 */
#define UNKNOWN_NAME "?"
#define UNKNOWN_NAME_FULL UNKNOWN_NAME "full" /* no room for another statement */
#define UNKNOWN_NAME_CHANGED UNKNOWN_NAME "changed" /* its rows or parameters are not those the client knows */
/* The name of a dummy: a Parse of a name that is taken fails at it; or it shows how PostgreSQL would parse SQL now. */
#define PLACEHOLDER STATEMENT_PLACEHOLDER

/* statements.c */
enum statement_presence statement_presence_of(struct exchange *x, const struct statement *st);
/* Makes sure that the server has n's statement when the next message arrives there. SENT, HOLD or FAILED. */
enum feature_step statement_ensure(struct exchange *x, struct client_statement *n);
void statement_make_room(struct exchange *x, const struct statement *st); /* on its server, before its Parse */
/* Has the server, which has not got it, prepare it under its name. SENT or FAILED. */
enum feature_step statement_prepare_there(struct exchange *x, struct statement *st);
/* Returns true if a use may make PostgreSQL read or plan it otherwise than for those who share it. */
bool statement_is_read_otherwise(const struct exchange *x, const struct client_statement *n);
/* Sends a Parse of st with this name and the store's SQL. */
void statements_put_parse(struct exchange *x, const char *name, struct statement *st);

/* Has PostgreSQL prepare this (SQL and types, as in a Parse) under this name, of which a Close goes ahead. */
void statement_put_dummy(struct exchange *x, const char *name, const void *sql, size_t len);

/* statements/parse.c */
/* Returns true if what is sent now may meet a transaction that has failed. */
bool statements_may_meet_failure(const struct server *srv);

/* statements/statements_deallocate.c: no CommandComplete came for them */
void statements_not_deallocated(struct exchange *x);
void statements_deallocating_pop(struct client_statements *s); /* forgets the first one */

/* statements/row_shape.c */
/*
 * A Bind of n is about to be sent, and next_len bytes that follow it lie at next. HOLD: a Describe must show first
 * whether its rows are still those the client knows. FORWARD: they are not. SENT: n may be bound. bind: the body; a
 * Bind with formats for several columns relies on the rows, whatever follows it.
 */
enum feature_step row_shape_verify(struct exchange *x, struct client_statement *n, const char *portal,
				   const uint8_t *bind, size_t bind_len, const uint8_t *next, size_t next_len);
/* Returns true if the client knows the rows of the statement as it is now. */
static inline bool
row_shape_is_told(const struct client_statement *n)
{
	return n->rows != ROWS_UNTOLD && n->id == short_id(n->st) && n->describing < DESCRIBING_TO_PROVE;
}
void row_shape_asked(struct client_statement *n); /* a Describe of it was sent */

/* statements/names.c: the table of a client's names */
struct client_statements *statements_own(struct exchange *x); /* made at first use; NULL: no memory */
struct client_statement *client_statement_find(const struct exchange *x, const char *name);
/* Returns true if only the reply to a Sync will tell what became of an earlier message about it. n may be NULL. */
bool client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n);
/* Returns a pending statement with one reference, the caller's; takes st if it succeeds. NULL: no memory. */
struct client_statement *client_statement_new(struct exchange *x, const char *name, struct statement *st);
void client_statement_unref(struct client_statement *n); /* NULL is fine */
/* Takes the next step in the life of n's name: the only writer of n->state. */
void client_statement_step(struct client_statement *n, enum name_event ev);
int client_statement_enter(struct client_statements *own,
			   struct client_statement *n); /* -1: no memory, n is not in the table */
void client_statement_leave(struct client_statements *own,
			    struct client_statement *n); /* fine if it is not in the table; may free n */
void client_statement_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct client_statement *n);
void statements_clear_names(struct client_statements *s); /* all but those whose Parse is under way */
/* Returns true if this name, as a server would know it, is like those of pgweir. */
bool statements_name_is_ours(const struct exchange *x, const char *name);
/* Renews the statement's id, if that is due, before id or name are used. Returns 0, or -1: no memory. */
int client_statement_refresh(struct exchange *x, struct client_statement *n);
/*
 * Gives its statement a new id; other clients keep the parameter types they know. opens: this client knows none, and
 * leaves them open again.
 */
void client_statement_renew(struct exchange *x, struct client_statement *n, bool opens);
/* Returns true if the statement of this Parse may be kept for this client. */
bool statements_have_room(const struct exchange *x, const struct parse_fields *f);
