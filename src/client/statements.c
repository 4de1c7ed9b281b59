/*
 * src/client/statements.c - prepared statements of the protocol, across servers.
 *
 * A client's named statement is a pointer into the shared store (statement_store.h); on servers it has the store's
 * name. Parse of what a server has already is answered by us, in its turn; Bind and Describe of what it has not are
 * preceded by a Parse of ours. Close is answered by us: the statement stays on the server for others.
 *
 * The unnamed statement is the client's own too: a server remembers whose it has (srv->unnamed_of), and it is prepared
 * again where it is another's. Parse, Close and simple Queries change it; each change that may yet be skipped is
 * entered in the ledger, and when none is under way the unnamed statement is what the replies say.
 *
 * Names come into being and go when the server says so: what was entered when a message was sent is taken back if the
 * ledger says that it failed or was skipped.
 *
 * What PostgreSQL would refuse (a duplicate or unknown name) is sent so that it refuses it itself, for only then does
 * it skip to Sync and abort the transaction as it would have; its error is made to speak of the client's name.
 */
#include "client/client.h"

#include "client/listen.h"

#include "session/deallocate.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
/* Names are the client's own, and so are the collisions it may choose: they slow down only its own table. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits((key), (len)))
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct named {
	uint64_t sent_id; /* under which its Parse was sent: DDL may have renewed the statement since */
	struct statement *st;
	struct client_statements *owner; /* NULL: the client has gone */
	uint32_t refs; /* the table's and the ledger's */
	uint32_t scope; /* in which its Parse or Close was sent: Syncs counted */
	bool is_pending; /* no ParseComplete yet */
	bool is_closing; /* Close was sent, no CloseComplete yet: as good as gone, unless it is skipped */
	bool is_void; /* its Parse failed or was skipped: it never was */
	bool is_in_table, is_oversize;
	UT_hash_handle hh;
	char name[];
};

struct client_statements {
	struct named *table;
	struct statement *unnamed; /* as of the last message sent */
	struct statement *confirmed; /* as of the last reply received; the same when no change is under way */
	uint32_t unnamed_scope; /* in which the last change of it was sent */
	uint32_t unnamed_under_way; /* changes of it, on the server or for the client, without a reply */
	uint64_t token; /* of its present state: the server whose unnamed_of equals it is in that state */
	struct named *failed; /* whose message the last error was about */
	uint32_t scope; /* Syncs sent */
	uint32_t oversize_count; /* named ones too large to be kept: they live on one server only */
	bool is_unnamed_oversize, is_confirmed_oversize, is_oversize_bound;
	bool is_confirmed_there; /* while changes are under way: the server is in the confirmed state, if all are
				    skipped */
	struct named *deallocating; /* SQL DEALLOCATE of it is under way */
	bool is_empty_made; /* for which the server was given an empty one first */
	bool is_clearing; /* DEALLOCATE ALL or DISCARD ALL is under way */
};

/* What a ledger entry's ref is, by its low bits. */
enum ref_tag { REF_NAMED = 0, REF_UNNAMED = 1, REF_ID = 2, REF_UNNAMED_OVERSIZE = 3, REF_MASK = 3 };

static void *
tag(const void *p, enum ref_tag t)
{
	return (void *)((uintptr_t)p | (uintptr_t)t);
}

static void *
tag_id(uint64_t id)
{
	return (void *)((uintptr_t)(id << 2) | (uintptr_t)REF_ID);
}

static struct client_statements *
own(struct client *c)
{
	if (c->statements == NULL)
		c->statements = calloc(1, sizeof(*c->statements));
	return c->statements;
}

static struct named *
find(const struct client *c, const char *name)
{
	struct named *n;

	if (c->statements == NULL)
		return NULL;
	HASH_FIND(hh, c->statements->table, name, (unsigned)strlen(name), n);
	return n;
}

/* What comes of an earlier message about this name is known only when the Sync behind that is answered. */
static bool
is_unsettled(const struct client *c, const struct named *n)
{
	const struct client_statements *s = c->statements;

	if (s != NULL && (s->deallocating != NULL || s->is_clearing) && c->srv->ledger.count > 0)
		return true; /* which names there are is known when that is answered */
	return n != NULL && (n->is_pending || n->is_closing) && n->scope != c->statements->scope;
}

static void
named_unref(struct named *n)
{
	if (--n->refs > 0)
		return;
	statement_unref(n->st);
	free(n);
}

static void
table_add(struct client_statements *own, struct named *n)
{
	HASH_ADD_KEYPTR(hh, own->table, n->name, (unsigned)strlen(n->name), n);
	n->is_in_table = true;
	n->refs++;
}

static void
table_remove(struct named *n)
{
	if (!n->is_in_table)
		return;
	HASH_DELETE(hh, n->owner->table, n);
	n->is_in_table = false;
	if (n->is_oversize)
		n->owner->oversize_count--;
	named_unref(n);
}

