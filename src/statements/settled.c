/*
 * src/statements/settled.c - the results of messages about statements. See statements/statements_state.h.
 *
 * The table is changed when a message is sent, and the change is undone if the ledger reports that the message has
 * failed or was skipped. Errors are rewritten to have the client's name.
 */
#include "statements/statements_state.h"
#include "statements/unnamed.h"
#include "base/text.h"
#include "wire/frame.h"
#include "wire/messages.h"

/* Returns NULL if the client has gone, or is closing. */
static struct client_statements *
statements_of(const struct server *srv)
{
	const struct exchange *x = srv->borrower;

	return x == NULL ? NULL : x->statements;
}

__attribute__((noinline)) static void
settled_parse(struct server *srv, struct client_statement *n, bool is_local, enum owed_end how)
{
	struct client_statements *s = statements_of(srv);

	if (!is_local && n->st != NULL) {
		/* the id with which the message was sent; the statement may have another id by now */
		uint64_t id = (n->st->id & ~(uint64_t)UINT32_MAX) | n->sent_or_told_id;

		server_statements_note_end(&srv->statements, id <= n->st->id ? id : id - ((uint64_t)1 << 32), false,
					   how == OWED_ANSWERED);
	}
	if (!is_local && n->st != NULL && how == OWED_ANSWERED) {
		n->is_proven = true;
		/* Without DDL in the transaction, the statement is valid for other sessions, too. */
		if (srv->loan.ddl == DDL_NONE) {
			n->st->valid_pool = pool_main(pool_of(srv));
			n->st->valid_gucs = srv->gucs;
		}
	}
	n->sent_or_told_id = 0;
	client_statement_step(n, how == OWED_ANSWERED ? NAME_PARSED : NAME_NOT_PARSED);
	if (how != OWED_ANSWERED && s != NULL)
		client_statement_leave(s, n);
}

__attribute__((noinline)) static void
settled_close(struct server *srv, struct client_statement *n, enum owed_end how)
{
	struct client_statements *s = statements_of(srv);
	struct client_statement *other;

	client_statement_step(n, how == OWED_ANSWERED ? NAME_CLOSED : NAME_CLOSE_SKIPPED);
	if (s == NULL)
		return;
	if (how == OWED_ANSWERED) {
		client_statement_leave(s, n);
		return;
	}
	/* The Close was skipped, so the name was never closed, and a later Parse of the name was skipped, too. */
	if (n->is_in_table || n->state == NAME_GONE)
		return;
	other = client_statement_find(srv->borrower, n->name);
	if (other != NULL)
		client_statement_leave(s, other);
	if (client_statement_enter(s, n) < 0)
		exchange_break_later(srv->borrower); /* the client would lack a name */
}

static void
settled_named(struct server *srv, const struct owed *o, struct client_statement *n, enum owed_end how)
{
	struct client_statements *s;

	switch (o->kind) {
	case OWED_PARSE:
	case OWED_LOCAL_PARSE:
		settled_parse(srv, n, o->kind == OWED_LOCAL_PARSE, how);
		break;
	case OWED_CLOSE:
	case OWED_LOCAL_CLOSE:
		settled_close(srv, n, how);
		break;
	case OWED_DESCRIBE_STATEMENT:
		if (o->to == OWED_TO_STATEMENT || n->describing == DESCRIBING_ANEW)
			n->describing = DESCRIBING_NOT;
		n->is_proven |= how == OWED_ANSWERED;
		break;
	default: /* a Bind that was not answered, a duplicate Parse, a Describe of a portal */
		break;
	}
	s = statements_of(srv);
	if (how != OWED_FAILED || s == NULL) {
		client_statement_unref(n);
		return;
	}
	client_statement_unref(s->failed);
	s->failed = n; /* the error about n comes next, and needs the name of n */
	s->failed_use = o->kind == OWED_BIND		     ? FAILED_BIND
			: o->kind == OWED_DESCRIBE_STATEMENT ? FAILED_DESCRIBE
							     : FAILED_NO_USE;
}

__attribute__((noinline)) static void
settle_by_ref(struct server *srv, const struct owed *o, enum owed_end how)
{
	uintptr_t ref = (uintptr_t)o->ref;
	void *p = (void *)(ref & ~(uintptr_t)REF_MASK);

	switch ((enum ref_tag)(ref & REF_MASK)) {
	case REF_UNNAMED:
	case REF_UNNAMED_OVERSIZE:
		unnamed_settled(srv, o, p, (ref & REF_MASK) == REF_UNNAMED_OVERSIZE, how);
		break;
	case REF_ID:
		server_statements_note_end(&srv->statements, ref >> 2, o->kind == OWED_CLOSE, how == OWED_ANSWERED);
		break;
	case REF_NAMED:
		settled_named(srv, o, p, how);
		break;
	}
}

void
statements_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	struct client_statement *n = o->ref; /* a Bind's ref is REF_NAMED */

	if (o->kind != OWED_BIND || how != OWED_ANSWERED) {
		settle_by_ref(srv, o, how);
		return;
	}
	n->is_proven = true;
	client_statement_unref(n);
}

