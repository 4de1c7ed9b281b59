/*
 * src/statements/statements_state.h - one client's prepared statements; shared by the files of this folder and
 * relay/retry.c.
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
 * Owns:   struct client_statements, its names, and a reference to each statement that they stand for.
 * Always: a named statement is freed when neither the table nor a ledger entry (as ref) holds it.
 */
#pragma once

#include "statements/statements.h"

/* The state of a client's name for a statement; only client_statement_step() changes the state. */
enum name_state {
	NAME_PREPARED,
	NAME_CLOSING, /* Close was sent, CloseComplete has not come: the name counts as gone unless Close is skipped */
	NAME_PENDING, /* Parse was sent, ParseComplete has not come */
	NAME_PENDING_CLOSING, /* Parse and Close were sent, and neither was answered */
	NAME_GONE /* the name was closed; or its Parse failed or was skipped, so the name never existed */
};
enum name_event { NAME_PARSED, NAME_NOT_PARSED, NAME_CLOSE_SENT, NAME_CLOSED, NAME_CLOSE_SKIPPED };

/* Whether the client was told the columns of a statement's rows. */
enum rows_known {
	ROWS_UNTOLD,
	ROWS_TOLD,
	/* pgweir's Describe, sent for the id `asked`, has found other rows or types than the client knows */
	ROWS_CHANGED
};

/* The Describe that is in progress. */
enum describing {
	DESCRIBING_NOT,
	DESCRIBING_ANEW, /* the client's own Describe; PostgreSQL parses the SQL once more for it */
	DESCRIBING_TO_PROVE, /* pgweir's own Describe */
	DESCRIBING_OTHER_TYPES /* pgweir's own Describe, which has found types other than those that the client knows */
};

/*
 * A named statement of a client. A client may have thousands, so the struct is small. It has only the low bits of a
 * statement's id (struct statement), which are enough to compare ids that were given out at about the same time.
 */
