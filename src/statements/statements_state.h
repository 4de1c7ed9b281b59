/*
 * src/statements/statements_state.h - one client's prepared statements. Only this folder and relay/retry.c include it.
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
 * A statement too large to be stored is *oversize*: only the client's server has it, under the client's name for it.
 *
 * Owns:   struct client_statements; each struct client_statement, with a reference to its statement in the store.
 * Always: a struct client_statement lives as long as there is a reference to it (client_statement.refs).
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

/* Tells if the client was told the columns of a statement's rows, and if they are still the same. */
enum rows_known {
	ROWS_UNTOLD,
	ROWS_TOLD,
	/* the last Describe of pgweir's own has found other rows or parameter types than the client was told */
	ROWS_CHANGED
};

/* Tells which Describe of the statement is in progress. */
enum describing {
	DESCRIBING_NOT,
	DESCRIBING_ANEW, /* the client's own, of a copy of the statement that was parsed for this Describe */
	DESCRIBING_TO_PROVE, /* pgweir's own, to find out if the client was told other rows or types */
	DESCRIBING_OTHER_TYPES /* pgweir's own; it has found other parameter types than the client was told */
};

/*
 * A named statement of a client. A client may have thousands, so the struct is small: it has only the low 32 bits of an
 * id (statement.id), which are enough to see if the id has changed.
 */