/* With one reference, the caller's. */
static struct named *
named_new(struct client *c, const char *name, struct statement *st)
{
	size_t len = strlen(name);
	struct named *n = calloc(1, sizeof(*n) + len + 1);

	if (n == NULL)
		return NULL;
	memcpy(n->name, name, len + 1);
	n->st = st;
	n->owner = c->statements;
	n->scope = c->statements->scope;
	n->refs = 1;
	n->is_pending = true;
	return n;
}

void
statements_free(struct client *c)
{
	struct client_statements *s = c->statements;
	struct named *n, *next;

	if (s == NULL)
		return;
	c->statements = NULL;
	HASH_ITER(hh, s->table, n, next)
	{
		struct named *gone = n;

		gone->refs++; /* the ledger may hold it too; nobody owns it after this */
		table_remove(gone);
		gone->owner = NULL;
		named_unref(gone);
	}
	statement_unref(s->unnamed);
	statement_unref(s->confirmed);
	if (s->failed != NULL)
		named_unref(s->failed);
	if (s->deallocating != NULL)
		named_unref(s->deallocating);
	free(s);
}

struct statement *
statements_find(const struct client *c, const char *name)
{
	const struct named *n;

	if (name[0] == '\0')
		return c->statements == NULL ? NULL : c->statements->unnamed;
	n = find(c, name);
	return n == NULL ? NULL : n->st;
}

size_t
statements_count(const struct client *c)
{
	return c->statements == NULL ? 0 : HASH_COUNT(c->statements->table);
}

/*
 * In session mode the server is the client's own, and so are the names on it. What will be skipped means nothing, and
 * within COPY IN nothing does: the server ends the connection, and would not answer what a held message waits for.
 */
static bool
is_passed_through(const struct client *c)
{
	return c->entry->settings.pool_mode == POOL_MODE_SESSION ||
	       (c->srv != NULL && (c->srv->ledger.is_skipping || c->srv->ledger.is_copy_open));
}

/*
 * A client may know how we call statements on servers, and use such a name: it must not reach another client's. This
 * goes before the name; no statement of ours is called so.
 */
#define STRANGER STATEMENT_PREFIX "?"

static bool
is_ours(const char *name)
{
	return strncmp(name, STATEMENT_PREFIX, sizeof(STATEMENT_PREFIX) - 1) == 0;
}

/* Bind (with its portal) or Describe (portal NULL) under another name; what follows the names is not written. */
static void
put_renamed(struct client *c, const uint8_t *message, size_t names_len, const char *portal, const char *before,
	    size_t before_len, const char *name)
{
	size_t portal_len = portal == NULL ? 1 : strlen(portal) + 1; /* Describe has its kind there */
	size_t name_len = before_len + strlen(name) + 1;
	uint32_t body_len = wire_u32(message + 1) - 4;
	uint8_t head[FRAME_HEAD_LEN];

	head[0] = message[0];
	wire_set_u32(head + 1, (uint32_t)(4 + portal_len + name_len + (body_len - names_len)));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, message + FRAME_HEAD_LEN, portal_len);
	outbox_copy(&c->env->to_server, before, before_len);
	outbox_copy(&c->env->to_server, name, name_len - before_len);
}

/* A Parse of st under this name, text from the store. */
static void
put_parse(struct client *c, const char *name, const struct statement *st)
{
	size_t name_len = strlen(name) + 1;
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };

	wire_set_u32(head + 1, (uint32_t)(4 + name_len + st->len));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, name, name_len);
	outbox_copy(&c->env->to_server, st->bytes, st->len);
	c->entry->database->counters.server_parses++;
}

static int
evict(struct client *c)
{
	struct server *srv = c->srv;
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];
	uint64_t id;
	int r = 0;

	while (r == 0 && srv->statements.count >= c->entry->settings.prepared_statements &&
	       server_statements_oldest(&srv->statements, &id)) {
		server_statements_closing(&srv->statements, id, c->statements->scope);
		snprintf(name, sizeof(name), STATEMENT_PREFIX "%llu", (unsigned long long)id);
		b.len = 0;
		message_close_statement(&b, name);
		r = buf_ok(&b) ? ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, tag_id(id)) : -1;
		if (r == 0)
			outbox_copy(&c->env->to_server, b.bytes, b.len);
		c->entry->database->counters.statement_evictions++;
	}
	buf_fini(&b);
	return r;
}

static enum statement_presence
presence(struct client *c, const struct statement *st)
{
	return server_statements_use(&c->srv->statements, st->id, c->statements->scope);
}

