/*
 * src/statements/statements_state.h - one client's prepared statements. Only the files of this folder and relay/retry.c
 * include this file.
 *
 *   statements.c            Bind, Describe and Close of named statements; which server has which statement
 *   parse.c                 Parse of named statements
 *   names.c                 the table of a client's names, and its memory
 *   unnamed.c               the unnamed statement
 *   keep.c                  unnamed statements that have a name on servers
 *   statements_deallocate.c SQL that deallocates statements
 *   settled.c               the results of messages; errors that contain pgweir's names
 *   row_shape.c             what a client knows of a statement's rows and parameters
 *   statements_transfer.c   statements of a client that moves to another process
 *
 * A statement that is too large to be stored is *oversize*: only the client's server has it, under the client's own
 * name.
 *
 * Owns:   struct client_statements; each struct client_statement, with a reference to its statement in the store.
 * Always: a struct client_statement is freed when neither the table nor a ledger entry (as ref) has a reference to it.
 */
#pragma once

#include "statements/statements.h"

/* The state of a client's name for a statement; only client_statement_step() changes the state. */
enum name_state {
	NAME_PREPARED,
	NAME_CLOSING, /* Close was sent and not answered; the name counts as gone, unless the Close is skipped */
	NAME_PENDING, /* Parse was sent and not answered */
	NAME_PENDING_CLOSING, /* Parse and Close were sent, and neither was answered */
	NAME_GONE /* the name was closed; or its Parse failed or was skipped, so the name never existed */
};
enum name_event { NAME_PARSED, NAME_NOT_PARSED, NAME_CLOSE_SENT, NAME_CLOSED, NAME_CLOSE_SKIPPED };

/* Says whether the client was told the columns of a statement's rows, and whether these are still the same. */
enum rows_known {
	ROWS_UNTOLD,
	ROWS_TOLD,
	/* the last Describe of pgweir's own has found other rows or parameter types than the client was told */
	ROWS_CHANGED
};

/* Says which Describe of the statement is in progress. */
enum describing {
	DESCRIBING_NOT,
	DESCRIBING_ANEW, /* the client's own, for which PostgreSQL parses the SQL once more */
	DESCRIBING_TO_PROVE, /* pgweir's own */
	DESCRIBING_OTHER_TYPES /* pgweir's own; it has found other parameter types than the client was told */
};

/*
 * A named statement of a client. A client may have thousands, so the struct is small. Of a statement's id (struct
 * statement) it has only the low 32 bits, which are enough to see whether the id has changed.
 */
struct client_statement {
	struct statement *st; /* NULL if the statement is oversize */
	/* st's id at an earlier time, because st may have got another one since. While the Parse is pending: when the
	 * Parse was sent. Later: when the client was last told the rows; 0 if never, or if the rows have changed. */
	uint32_t id;
	/* st's id when a Describe was last sent; 0 if never, or if a Bind was refused since because of ROWS_CHANGED */
	uint32_t asked;
	uint32_t refs; /* references of the table and the ledger */
	uint32_t sync_no; /* client_statements.sync_no when the Parse or Close was sent */
	uint32_t hash; /* a hash of the name */
	uint32_t order; /* the order in which the client named its statements */
	uint32_t shape; /* fields_description_hash() of the rows that the client was told */
	/* fields_user_types_hash() of the parameter types that the client was told; 0 if none is user-defined */
	uint32_t types;
	enum name_state state : 3;
	enum rows_known rows : 2;
	enum describing describing : 2;
	bool is_in_table : 1; /* the table has a reference; set and cleared by names.c */
	/* This client was the first to prepare the SQL, so the SQL's bytes count for it. Set by client_statement_new(),
	 * never cleared. */
	bool is_first : 1;
	/* PostgreSQL has accepted a Parse, Bind or Describe of the statement for this client. Set by settled.c and
	 * statements_transfer.c, cleared by set_kept(). */
	bool is_proven : 1;
	char name[];
};

/* Returns true if the Parse of n is in progress. */
static inline bool
statement_is_pending(const struct client_statement *n)
{
	return n->state == NAME_PENDING || n->state == NAME_PENDING_CLOSING;
}

/* Returns true if the Close of n is in progress. */
static inline bool
statement_is_closing(const struct client_statement *n)
{
	return n->state == NAME_CLOSING || n->state == NAME_PENDING_CLOSING;
}

/* Returns true if n is the client's unnamed statement, which has a name on servers: statements/keep.h. */
static inline bool
statement_is_unnamed(const struct client_statement *n)
{
	return n->name[0] == '\0';
}

/* Returns true if n is oversize. */
static inline bool
statement_is_oversize(const struct client_statement *n)
{
	return n->st == NULL;
}

/* Says in which message the statement was used that the last error was about. */
enum failed_use { FAILED_NO_USE, FAILED_BIND, FAILED_DESCRIBE };

#define DEALLOCATING_MAX 8 /* the most statements that one Query deallocates */