struct client_statement {
	struct statement *st; /* NULL if the statement is oversize */
	/* st's id, which DDL may renew, at an earlier time: while the Parse is pending, when the Parse was sent; later,
	 * when the client was last told the rows, or 0 if never */
	uint32_t id;
	/* st's id when a Describe was last sent; 0 if never, or if a Bind was refused since because of ROWS_CHANGED */
	uint32_t asked;
	uint32_t refs; /* references of the table and the ledger */
	uint32_t sync_no; /* count of Syncs when the Parse or Close was sent */
	uint32_t hash;
	uint32_t order; /* the order in which the client named its statements */
	uint32_t shape; /* fields_description_hash() of the rows that the client was told */
	/* fields_user_types_hash() of the parameters that the client was told, if the database defines a type; else 0
	 */
	uint32_t types;
	enum name_state state : 3;
	enum rows_known rows : 2;
	enum describing describing : 2;
	bool is_in_table : 1; /* the table has a reference; set and cleared by names.c */
	/* this client was the first to prepare the SQL, whose bytes count for this client; set by
	 * client_statement_new(), never cleared */
	bool is_first : 1;
	/* PostgreSQL has accepted the statement for this client. Set by settled.c and statements_transfer.c, never
	 * cleared. */
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

/* Returns true for the client's unnamed statement that has a name on servers: statements/keep.h. */
static inline bool
statement_is_unnamed(const struct client_statement *n)
{
	return n->name[0] == '\0';
}

/* Returns true if n is too large to be stored: only the server has it, under the client's own name. */
static inline bool
statement_is_oversize(const struct client_statement *n)
{
	return n->st == NULL;
}

/* The use of a statement that the last error was about. */
enum failed_use { FAILED_NO_USE, FAILED_BIND, FAILED_DESCRIBE };

#define DEALLOCATING_MAX 8 /* statements that one Query deallocates */

enum unnamed_kind {
	UNNAMED_STORED, /* a stored statement, or none */
	UNNAMED_OVERSIZE, /* only the server has the statement, and the client keeps the server */
	UNNAMED_OVERSIZE_BOUND /* as UNNAMED_OVERSIZE, but already bound, so the client need not keep the server */
};

struct client_statements {
	struct client_statement **slots; /* hash table with open addressing and linear probing; NULL in free slots */
	uint32_t slot_count, count; /* slot_count: 0 or a power of two */
	uint32_t found_at; /* the slot of the name that was found last, which is usually the next name, too */
	size_t bytes; /* bytes of the table, the names, and the SQL that counts for this client */
	struct exchange_env *env;
	struct statement *unnamed; /* the unnamed statement after the last message that was sent */
	/* the unnamed statement after the last reply that was received; equal to `unnamed` when no change is in
	 * progress */
	struct statement *confirmed;
	uint32_t unnamed_sync_no; /* count of Syncs when the last change of the unnamed statement was sent */
	/* how many changes of the unnamed statement, on the server or for the client, have no reply yet */
	uint32_t unnamed_under_way;
	/* how many of these changes, counted from the oldest, are void on the server because pgweir's own SQL has
	 * replaced the unnamed statement since */
	uint32_t unnamed_overwritten;
	/* identifies the present state of the unnamed statement; a server with an equal unnamed_owner has that state */
	uint64_t token;
	/* the unnamed statement under its name on servers, if kept_token equals token: keep.h */
	struct client_statement *kept;
	uint64_t kept_token;
	uint32_t unnamed_binds; /* Binds of the unnamed statement in the fast lane since a request was last answered */
	struct client_statement *failed; /* the statement that the last error was about */
	/* the last Bind's statement, if a Describe of the Bind's portal, which shows the client the rows, follows; or
	 * NULL */
	struct client_statement *describing;
	/* sync_no at that Bind; after a Sync, the next Describe is of another portal */
	uint32_t describing_sync_no;
	uint32_t sync_no; /* number of Syncs sent */
	uint32_t named_count; /* how many statements the client has ever named */
	uint8_t failed_use; /* how `failed` was used: enum failed_use */
	uint32_t oversize_count; /* named statements that are too large to be stored: only one server has them */
	uint32_t begin_count; /* named statements that may be a BEGIN with a mode */
	uint8_t unnamed_kind, confirmed_kind; /* enum unnamed_kind */
	/* If all changes in progress are skipped, the server has the confirmed state. Set and cleared by unnamed.c. */
	bool is_confirmed_there;
	/* the statements that DEALLOCATEs in progress name, in this order; the server has an empty statement under each
	 * name. NULL where a DEALLOCATE names something else. */
	struct client_statement *deallocating[DEALLOCATING_MAX];
	uint8_t deallocating_count;
	/* DEALLOCATE ALL or DISCARD ALL is in progress. Set by statements_deallocate.c, cleared by
	 * statements_request_done() and statements_deallocate.c. */
	bool is_clearing;
	/* The client has got the ParameterDescription of its Describe, which is sent again. Set by retry_begin(),
	 * cleared by describe_named(). */
	bool is_types_told;
};

static inline uint32_t
short_id(const struct statement *st)
{
	return (uint32_t)st->id;
}

/* The low bits of a ledger entry's ref, which tell what the ref points to. */
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
 * A client may find out the names that statements have on servers, and use such a name, which must not reach another
 * client's statement. So the store's prefix and UNKNOWN_NAME (statement_special_name()) are put before the name; no
 * statement has such a name. UNKNOWN_NAME_FULL and UNKNOWN_NAME_CHANGED stand for refusals of pgweir's own: PostgreSQL
 * says that it knows no such statement, and pgweir replaces that error by its own.
 */
#define UNKNOWN_NAME "?"
#define UNKNOWN_NAME_FULL UNKNOWN_NAME "full" /* no room for another statement */
/* the statement's rows or parameters are not those that the client knows */
#define UNKNOWN_NAME_CHANGED UNKNOWN_NAME "changed"
/* The name of a statement of pgweir's own on a server. A Parse of this name fails where a client's Parse of a taken
 * name must fail; or SQL is parsed under this name to find out how PostgreSQL parses it now. */
#define PLACEHOLDER STATEMENT_PLACEHOLDER

/* statements.c */
enum statement_presence statement_presence_of(struct exchange *x, const struct statement *st);
/* Makes sure that the server has n's statement ahead of the next message. Returns STEP_SENT, STEP_HOLD or STEP_FAILED.
 */
enum feature_step statement_ensure(struct exchange *x, struct client_statement *n);
/* Makes room for st among the statements that x's server has. Call this before st's Parse is sent. */
void statement_make_room(struct exchange *x, const struct statement *st);
/* Prepares st under its name on the server, which lacks it. Returns STEP_SENT or STEP_FAILED. */
enum feature_step statement_prepare_there(struct exchange *x, struct statement *st);
/* Returns true if PostgreSQL may read or plan n differently now than for the clients that share its statement. */
bool statement_is_read_otherwise(const struct exchange *x, const struct client_statement *n);
/* Sends a Parse of st with this name and the store's SQL. */
void statements_put_parse(struct exchange *x, const char *name, struct statement *st);

/* Makes PostgreSQL close this name, and prepare `sql` (the SQL and the types, as in a Parse) under the same name. */
void statement_put_dummy(struct exchange *x, const char *name, const void *sql, size_t len);
/* Makes PostgreSQL parse st once more, under the name PLACEHOLDER, whose form on servers is written to name. */
void statement_parse_anew(struct exchange *x, struct statement *st, char name[static STATEMENT_NAME_MAX]);

/* statements/parse.c */
/* Returns true if messages that are sent now may meet a failed transaction. */
bool statements_may_meet_failure(const struct server *srv);

/* statements/statements_deallocate.c: call when no CommandComplete came for the statements in `deallocating` */
void statements_condemn_if_not_deallocated(struct exchange *x);
void statements_deallocating_pop(struct client_statements *s); /* forgets the first statement in `deallocating` */

/* statements/row_shape.c */
/*
 * Call before a Bind of n is sent. bind: the Bind's body; next: the next_len bytes that follow the Bind. Returns
 * STEP_HOLD if a Describe must first show whether n's rows are still those that the client knows; STEP_FORWARD if they
 * are not; STEP_SENT if n may be bound. A Bind with formats for several columns always relies on the rows.
 */
enum feature_step row_shape_verify(struct exchange *x, struct client_statement *n, const char *portal,
				   const uint8_t *bind, size_t bind_len, const uint8_t *next, size_t next_len);
/* Returns true if the client knows the rows of the statement as it is now. */
static inline bool
row_shape_is_told(const struct client_statement *n)
{
	return n->rows != ROWS_UNTOLD && n->id == short_id(n->st) && n->describing < DESCRIBING_TO_PROVE;
}
void row_shape_note_asked(struct client_statement *n); /* call when a Describe of n was sent */

/* statements/names.c: the table of a client's names */
struct client_statements *statements_own(struct exchange *x); /* allocated at first use; NULL without memory */
struct client_statement *client_statement_find(const struct exchange *x, const char *name);
/* Returns true if only the reply to a Sync will tell what became of an earlier message about n, which may be NULL. */
bool client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n);
/* Returns a pending statement with one reference, the caller's; takes st if it succeeds. Returns NULL without
 * memory. */