/* Sees to it that the server has st when what follows arrives there. DONE, HOLD or FAILED. */
static enum statement_step
ensure(struct client *c, const struct statement *st)
{
	struct server *srv = c->srv;

	switch (presence(c, st)) {
	case STATEMENT_THERE:
		c->entry->database->counters.statement_hits++;
		return STATEMENT_DONE;
	case STATEMENT_UNSURE:
		return STATEMENT_HOLD;
	case STATEMENT_ABSENT:
		break;
	}
	c->entry->database->counters.statement_misses++;
	if (evict(c) < 0 || server_statements_sent(&srv->statements, st->id, c->statements->scope) < 0 ||
	    ledger_push(&srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, tag_id(st->id)) < 0)
		return STATEMENT_FAILED;
	put_parse(c, st->name, st);
	return STATEMENT_DONE;
}

static bool
is_unnamed_there(const struct client *c)
{
	const struct client_statements *s = c->statements;

	return s->token != 0 && c->srv->unnamed_of == s->token;
}

static int
push_unnamed(struct client *c, enum owed_kind kind, enum owed_to to, void *ref)
{
	struct client_statements *s = c->statements;

	if (s->unnamed_under_way == 0)
		s->is_confirmed_there = is_unnamed_there(c);
	if (ledger_push(&c->srv->ledger, kind, to, ref) < 0)
		return -1;
	s->unnamed_under_way++;
	s->unnamed_scope = s->scope;
	return 0;
}

static int
push_unnamed_parse(struct client *c, enum owed_to to, struct statement *st)
{
	if (push_unnamed(c, OWED_PARSE, to, tag(statement_ref(st), REF_UNNAMED)) == 0)
		return 0;
	statement_unref(st);
	return -1;
}

/* The unnamed statement of the server is taken away. */
static int
push_unnamed_close(struct client *c, enum owed_to to)
{
	if (push_unnamed(c, OWED_CLOSE, to, tag(NULL, REF_UNNAMED)) < 0)
		return -1;
	outbox_copy(&c->env->to_server, "C\0\0\0\6S", 7);
	return 0;
}

/* The same for the unnamed statement: the client's own, or none. */
static enum statement_step
ensure_unnamed(struct client *c)
{
	struct client_statements *s = own(c);
	struct server *srv = c->srv;

	if (s == NULL)
		return STATEMENT_FAILED;
	/* A change of an earlier Sync may be skipped without what follows being skipped too. */
	if (s->unnamed_under_way > 0 && s->unnamed_scope != s->scope)
		return STATEMENT_HOLD;
	if (s->is_unnamed_oversize)
		s->is_oversize_bound = true;
	if (is_unnamed_there(c))
		return STATEMENT_DONE;
	if (s->token == 0)
		s->token = ++c->env->last_token;
	s->is_unnamed_oversize = false; /* gone with its server */
	if (s->unnamed_under_way == 0)
		s->is_confirmed_oversize = false;
	if (s->unnamed == NULL) { /* the server has another's: then PostgreSQL itself is to say that there is none */
		if (push_unnamed_close(c, OWED_TO_STATEMENT) < 0)
			return STATEMENT_FAILED;
	} else {
		if (push_unnamed_parse(c, OWED_TO_STATEMENT, s->unnamed) < 0)
			return STATEMENT_FAILED;
		put_parse(c, "", s->unnamed);
	}
	srv->unnamed_of = s->token;
	return STATEMENT_DONE;
}

/* A new state of it. With a server: that one is in it too, once it has done what it was sent. */
static void
set_unnamed(struct client *c, struct statement *st, bool is_oversize)
{
	struct client_statements *s = c->statements;

	statement_unref(s->unnamed);
	s->unnamed = st;
	s->is_unnamed_oversize = is_oversize;
	s->token = ++c->env->last_token;
	if (c->srv != NULL)
		c->srv->unnamed_of = s->token;
}

/* For certain: nothing is under way. */
static void
drop_unnamed(struct client *c)
{
	struct client_statements *s = c->statements;

	if (s == NULL)
		return;
	set_unnamed(c, NULL, false);
	statement_unref(s->confirmed);
	s->confirmed = NULL;
	s->is_confirmed_oversize = false;
}

static enum statement_step
parse_unnamed(struct client *c, const struct parse_fields *f, const uint8_t *message, size_t len)
{
	struct client_statements *s = own(c);
	struct statement *st;

	if (s == NULL || (st = statement_get(c->env->statements, f->rest, f->rest_len, f->query_len)) == NULL)
		return STATEMENT_FAILED;
	if (push_unnamed_parse(c, OWED_TO_CLIENT, st) < 0) {
		statement_unref(st);
		return STATEMENT_FAILED;
	}
	set_unnamed(c, st, false);
	outbox_ref(&c->env->to_server, message, len);
	return STATEMENT_DONE;
}

static enum statement_step
close_unnamed(struct client *c, enum owed_to to)
{
	if (own(c) == NULL || push_unnamed_close(c, to) < 0)
		return STATEMENT_FAILED;
	set_unnamed(c, NULL, false);
	return STATEMENT_DONE;
}