enum unnamed_kind {
	UNNAMED_STORED, /* a stored statement, or none */
	UNNAMED_OVERSIZE, /* an oversize statement that was not bound yet, so the client keeps its server */
	UNNAMED_OVERSIZE_BOUND /* an oversize statement that was bound, so the client need not keep its server */
};

struct client_statements {
	struct client_statement **slots; /* a hash table with open addressing and linear probing; NULL in free slots */
	uint32_t slot_count, count; /* number of slots: 0 or a power of two; number of names */
	uint32_t found_at; /* the slot of the name that was found last, which is usually the next name, too */
	size_t bytes; /* bytes of the table, the names, and the SQL that counts for this client */
	struct exchange_env *env;
	/* the client's unnamed statement if all messages that were sent succeed; a reference, or NULL */
	struct statement *unnamed;
	/* the client's unnamed statement according to the replies so far; equal to `unnamed` when no change is in
	 * progress */
	struct statement *confirmed;
	uint32_t unnamed_sync_no; /* sync_no when the last change of the unnamed statement was sent */
	/* how many changes of the unnamed statement, on the server or for the client, have no reply yet */
	uint32_t unnamed_under_way;
	/* how many of these changes, counted from the oldest, have no effect on the server any more, because pgweir's
	 * own SQL has replaced the unnamed statement since */
	uint32_t unnamed_overwritten;
	/* a new number for each state of the unnamed statement; a server whose unnamed_owner is equal has this state */
	uint64_t token;
	/* the unnamed statement under its name on servers (keep.h); in use only if kept_token equals token */
	struct client_statement *kept;
	uint64_t kept_token;
	uint32_t unnamed_binds; /* Binds of the unnamed statement in the fast lane since a request was last answered */
	struct client_statement *failed; /* the statement that the last error was about */
	/* The statement of the last Bind, if the message after the Bind is a Describe of its portal, whose answer shows
	 * the client the statement's rows; or NULL. */
	struct client_statement *describing;
	/* sync_no at that Bind: a Describe after another Sync is for another portal */
	uint32_t describing_sync_no;
	uint32_t sync_no; /* how many Syncs were sent */
	uint32_t named_count; /* how many statements the client has ever named */
	uint8_t failed_use; /* how `failed` was used: enum failed_use */
	uint32_t oversize_count; /* how many named statements are oversize */
	uint32_t begin_count; /* named statements that may be a BEGIN with a mode */
	uint8_t unnamed_kind, confirmed_kind; /* enum unnamed_kind of `unnamed` and of `confirmed` */
	/* The server will have the statement `confirmed` if all changes in progress are skipped. Set and cleared by
	 * unnamed.c. */
	bool is_confirmed_there;
	/* The statements that the DEALLOCATEs in progress name, in their order; NULL for a name that is not a statement
	 * of this table. Under each name the server has an empty statement, which the DEALLOCATE removes. */
	struct client_statement *deallocating[DEALLOCATING_MAX];
	uint8_t deallocating_count;
	/* DEALLOCATE ALL or DISCARD ALL is in progress. Set by statements_deallocate.c, cleared by
	 * statements_request_done() and statements_deallocate.c. */
	bool is_clearing;
	/* A Describe of the client's is sent again, and its ParameterDescription must be swallowed, because the client
	 * has got one already. Set by retry_begin(), cleared by describe_named(). */
	bool swallows_types;
};

/* Returns the part of st's id that struct client_statement has. */
static inline uint32_t
short_id(const struct statement *st)
{
	return (uint32_t)st->id;
}

/* The low bits of a ledger entry's ref. They tell what the ref is: a pointer to a struct client_statement (REF_NAMED)
 * or to a struct statement (REF_UNNAMED, REF_UNNAMED_OVERSIZE), or the id of a statement, shifted (REF_ID). */
enum ref_tag { REF_NAMED = 0, REF_UNNAMED = 1, REF_ID = 2, REF_UNNAMED_OVERSIZE = 3, REF_MASK = 3 };

/* Returns a ref that points to p. */
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
 * A client may find out the names that statements have on servers, and send such a name, which must not reach another
 * client's statement. So the store's prefix and UNKNOWN_NAME (statement_special_name()) are put before the name:
 * PostgreSQL then answers that it has no such statement. UNKNOWN_NAME_FULL and UNKNOWN_NAME_CHANGED are used in the
 * same way when pgweir itself refuses a message: PostgreSQL answers with an error, and pgweir replaces that by its own
 * error.
 */
#define UNKNOWN_NAME "?"
#define UNKNOWN_NAME_FULL UNKNOWN_NAME "full" /* no room for another statement */
/* the statement's rows or parameters are not those that the client knows */
#define UNKNOWN_NAME_CHANGED UNKNOWN_NAME "changed"
/* The name of a statement of pgweir's own on a server, for two purposes: if a client's Parse must fail because its name
 * is taken, it is sent with this name, which is taken, too; and SQL is parsed under this name to find out how
 * PostgreSQL parses it now. */
#define PLACEHOLDER STATEMENT_PLACEHOLDER