struct client_statement *client_statement_new(struct exchange *x, const char *name, struct statement *st);
void client_statement_unref(struct client_statement *n); /* NULL is fine */
/* Changes the state of n's name after this event. The only writer of n->state. */
void client_statement_step(struct client_statement *n, enum name_event ev);
/* returns -1 without memory: n is not in the table then */
int client_statement_enter(struct client_statements *own, struct client_statement *n);
/* n need not be in the table; may free n */
void client_statement_leave(struct client_statements *own, struct client_statement *n);
void client_statement_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct client_statement *n);
void statements_clear_names(struct client_statements *s); /* clears all names except those whose Parse is in progress */
/* Returns true if this name, as a server would know it, looks like one of pgweir's. */
bool statements_name_is_ours(const struct exchange *x, const char *name);
/* Call before the id or name of n's statement is used: renews an outdated id. Returns 0, or -1 without memory. */
int client_statement_refresh(struct exchange *x, struct client_statement *n);
/*
 * Gives n's statement a new id, with the parameter types that its clients know. opens: true if this client knows no
 * types yet; the new statement then leaves its types to PostgreSQL again.
 */
void client_statement_renew(struct exchange *x, struct client_statement *n, bool opens);
/* Returns true if the statement of this Parse may be kept for this client. */
bool statements_have_room(const struct exchange *x, const struct parse_fields *f);