static int
push_named(struct client *c, enum owed_kind kind, struct named *n)
{
	n->refs++;
	if (ledger_push(&c->srv->ledger, kind, OWED_TO_CLIENT, tag(n, REF_NAMED)) == 0)
		return 0;
	n->refs--; /* never the last: the table has one */
	return -1;
}

/* PostgreSQL says that the name is taken; the error is rewritten on its way back. */
static enum statement_step
parse_duplicate(struct client *c, struct named *n, const struct parse_fields *f)
{
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };
	enum statement_step step;

	if (n->is_oversize)
		return STATEMENT_FORWARD;
	step = ensure(c, n->st);
	if (step != STATEMENT_DONE)
		return step;
	/* OWED_DUPLICATE: a Parse that can only fail. */
	if (push_named(c, OWED_DUPLICATE, n) < 0)
		return STATEMENT_FAILED;
	wire_set_u32(head + 1, (uint32_t)(5 + (size_t)n->st->name_len + f->rest_len));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, n->st->name, (size_t)n->st->name_len + 1);
	outbox_copy(&c->env->to_server, f->rest, f->rest_len);
	return STATEMENT_DONE;
}

static int
parse_on_server(struct client *c, struct named *n)
{
	struct server *srv = c->srv;

	n->sent_id = n->st->id;
	if (evict(c) < 0 || server_statements_sent(&srv->statements, n->sent_id, n->scope) < 0)
		return -1;
	if (push_named(c, OWED_PARSE, n) < 0)
		return -1;
	put_parse(c, n->st->name, n->st);
	return 0;
}

static enum statement_step
parse_named(struct client *c, const struct parse_fields *f, struct named *closed)
{
	struct client_statements *s = own(c);
	enum statement_presence there;
	struct statement *st;
	struct named *n;
	int r;

	if (s == NULL)
		return STATEMENT_FAILED;
	/*
	 * In a failed transaction PostgreSQL refuses a Parse: it must see one, and under a name it does not have.
	 */
	st = c->srv->tx == 'E' ? statement_new_unshared(c->env->statements, f->rest, f->rest_len, f->query_len)
			       : statement_get(c->env->statements, f->rest, f->rest_len, f->query_len);
	if (st == NULL)
		return STATEMENT_FAILED;
	there = presence(c, st);
	if (there == STATEMENT_UNSURE) {
		statement_unref(st);
		return STATEMENT_HOLD;
	}
	n = named_new(c, f->name, st);
	if (n == NULL) {
		statement_unref(st);
		return STATEMENT_FAILED;
	}
	if (closed != NULL)
		table_remove(closed); /* just before; should that be skipped, so is this */
	table_add(s, n);
	if (there == STATEMENT_THERE) {
		c->entry->database->counters.statement_hits++;
		r = push_named(c, OWED_MADE_PARSE, n);
	} else {
		c->entry->database->counters.statement_misses++;
		r = parse_on_server(c, n);
	}
	named_unref(n);
	return r < 0 ? STATEMENT_FAILED : STATEMENT_DONE;
}

static void
put_empty(struct client *c, const char *name)
{
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };
	size_t name_len = strlen(name) + 1;

	wire_set_u32(head + 1, (uint32_t)(4 + name_len + 3));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, name, name_len);
	outbox_copy(&c->env->to_server, "\0\0\0", 3);
}

/*
 * SQL that deallocates a statement of the protocol (PHP, Perl, psycopg 3, pgx do that): it runs on the server under the
 * server's name for it. It goes alone: nothing before it is unanswered, and whatever concerns names waits for its
 * answer. DONE: sql is to be sent instead. FORWARD: nothing of ours is concerned, or all of it.
 */
static enum statement_step
deallocate_step(struct client *c, const char *text, size_t len, struct buf *sql)
{
	char name[DEALLOCATE_NAME_MAX];
	enum deallocate_kind kind = deallocate_parse(text, len, name);
	struct client_statements *s;
	struct named *n;

	if (kind == DEALLOCATE_NONE)
		return STATEMENT_FORWARD;
	if (c->srv->ledger.count > 0)
		return STATEMENT_HOLD;
	if ((s = own(c)) == NULL)
		return STATEMENT_FAILED;
	if (kind == DEALLOCATE_ALL) {
		s->is_clearing = true;
		return STATEMENT_FORWARD;
	}
	n = find(c, name);
	if (n == NULL && !is_ours(name))
		return STATEMENT_FORWARD; /* made by SQL PREPARE, or nobody's */
	buf_printf(sql, "DEALLOCATE \"%s%s\"", n == NULL ? STRANGER : "", n == NULL ? name : n->st->name);
	buf_put_u8(sql, 0);
	if (!buf_ok(sql))
		return STATEMENT_FAILED;
	if (n == NULL || n->is_oversize)
		return n == NULL ? STATEMENT_DONE : STATEMENT_FORWARD;
	if (presence(c, n->st) != STATEMENT_THERE) {
		/* An empty statement will do, and can be made even in a failed transaction. */
		if (ledger_push(&c->srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, NULL) < 0)
			return STATEMENT_FAILED;
		put_empty(c, n->st->name);
		s->is_empty_made = true;
	}
	if (s->deallocating != NULL)
		named_unref(s->deallocating);
	n->refs++;
	s->deallocating = n;
	return STATEMENT_DONE;
}

