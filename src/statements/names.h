/*
 * src/statements/names.h - the table of a client's names; for the files of this folder alone.
 */
#pragma once

#include "statements/statements_state.h"

struct client_statements *statements_own(struct exchange *x); /* made at first use; NULL: no memory */
struct client_statement *client_statement_find(const struct exchange *x, const char *name);
/* Returns true if only the reply to a Sync will tell what became of an earlier message about it. n may be NULL. */
bool client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n);
/* Returns a pending statement with one reference, the caller's; takes st if it succeeds. NULL: no memory. */
struct client_statement *client_statement_new(struct exchange *x, const char *name, struct statement *st);
void client_statement_unref(struct client_statement *n);
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