/* statements.c */
/* Says whether x's server has st for a message that is sent now, which counts as a use of st. */
enum statement_presence statement_presence_of(struct exchange *x, const struct statement *st);
/* Makes sure that the server has n's statement before the next message comes: sends a Parse if needed. Returns
 * STEP_SENT if so, STEP_HOLD if a reply must come first, or STEP_FAILED without memory. */
enum feature_step statement_ensure(struct exchange *x, struct client_statement *n);
/* Makes room for st among the statements that x's server has. Call this before st's Parse is sent. */
void statement_make_room(struct exchange *x, const struct statement *st);
/* Prepares st under its name on the server, which does not have it. Returns STEP_SENT or STEP_FAILED. */
enum feature_step statement_prepare_there(struct exchange *x, struct statement *st);
/* Returns true if PostgreSQL may read or plan n for x differently now than for the other clients that share n's
 * statement. */
bool statement_is_read_otherwise(const struct exchange *x, const struct client_statement *n);
/* Sends a Parse of st under this name. The caller enters it in the ledger. */
void statements_put_parse(struct exchange *x, const char *name, struct statement *st);

/* Sends a Close of this name, and a Parse of the same name with `sql`, the rest of the Parse: SQL and types. Enters
 * both in the ledger. */
void statement_put_dummy(struct exchange *x, const char *name, const void *sql, size_t len);
/* Makes PostgreSQL parse st once more, as PLACEHOLDER. Writes the full name on the server to `name`. */
void statement_parse_anew(struct exchange *x, struct statement *st, char name[static STATEMENT_NAME_MAX]);

/* statements/parse.c */
/* Returns true if PostgreSQL may handle messages that are sent now in a failed transaction. */
bool statements_may_meet_failure(const struct server *srv);

/* statements/statements_deallocate.c */
/* Call at the end of a request if no CommandComplete has come for the statements in `deallocating`. */
void statements_condemn_if_not_deallocated(struct exchange *x);
void statements_deallocating_pop(struct client_statements *s); /* forgets the first statement in `deallocating` */

/* statements/row_shape.c */
/*
 * Call before a Bind of n is sent. bind: the Bind's body; next: the next_len bytes that follow the Bind. Returns
 * STEP_SENT if n may be bound; STEP_FORWARD if the Bind must be refused, because n's rows or types are not those that
 * the client knows; STEP_HOLD if a Describe, which was sent, must show that first; or STEP_FAILED. A Bind with formats
 * for several columns relies on the rows even if a Describe follows.
 */
enum feature_step row_shape_verify(struct exchange *x, struct client_statement *n, const char *portal,
				   const uint8_t *bind, size_t bind_len, const uint8_t *next, size_t next_len);
/* Returns true if the client knows the rows that n's statement returns now. */
static inline bool
row_shape_is_told(const struct client_statement *n)
{
	return n->rows != ROWS_UNTOLD && n->id == short_id(n->st) && n->describing < DESCRIBING_TO_PROVE;
}
void row_shape_note_asked(struct client_statement *n); /* call when a Describe of n was sent */

/* statements/names.c: the table of a client's names */
/* Returns x->statements, which is allocated if needed; NULL without memory. */
struct client_statements *statements_own(struct exchange *x);
/* Returns x's statement of this name, borrowed; NULL if there is none. */
struct client_statement *client_statement_find(const struct exchange *x, const char *name);
/* Returns true if a reply must come before it is known whether n exists: the reply to a Parse or Close that was sent
 * before an earlier Sync, or to a DEALLOCATE. n may be NULL. */
bool client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n);
/* Returns a pending statement with one reference, the caller's, and takes over the reference to st. Returns NULL
 * without memory; then the caller keeps the reference to st. */
struct client_statement *client_statement_new(struct exchange *x, const char *name, struct statement *st);
void client_statement_unref(struct client_statement *n); /* n may be NULL */
/* Changes n->state as this event demands. No other function writes n->state. */
void client_statement_step(struct client_statement *n, enum name_event ev);
/* Enters n in the table. Returns 0, or -1 without memory. */
int client_statement_enter(struct client_statements *own, struct client_statement *n);
/* Removes n from the table, if it is there. May free n. */
void client_statement_leave(struct client_statements *own, struct client_statement *n);
/* Enters a message about n in the ledger. The entry has a reference to n. */
void client_statement_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct client_statement *n);
void statements_clear_names(struct client_statements *s); /* clears all names except those whose Parse is in progress */
/* Returns true if this name, which a client has sent, looks like a name that pgweir uses on servers. */
bool statements_name_is_ours(const struct exchange *x, const char *name);
/* Renews n's statement if that is due (statement_refresh()). Call this before its id or name is used. Returns 0, or -1
 * without memory. */
int client_statement_refresh(struct exchange *x, struct client_statement *n);
/*
 * Renews n's statement, so it gets a new id, and declares the parameter types that clients know. opens: this client
 * knows no types yet; its statement then leaves the choice of types to PostgreSQL again.
 */
void client_statement_renew(struct exchange *x, struct client_statement *n, bool opens);
/* Returns true if there is room to store the statement of this Parse for this client. */
bool statements_have_room(const struct exchange *x, const struct parse_fields *f);