static enum statement_step
parse_instead(struct client *c, const char *name, struct buf *sql)
{
	struct buf message = { 0 };
	enum statement_step step = STATEMENT_FAILED;
	size_t query_len = sql->len - 1;
	struct parse_fields f;

	buf_put_u16(sql, 0);
	message_parse(&message, name, sql->bytes, sql->len);
	if (buf_ok(sql) && buf_ok(&message) &&
	    fields_parse(message.bytes + FRAME_HEAD_LEN, message.len - FRAME_HEAD_LEN, &f)) {
		f.query_len = query_len;
		step = f.name[0] == '\0' ? parse_unnamed(c, &f, message.bytes, message.len) : parse_named(c, &f, NULL);
		outbox_settle(&c->env->to_server);
	}
	buf_fini(&message);
	return step;
}

enum statement_step
statements_query(struct client *c, const uint8_t *message, size_t len)
{
	struct buf sql = { 0 }, b = { 0 };
	enum statement_step step;

	if (is_passed_through(c) || message[len - 1] != 0)
		return STATEMENT_FORWARD;
	step = deallocate_step(c, (const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1, &sql);
	if (step == STATEMENT_DONE) {
		drop_unnamed(c);
		message_put(&b, 'Q', sql.bytes, sql.len);
		if (buf_ok(&b))
			outbox_copy(&c->env->to_server, b.bytes, b.len);
		else
			step = STATEMENT_FAILED;
		buf_fini(&b);
	}
	buf_fini(&sql);
	return step;
}

void
statements_deallocated(struct client *c)
{
	struct client_statements *s = c->statements;

	if (s == NULL || s->deallocating == NULL)
		return;
	server_statements_forget(&c->srv->statements, s->deallocating->st->id);
	if (s->deallocating->owner != NULL)
		table_remove(s->deallocating);
	named_unref(s->deallocating);
	s->deallocating = NULL;
	s->is_empty_made = false;
}

void
statements_request_done(struct client *c)
{
	struct client_statements *s = c->statements;

	if (s == NULL)
		return;
	if (s->deallocating != NULL) { /* it failed */
		named_unref(s->deallocating);
		s->deallocating = NULL;
		c->srv->is_closing = c->srv->is_closing || s->is_empty_made;
		s->is_empty_made = false;
	}
	s->is_clearing = false; /* it failed */
}

static enum statement_step
parse_step(struct client *c, const struct parse_fields *f, const uint8_t *message, size_t len)
{
	struct named *n;

	if (f->name[0] == '\0')
		return parse_unnamed(c, f, message, len);
	if (c->entry->settings.prepared_statements == 0)
		return STATEMENT_FORWARD;
	n = find(c, f->name);
	if (is_unsettled(c, n))
		return STATEMENT_HOLD;
	if (n != NULL && !n->is_closing)
		return parse_duplicate(c, n, f);
	return parse_named(c, f, n);
}

/* Another message than the client's, which is the caller's to free when this returns. */
static enum statement_step
parse_other(struct client *c, const struct buf *message)
{
	enum statement_step step = STATEMENT_FAILED;
	struct parse_fields f;

	if (buf_ok(message) && fields_parse(message->bytes + FRAME_HEAD_LEN, message->len - FRAME_HEAD_LEN, &f)) {
		step = parse_step(c, &f, message->bytes, message->len);
		outbox_settle(&c->env->to_server);
	}
	return step;
}

enum statement_step
statements_parse(struct client *c, const uint8_t *message, size_t len)
{
	struct parse_fields f;
	struct buf sql = { 0 };
	enum statement_step step;

	c->entry->database->counters.client_parses++;
	if (!fields_parse(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &f))
		return STATEMENT_FORWARD; /* PostgreSQL has the right words for it */
	report_text(c->srv, f.rest, f.query_len + 1, f.query_len + 1, false);
	if (c->entry->settings.pool_mode == POOL_MODE_SESSION)
		session_audit_parse(c, (const char *)f.rest, f.query_len);
	if (is_passed_through(c))
		return STATEMENT_FORWARD;
	switch (deallocate_step(c, (const char *)f.rest, f.query_len, &sql)) {
	case STATEMENT_HOLD:
		return STATEMENT_HOLD;
	case STATEMENT_FAILED:
		return STATEMENT_FAILED;
	case STATEMENT_DONE:
		step = parse_instead(c, f.name, &sql);
		buf_fini(&sql);
		return step;
	default:
		break;
	}
	if (listen_parse(c, &f, &sql)) {
		step = parse_other(c, &sql);
		buf_fini(&sql);
		return step;
	}
	return parse_step(c, &f, message, len);
}

static struct named *
oversize_new(struct client *c, const char *name)
{
	struct named *n = named_new(c, name, NULL);

	if (n == NULL)
		return NULL;
	n->is_oversize = true;
	n->is_pending = false;
	c->statements->oversize_count++;
	table_add(c->statements, n);
	named_unref(n);
	return n;
}

int
statements_oversize_parse(struct client *c, const char *name)
{
	struct client_statements *s = own(c);

	if (s == NULL)
		return -1;
	if (is_passed_through(c) || (name[0] != '\0' && find(c, name) != NULL))
		return ledger_push(&c->srv->ledger, OWED_PARSE, OWED_TO_CLIENT, NULL);
	if (name[0] != '\0')
		return oversize_new(c, name) == NULL ? -1
						     : ledger_push(&c->srv->ledger, OWED_PARSE, OWED_TO_CLIENT, NULL);
	if (push_unnamed(c, OWED_PARSE, OWED_TO_CLIENT, tag(NULL, REF_UNNAMED_OVERSIZE)) < 0)
		return -1;
	set_unnamed(c, NULL, true);
	s->is_oversize_bound = false;
	return 0;
}

bool
statements_hold_server(const struct client *c)
{
	const struct client_statements *s = c->statements;

	return s != NULL && (s->oversize_count > 0 || (s->is_unnamed_oversize && !s->is_oversize_bound));
}

static enum statement_step
forward_if(enum statement_step step)
{
	return step == STATEMENT_DONE ? STATEMENT_FORWARD : step;
}

enum statement_step
statements_bind(struct client *c, const uint8_t *message, size_t have, size_t total, size_t *used)
{
	const char *portal, *name;
	enum statement_step step;
	const uint8_t *body = message + FRAME_HEAD_LEN;
	size_t names_len;
	struct named *n;

	(void)total;
	c->entry->database->counters.binds++;
	if (is_passed_through(c) || !fields_bind(body, have - FRAME_HEAD_LEN, &portal, &name, &names_len))
		return STATEMENT_FORWARD;
	if (name[0] == '\0') {
		step = ensure_unnamed(c);
		if (step == STATEMENT_DONE)
			step = session_bind(c, c->statements->unnamed, portal, name, body, have - FRAME_HEAD_LEN);
		if (step == STATEMENT_FORWARD && listen_bound(c, portal, c->statements->unnamed) < 0)
			return STATEMENT_FAILED;
		return forward_if(step);
	}
	n = find(c, name);
	if (is_unsettled(c, n))
		return STATEMENT_HOLD;
	step = session_bind(c, n == NULL ? NULL : n->st, portal, name, body, have - FRAME_HEAD_LEN);
	if (step != STATEMENT_FORWARD)
		return step;
	if (n == NULL || n->is_closing) {
		if (!is_ours(name))
			return STATEMENT_FORWARD; /* PostgreSQL knows what to say */
		if (ledger_push(&c->srv->ledger, OWED_BIND, OWED_TO_CLIENT, NULL) < 0)
			return STATEMENT_FAILED;
		put_renamed(c, message, names_len, portal, STRANGER, sizeof(STRANGER) - 1, name);
		*used = FRAME_HEAD_LEN + names_len;
		return STATEMENT_DONE;
	}
	if (n->is_oversize)
		return STATEMENT_FORWARD;
	step = ensure(c, n->st);
	if (step != STATEMENT_DONE)
		return step;
	if (push_named(c, OWED_BIND, n) < 0 || listen_bound(c, portal, n->st) < 0)
		return STATEMENT_FAILED;
	report_text(c->srv, n->st->bytes, n->st->query_len + 1, n->st->query_len + 1, false);
	put_renamed(c, message, names_len, portal, "", 0, n->st->name);
	*used = FRAME_HEAD_LEN + names_len;
	return STATEMENT_DONE;
}

enum statement_step
statements_describe(struct client *c, const uint8_t *message, size_t len)
{
	enum statement_step step;
	const char *name;
	uint8_t kind;
	struct named *n;

	if (is_passed_through(c) || !fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name) ||
	    kind == 'P')
		return STATEMENT_FORWARD;
	if (name[0] == '\0')
		return forward_if(ensure_unnamed(c));
	n = find(c, name);
	if (is_unsettled(c, n))
		return STATEMENT_HOLD;
	if (n == NULL || n->is_closing) {
		if (!is_ours(name))
			return STATEMENT_FORWARD;
		if (ledger_push(&c->srv->ledger, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, NULL) < 0)
			return STATEMENT_FAILED;
		put_renamed(c, message, len - FRAME_HEAD_LEN, NULL, STRANGER, sizeof(STRANGER) - 1, name);
		return STATEMENT_DONE;
	}
	if (n->is_oversize)
		return STATEMENT_FORWARD;
	step = ensure(c, n->st);
	if (step != STATEMENT_DONE)
		return step;
	if (push_named(c, OWED_DESCRIBE_STATEMENT, n) < 0)
		return STATEMENT_FAILED;
	put_renamed(c, message, len - FRAME_HEAD_LEN, NULL, "", 0, n->st->name);
	return STATEMENT_DONE;
}