struct client_statement {
	struct statement *st; /* NULL if the statement is oversize */
	/* While the Parse is pending: st's id when the Parse was sent. Afterwards: st's id when the client was last
	 * told the rows; 0 if never, or if the rows have changed. */
	uint32_t sent_or_told_id;
	/* st's id when a Describe was last sent; 0 if never, or if a Bind was refused since, because of ROWS_CHANGED */
	uint32_t described_id;
	uint32_t refs; /* references: the table's, the ledgers', and those of struct client_statements */
	uint32_t sync_no; /* client_statements.sync_no when the Parse or Close was sent */
	uint32_t hash; /* a hash of the name */
	uint32_t order; /* client_statements.last_name_number when the client named it */
	uint32_t shape_hash; /* fields_hash_description() of the rows that the client was told */
	/* fields_hash_user_types() of the parameter types that the client was told; 0 if none is user-defined */
	uint32_t types_hash;
	enum name_state state : 3;
	enum rows_known rows : 2;
	enum describing describing : 2;
	bool is_in_table : 1; /* the table has a reference; set and cleared by names.c */
	/* No other client used the SQL when this client prepared it, so the SQL's bytes count for this client. Set by
	 * client_statement_new(), never cleared. */
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

/* Returns true if n stands for the client's unnamed statement, to which pgweir gave a name on servers (keep.h). */
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

/* Tells in which message client_statements.failed was used. */
enum failed_use { FAILED_NO_USE, FAILED_BIND, FAILED_DESCRIBE };

#define DEALLOCATING_MAX 8 /* the most statements that one Query deallocates */

enum unnamed_kind {
	UNNAMED_STORED, /* a stored statement, or none */
	UNNAMED_OVERSIZE, /* an oversize statement that was not bound yet; the client keeps its server */
	UNNAMED_OVERSIZE_BOUND /* an oversize statement that was bound; the client need not keep its server */
};

struct client_statements {
	struct client_statement **slots; /* a hash table with open addressing and linear probing; NULL in free slots */
	uint32_t slot_count, count; /* number of slots: 0 or a power of two; number of names */
	uint32_t found_at; /* the slot of the name that was found last; the next message usually has the same name */
	size_t bytes; /* bytes of the table, the names, and the SQL that counts for this client */
	struct exchange_env *env;
	/* the unnamed statement that the client has if all messages that were sent succeed; a reference, or NULL */
	struct statement *unnamed;
	/* the unnamed statement that the client has according to the replies so far; a reference, or NULL; equal to
	 * `unnamed` when no change is in progress */
	struct statement *confirmed;
	uint32_t unnamed_sync_no; /* sync_no when the last change of the unnamed statement was sent */
	uint32_t unnamed_under_way; /* how many changes of the unnamed statement have no reply yet */
	/* how many of the oldest changes in unnamed_under_way have no effect on the server, because pgweir's own SQL
	 * has dropped the unnamed statement after them */
	uint32_t unnamed_overwritten;
	/* a new number for each value of `unnamed`; a server whose unnamed_owner is equal has that unnamed statement */
	uint64_t token;
	/* stands for the unnamed statement under its name on servers (keep.h); in use if kept_token equals token */
	struct client_statement *kept;
	uint64_t kept_token;
	uint32_t unnamed_binds; /* Binds of the unnamed statement in the fast lane since a request was last answered */
	struct client_statement *failed; /* the statement that the last error was about */
	/* the last Bind's statement, if the next message is a Describe of its portal, which shows the rows; or NULL */
	struct client_statement *to_describe;
	/* sync_no at the Bind of to_describe, because a Describe after another Sync is for another portal */
	uint32_t to_describe_sync_no;
	uint32_t sync_no; /* how many Syncs were sent */
	uint32_t last_name_number; /* how many statements the client has ever named */
	uint8_t failed_use; /* how `failed` was used: enum failed_use */
	uint32_t oversize_count; /* how many named statements are oversize */
	uint32_t begin_count; /* how many named statements may be a BEGIN with a mode */
	uint8_t unnamed_kind, confirmed_kind; /* enum unnamed_kind of `unnamed` and of `confirmed` */
	/* If all changes in progress are skipped, the server has `confirmed`. Set and cleared by unnamed.c. */
	bool is_confirmed_there;
	/* The statements that the DEALLOCATEs in progress name, in order; NULL for a name that is not in this table.
	 * Except for oversize statements, the server has an empty statement of each name for the DEALLOCATE to drop. */
	struct client_statement *deallocating[DEALLOCATING_MAX];
	uint8_t deallocating_count;
	/* DEALLOCATE ALL or DISCARD ALL is in progress. Set by statements_deallocate.c, cleared by
	 * statements_request_done() and statements_deallocate.c. */
	bool is_clearing;
	/* A Describe of the client's is sent again, and its ParameterDescription must not reach the client, which has
	 * got one already. Set by retry_begin(), cleared by describe_named(). */
	bool swallows_types;
};

/* Returns the part of st's id that struct client_statement has. */
static inline uint32_t
short_id(const struct statement *st)
{
	return (uint32_t)st->id;
}

/* The low bits of a ledger entry's ref tell what the ref is: a pointer to a struct client_statement (REF_NAMED) or a
 * struct statement (REF_UNNAMED), NULL (REF_UNNAMED_OVERSIZE), or a statement's id, shifted (REF_ID). */
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
 * A client may find out the names that statements have on servers, and send such a name. The name must not reach
 * another client's statement, so pgweir puts the store's prefix and UNKNOWN_NAME (statement_special_name()) before it,
 * and PostgreSQL answers that there is no such statement. If pgweir itself refuses a message, it sends
 * UNKNOWN_NAME_FULL or UNKNOWN_NAME_CHANGED in the same way, and replaces PostgreSQL's error by its own.
 */
#define UNKNOWN_NAME "?"
#define UNKNOWN_NAME_FULL UNKNOWN_NAME "full" /* no room for another statement */
/* the statement's rows or parameters are not those that the client was told */
#define UNKNOWN_NAME_CHANGED UNKNOWN_NAME "changed"
/* The name of a statement of pgweir's own on a server. If a client's Parse must fail because its name is taken, pgweir
 * sends the Parse with this name, which is taken, too. pgweir also parses SQL under this name to find out how
 * PostgreSQL parses the SQL now. */
#define PLACEHOLDER STATEMENT_PLACEHOLDER

/* statements.c */
/* Tells if x's server will have st when it handles a message that is sent now. Counts as a use of st. */
enum statement_presence statement_presence_of(struct exchange *x, const struct statement *st);
/* Makes sure that x's server has n's statement when the next message comes: sends a Parse if needed. Returns
 * STEP_REPLACED; STEP_HOLD if a reply must come first; or STEP_FAILED if there is no memory. */
enum feature_step statement_ensure(struct exchange *x, struct client_statement *n);
/* Call before st's Parse: closes what may have st's name on x's server, and old statements if there are too many. */
void statement_make_room(struct exchange *x, const struct statement *st);
/* Prepares st under its name on x's server, which does not have it. Returns STEP_REPLACED or STEP_FAILED. */
enum feature_step statement_prepare_there(struct exchange *x, struct statement *st);
/* Returns true if PostgreSQL may now read or plan n's SQL differently for x than for other clients of n's statement. */
bool statement_is_read_otherwise(const struct exchange *x, const struct client_statement *n);
/* Sends a Parse of st under this name. The caller enters it in the ledger. */
void statements_put_parse(struct exchange *x, const char *name, struct statement *st);

/* Sends a Close and then a Parse of this name, and enters both in the ledger. sql: the Parse's SQL and types. */
void statement_put_close_and_parse(struct exchange *x, const char *name, const void *sql, size_t len);
/* Makes PostgreSQL parse st once more, under PLACEHOLDER. Writes the whole name to `name`. */
void statement_parse_anew(struct exchange *x, struct statement *st, char name[static STATEMENT_NAME_MAX]);

/* statements/parse.c */
/* Returns true if the transaction may have failed by the time PostgreSQL handles messages that are sent now. */
bool statements_may_meet_failure(const struct server *srv);

/* statements/statements_deallocate.c */
/* Call at the end of a request: closes the server if a DEALLOCATE that failed has left its empty statement there. */
void statements_condemn_if_not_deallocated(struct exchange *x);
void statements_deallocating_pop(struct client_statements *s); /* forgets the first statement in `deallocating` */

/* statements/row_shape.c */
/*
 * Call before a Bind of n is sent. bind: the Bind's body; next: the next_len bytes that follow the Bind. Returns
 * STEP_REPLACED if n may be bound; STEP_FORWARD if the Bind must be refused, because n's rows or types are not those
 * that the client was told; STEP_HOLD if pgweir has sent a Describe to find out; or STEP_FAILED. If a Describe of the
 * portal follows, the client does not rely on what it was told, unless the Bind has formats for several columns.
 */
enum feature_step row_shape_verify(struct exchange *x, struct client_statement *n, const char *portal,
				   const uint8_t *bind, size_t bind_len, const uint8_t *next, size_t next_len);
/* Returns true if the client was told the rows that n's statement returns now. */
static inline bool
row_shape_is_told(const struct client_statement *n)
{
	return n->rows != ROWS_UNTOLD && n->sent_or_told_id == short_id(n->st) && n->describing < DESCRIBING_TO_PROVE;
}
void row_shape_note_described(struct client_statement *n); /* call when a Describe of n was sent */

/* statements/names.c: the table of a client's names */
/* Returns x->statements, which is allocated if needed; NULL if there is no memory. */
struct client_statements *statements_get_or_create(struct exchange *x);
/* Returns x's statement of this name, borrowed; NULL if there is none. */
struct client_statement *client_statement_find(const struct exchange *x, const char *name);
/* Returns true if it is not known yet whether n exists, because a reply is due: to a Parse or Close before an
 * earlier Sync, or to a DEALLOCATE. n may be NULL. */
bool client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n);
/* Returns a pending statement with one reference, the caller's, and takes over the reference to st. Returns NULL if
 * there is no memory; then the caller keeps the reference to st. */