/* Writes the error to *out, with `name` in place of the bytes [from, to). Returns false if there is no memory. */
static bool
replace_name(const uint8_t *message, size_t len, const uint8_t *from, const uint8_t *to, const char *name,
	     size_t name_len, struct buf *out)
{
	buf_put(out, message, (size_t)(from - message));
	buf_put(out, name, name_len);
	buf_put(out, to, len - (size_t)(to - message));
	if (!buf_ok(out))
		return false;
	wire_set_u32(out->bytes + 1, (uint32_t)(out->len - 1));
	return true;
}

/* If PostgreSQL's error stands for a refusal of pgweir's own (UNKNOWN_NAME_FULL, UNKNOWN_NAME_CHANGED), writes pgweir's
 * error to *out and returns true. */
static bool
put_refusal(const struct exchange *x, const uint8_t *message, size_t len, struct buf *out)
{
	/* The error is like PostgreSQL's: asyncpg and JDBC recognize it by its routine, and prepare again. */
	static const char body[] = "SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0Fplancache.c\0"
				   "RRevalidateCachedQuery\0";
	char full[STATEMENT_NAME_MAX], changed[STATEMENT_NAME_MAX];
	struct fail why;

	statement_special_name(x->env->statements, UNKNOWN_NAME_FULL, full);
	statement_special_name(x->env->statements, UNKNOWN_NAME_CHANGED, changed);
	if (memmem(message, len, full, strlen(full)) != NULL) {
		fail_set(&why, "53200", "too many prepared statements: prepared_statements_memory is %zu KiB",
			 x->env->config->prepared_statements_memory >> 10);
		fail_hint(&why, "Deallocate statements that are not needed any more, or have the limit raised.");
		message_error(out, "ERROR", &why);
	} else if (memmem(message, len, changed, strlen(changed)) != NULL)
		message_put(out, 'E', body, sizeof(body));
	else
		return false;
	return buf_ok(out);
}

/* Returns the length of the bytes if they are a name that pgweir gave to a statement, or PLACEHOLDER; else 0. */
static size_t
our_name_len(const uint8_t *name, const uint8_t *end, size_t prefix_len)
{
	size_t len = (size_t)(end - name);

	if (len == prefix_len + sizeof(PLACEHOLDER) - 1 &&
	    memcmp(name + prefix_len, PLACEHOLDER, len - prefix_len) == 0)
		return len;
	for (size_t i = prefix_len; i < len; i++)
		if (name[i] < '0' || name[i] > '9')
			return 0;
	return len > prefix_len ? len : 0;
}

/* Adds a hint to the error of SQL, such as EXECUTE, that names a statement which the client has prepared by the
 * protocol: the server has that statement under another name. Returns false for any other error. */
static bool
put_hint(const struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len, struct buf *out)
{
	const uint8_t *at = memchr(message, '"', len), *end;
	const struct client_statement *n;
	char name[KNOWN_NAME_MAX];

	if (sqlstate == NULL || strcmp(sqlstate, "26000") != 0 || at == NULL ||
	    len != 1 + (size_t)wire_u32(message + 1))
		return false;
	at++;
	end = memchr(at, '"', len - (size_t)(at - message));
	if (end == NULL || (size_t)(end - at) >= sizeof(name))
		return false;
	memcpy(name, at, (size_t)(end - at));
	name[end - at] = '\0';
	n = client_statement_find(x, name);
	if (n == NULL || n->state != NAME_PREPARED)
		return false;
	message_error_with_hint(out, message, len, "It was prepared by the protocol: run it by Bind and Execute.");
	return buf_ok(out);
}

/*
 * Writes to *out the error that the client must get. Returns false if the client must get PostgreSQL's error as it is.
 * Because DDL renews names, the error may have an earlier name of its statement; so any name of pgweir's in the error
 * is taken for that of the statement that the message was about.
 */
static bool
rewrite(const struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len, struct buf *out)
{
	const char *prefix = statement_store_prefix(x->env->statements);
	size_t prefix_len = strlen(prefix);
	const struct client_statements *s = x->statements;
	const uint8_t *at = memmem(message, len, prefix, prefix_len), *end;
	const struct client_statement *n = s == NULL ? NULL : s->failed;

	if (at == NULL)
		return put_hint(x, sqlstate, message, len, out);
	if (put_refusal(x, message, len, out))
		return true;
	if (len != 1 + (size_t)wire_u32(message + 1))
		return false;
	end = memchr(at, '"', len - (size_t)(at - message));
	if (end == NULL)
		return false;
	if (at[prefix_len] == UNKNOWN_NAME[0])
		return replace_name(message, len, at, at + prefix_len + 1, "", 0, out);
	if (n == NULL || n->st == NULL || our_name_len(at, end, prefix_len) == 0 || sqlstate == NULL ||
	    !text_is_one_of(sqlstate, "42P05 26000 08P01")) /* errors that name a prepared statement */
		return false;
	return replace_name(message, len, at, end, n->name, strlen(n->name), out);
}

bool
statements_rewrite_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len)
{
	struct client_statements *s = x->statements;
	struct buf b = { 0 };
	bool is_done = rewrite(x, sqlstate, message, len, &b);

	if (is_done)
		exchange_answer(x, b.bytes, b.len);
	buf_fini(&b);
	if (s != NULL) { /* the next error is about something else */
		client_statement_unref(s->failed);
		s->failed = NULL;
		s->failed_use = FAILED_NO_USE;
	}
	return is_done;
}