enum statement_step
statements_close(struct client *c, const uint8_t *message, size_t len)
{
	const char *name;
	uint8_t kind;
	struct named *n;

	if (is_passed_through(c) || !fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name) ||
	    kind == 'P')
		return STATEMENT_FORWARD;
	if (name[0] == '\0')
		return close_unnamed(c, OWED_TO_CLIENT);
	n = find(c, name);
	if (is_unsettled(c, n))
		return STATEMENT_HOLD;
	if (n == NULL && !is_ours(name))
		return STATEMENT_FORWARD; /* perhaps one made by SQL PREPARE */
	if (n != NULL && n->is_oversize) {
		table_remove(n);
		return STATEMENT_FORWARD;
	}
	if (n == NULL || n->is_closing)
		return ledger_push(&c->srv->ledger, OWED_MADE_CLOSE, OWED_TO_CLIENT, NULL) < 0 ? STATEMENT_FAILED
											       : STATEMENT_DONE;
	n->is_closing = true;
	n->scope = c->statements->scope;
	return push_named(c, OWED_MADE_CLOSE, n) < 0 ? STATEMENT_FAILED : STATEMENT_DONE;
}

void
statements_sync(struct client *c)
{
	if (c->statements != NULL)
		c->statements->scope++;
}

/*
 * Parse and Sync, nothing more, of a statement that was prepared in this pool under the same settings: it needs no
 * server now. A client that prepares, waits for that, then executes (libpq's PQprepare) would else hold one for
 * nothing, or wait for one in the middle of the work of others.
 */