struct client_statement *client_statement_new(struct exchange *x, const char *name, struct statement *st);
void client_statement_unref(struct client_statement *n); /* n may be NULL */
/* Changes n->state after this event. No other function writes n->state. */
void client_statement_step(struct client_statement *n, enum name_event ev);
/* Enters n in the table. Returns 0, or -1 if there is no memory. */
int client_statement_enter(struct client_statements *own, struct client_statement *n);
/* Removes n from the table, if it is there. May free n. */
void client_statement_leave(struct client_statements *own, struct client_statement *n);
/* Enters a message about n in the ledger. The entry has a reference to n. */
void client_statement_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct client_statement *n);
void statements_clear_names(struct client_statements *s); /* clears all names except those whose Parse is in progress */
/* Returns true if this name, which a client has sent, looks like a name that pgweir uses on servers. */
bool statements_name_is_ours(const struct exchange *x, const char *name);
/* Renews n's statement if that is due (statement_refresh()). Call this before the statement's id or name is used.
 * Returns 0, or -1 if there is no memory. */
int client_statement_refresh(struct exchange *x, struct client_statement *n);
/*
 * Renews n's statement, which gets a new id, and declares the parameter types that clients know. chooses_types: true if
 * this client knows no types yet; then n gets a statement for which PostgreSQL chooses the types anew.
 */
void client_statement_renew(struct exchange *x, struct client_statement *n, bool chooses_types);
/* Returns true if there is room to store the statement of this Parse for this client. */
bool statements_have_room(const struct exchange *x, const struct parse_fields *f);