bool
statements_parse_unlinked(struct client *c, const uint8_t *message, size_t len)
{
	struct parse_fields f;
	struct statement *st;
	struct named *n;

	if (is_passed_through(c) || c->entry->settings.prepared_statements == 0 ||
	    !fields_parse(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &f) || f.name[0] == '\0' ||
	    find(c, f.name) != NULL || own(c) == NULL)
		return false;
	st = statement_get(c->env->statements, f.rest, f.rest_len, f.query_len);
	if (st == NULL)
		return false;
	n = st->valid_pool == c->entry && st->valid_image == c->image ? named_new(c, f.name, st) : NULL;
	if (n == NULL) {
		statement_unref(st);
		return false;
	}
	n->is_pending = false;
	table_add(c->statements, n);
	named_unref(n);
	c->entry->database->counters.client_parses++;
	c->entry->database->counters.statement_hits++;
	return true;
}

bool
statements_close_unlinked(struct client *c, const uint8_t *message, size_t len)
{
	const char *name;
	uint8_t kind;
	struct named *n;

	if (!fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name))
		return false;
	if (c->statements == NULL || kind == 'P')
		return true;
	if (name[0] == '\0')
		drop_unnamed(c);
	else if ((n = find(c, name)) != NULL)
		table_remove(n);
	return true;
}

enum statement_step
statements_simple_query(struct client *c)
{
	struct client_statements *s = c->statements;

	if (is_passed_through(c))
		return STATEMENT_DONE;
	if (s == NULL || (s->unnamed == NULL && !s->is_unnamed_oversize && s->unnamed_under_way == 0)) {
		c->srv->unnamed_of = 0; /* another client's, if any, is dropped there */
		return STATEMENT_DONE;
	}
	/* Behind what is unanswered it may be skipped. A Close of ours tells: it does the same and shares its fate. */
	if (c->srv->ledger.count > 0)
		return close_unnamed(c, OWED_TO_STATEMENT);
	drop_unnamed(c);
	return STATEMENT_DONE;
}

static void
confirm_unnamed(struct client_statements *s, struct statement *st, bool is_oversize)
{
	statement_unref(s->confirmed);
	s->confirmed = st;
	s->is_confirmed_oversize = is_oversize;
}

static void
settled_unnamed(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize, enum owed_end how)
{
	struct client *c = srv->link;
	struct client_statements *s = c == NULL ? NULL : c->statements;

	if (s == NULL) {
		statement_unref(st);
		return;
	}
	if (how != OWED_SKIPPED)
		s->is_confirmed_there = how == OWED_ANSWERED; /* what it has after a failure is anybody's guess */
	if (how == OWED_ANSWERED)
		confirm_unnamed(s, st, is_oversize);
	else {
		statement_unref(st);
		if (how == OWED_FAILED && o->to == OWED_TO_CLIENT)
			confirm_unnamed(s, NULL, false);
	}
	if (--s->unnamed_under_way > 0)
		return;
	if (s->unnamed != s->confirmed || s->is_unnamed_oversize != s->is_confirmed_oversize)
		set_unnamed(c, s->confirmed == NULL ? NULL : statement_ref(s->confirmed), s->is_confirmed_oversize);
	srv->unnamed_of = s->is_confirmed_there ? s->token : 0;
}

static void
settled_parse(struct server *srv, struct named *n, bool is_made, enum owed_end how)
{
	if (!is_made)
		server_statements_settled(&srv->statements, n->sent_id, false, how == OWED_ANSWERED);
	if (!is_made && how == OWED_ANSWERED) {
		n->st->valid_pool = srv->owner;
		n->st->valid_image = srv->image;
	}
	n->is_pending = false;
	n->is_void = how != OWED_ANSWERED;
	if (how != OWED_ANSWERED && n->owner != NULL && srv->link != NULL)
		table_remove(n);
}

static void
settled_close(struct server *srv, struct named *n, enum owed_end how)
{
	struct named *other;

	n->is_closing = false;
	if (n->owner == NULL || srv->link == NULL)
		return;
	if (how == OWED_ANSWERED) {
		table_remove(n);
		return;
	}
	/* Skipped: it was never closed, and whoever took the name meanwhile never got it. */
	if (n->is_in_table || n->is_void)
		return;
	other = find(srv->link, n->name);
	if (other != NULL)
		table_remove(other);
	table_add(n->owner, n);
}

static void
settled_named(struct server *srv, const struct owed *o, struct named *n, enum owed_end how)
{
	switch (o->kind) {
	case OWED_PARSE:
	case OWED_MADE_PARSE:
		settled_parse(srv, n, o->kind == OWED_MADE_PARSE, how);
		break;
	case OWED_MADE_CLOSE:
		settled_close(srv, n, how);
		break;
	default:
		break;
	}
	if (how == OWED_FAILED && n->owner != NULL && srv->link != NULL) {
		if (n->owner->failed != NULL)
			named_unref(n->owner->failed);
		n->owner->failed = n; /* its error comes next, and wants its name */
		return;
	}
	named_unref(n);
}

void
statements_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	uintptr_t ref = (uintptr_t)o->ref;
	void *p = (void *)(ref & ~(uintptr_t)REF_MASK);

	switch ((enum ref_tag)(ref & REF_MASK)) {
	case REF_UNNAMED:
	case REF_UNNAMED_OVERSIZE:
		settled_unnamed(srv, o, p, (ref & REF_MASK) == REF_UNNAMED_OVERSIZE, how);
		break;
	case REF_ID:
		server_statements_settled(&srv->statements, ref >> 2, o->kind == OWED_CLOSE, how == OWED_ANSWERED);
		break;
	case REF_NAMED:
		settled_named(srv, o, p, how);
		break;
	}
}

void
statements_deallocated_all(struct client *c)
{
	struct client_statements *s = c->statements;
	struct named *n, *next;

	/* Those on their way were parsed after it: one that was not foreseen, the second statement of a text. */
	server_statements_forget_all(&c->srv->statements);
	if (s == NULL)
		return;
	s->is_clearing = false;
	HASH_ITER(hh, s->table, n, next)
	if (!n->is_pending)
		table_remove(n);
}

/* What stands in an error between quotes, from..to, becomes name. */
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

bool
statements_rewrite_error(struct client *c, const uint8_t *message, size_t len, struct buf *out)
{
	static const char prefix[] = "\"" STATEMENT_PREFIX;
	struct client_statements *s = c->statements;
	const uint8_t *at = memmem(message, len, prefix, sizeof(prefix) - 1), *end;
	const struct named *n = s == NULL ? NULL : s->failed;

	if (at == NULL || len != 1 + (size_t)wire_u32(message + 1))
		return false;
	at++;
	end = memchr(at, '"', len - (size_t)(at - message));
	if (end == NULL)
		return false;
	if (at[sizeof(STATEMENT_PREFIX) - 1] == '?')
		return replace_name(message, len, at, at + sizeof(STRANGER) - 1, "", 0, out);
	if (n == NULL || n->st == NULL || (size_t)(end - at) != n->st->name_len ||
	    memcmp(at, n->st->name, n->st->name_len) != 0)
		return false;
	return replace_name(message, len, at, end, n->name, strlen(n->name), out);
}
