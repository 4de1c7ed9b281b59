/*
 * src/listen/queries.c - which messages are a LISTEN or UNLISTEN, and what is sent for them; see listen.h.
 *
 * Each statement that is sent adds an effect: when the server replies with the tag UNLISTEN, SAVEPOINT, RELEASE or
 * ROLLBACK, the first effect of the request under way tells what that tag means.
 */
#include "listen/listen_state.h"
#include "listen/listen.h"
#include "state/state.h"
#include "statements/statements.h"

#include "sql/listen_text.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WHOLE_MAX 4096u /* bytes of a message that is examined */

/* A message that the server will ignore, or take for a part of a COPY, has no effect. */
bool
listen_is_not_ours(const struct exchange *x)
{
	return !exchange_is_ready(x) || !session_is_followed(x) ||
	       (x->srv != NULL && (x->srv->ledger.is_skipping || x->srv->ledger.is_copy_open));
}

/* Returns true if the SQL consists of LISTEN and UNLISTEN only. */
static bool
read_sql(const struct exchange *x, const char *sql, size_t len, struct known_text *text)
{
	if (!listen_text_may_be(sql, len) || !known_parse(text, image_scan_options(x->image), sql, len))
		return false;
	for (unsigned i = 0; i < text->count; i++) {
		uint8_t kind = text->statements[i].kind;

		if (kind != KNOWN_LISTEN && kind != KNOWN_UNLISTEN && kind != KNOWN_UNLISTEN_ALL)
			return false;
	}
	return text->count > 0;
}

static enum known_kind
kind_of(const struct exchange *x, const char *sql, size_t len, char name[static KNOWN_NAME_MAX])
{
	struct known_text text;
	const struct known *k = &text.statements[0];

	if (!read_sql(x, sql, len, &text) || text.count != 1)
		return KNOWN_NOT;
	if (k->kind != KNOWN_UNLISTEN_ALL)
		memcpy(name, k->name, KNOWN_NAME_MAX);
	return (enum known_kind)k->kind;
}

static bool
read_query(const struct exchange *x, const uint8_t *message, size_t len, struct known_text *text)
{
	return len <= WHOLE_MAX && len > FRAME_HEAD_LEN && message[len - 1] == 0 &&
	       read_sql(x, (const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1, text);
}

static bool
has_listen(const struct known_text *text)
{
	for (unsigned i = 0; i < text->count; i++)
		if (text->statements[i].kind == KNOWN_LISTEN)
			return true;
	return false;
}

/* Examines a statement once, as its Parse was sent: a LISTEN has been replaced already. */
static enum known_kind
kind_of_statement(const struct exchange *x, struct statement *st, char name[static KNOWN_NAME_MAX])
{
	enum known_kind kind;

	if (st->listens == STATEMENT_DOES_NOT)
		return KNOWN_NOT;
	kind = st->query_len > WHOLE_MAX ? KNOWN_NOT : kind_of(x, (const char *)st->bytes, st->query_len, name);
	if (kind == KNOWN_LISTEN)
		kind = KNOWN_NOT; /* it was not replaced: it was prepared on a server of the client's own */
	st->listens = kind == KNOWN_NOT ? STATEMENT_DOES_NOT : STATEMENT_DOES;
	if (kind == KNOWN_UNLISTEN && listen_text_is_substitute((const char *)st->bytes, st->query_len))
		kind = KNOWN_LISTEN;
	return kind;
}

/* kind_of_statement has found that it is an UNLISTEN, or stands for a LISTEN. */
static int
take_first(void *arg, const struct known *mark)
{
	if (mark->kind != KNOWN_UNLISTEN && mark->kind != KNOWN_UNLISTEN_ALL)
		*(struct known *)arg = *mark;
	return 1;
}

/* For a statement that is no LISTEN or UNLISTEN: see expect_marks. */
static enum known_kind
mark_of_statement(const struct exchange *x, const struct statement *st, char name[static KNOWN_NAME_MAX])
{
	struct known mark = { .kind = KNOWN_NOT };

	if (x->listen != NULL && x->listen->table != NULL && st->query_len <= WHOLE_MAX)
		known_each_mark(image_scan_options(x->image), (const char *)st->bytes, st->query_len, take_first,
				&mark);
	memcpy(name, mark.name, KNOWN_NAME_MAX);
	return (enum known_kind)mark.kind;
}

static enum listen_look
await(struct exchange *x, const char *channel)
{
	struct membership *m = membership_want(x, channel);

	if (m == NULL)
		return LISTEN_FAILED;
	if (m->is_heard || m->is_refused)
		return LISTEN_GO;
	x->listen->awaited = m;
	client_step(x, CE_AWAIT);
	return LISTEN_WAIT;
}

/* Asks the hub for all channels at once; the message is handled again when the last has been answered. */
static enum listen_look
await_all(struct exchange *x, const struct known_text *text)
{
	enum listen_look all = LISTEN_GO;

	for (unsigned i = 0; i < text->count; i++) {
		enum listen_look one;

		if (text->statements[i].kind != KNOWN_LISTEN)
			continue;
		if ((one = await(x, text->statements[i].name)) == LISTEN_FAILED)
			return LISTEN_FAILED;
		if (one == LISTEN_WAIT)
			all = LISTEN_WAIT;
	}
	return all;
}

static struct listen_portal *
find_portal(const struct client_listen *l, const char *name)
{
	struct listen_portal *p;

	TAILQ_FOREACH(p, &l->portals, link)
	if (strcmp(p->name, name) == 0)
		return p;
	return NULL;
}

static const struct listen_portal *
executed(const struct exchange *x, const uint8_t *message, size_t len)
{
	const char *name = (const char *)message + FRAME_HEAD_LEN;

	if (x->listen == NULL || memchr(name, 0, len - FRAME_HEAD_LEN) == NULL)
		return NULL;
	return find_portal(x->listen, name);
}

static enum listen_look
look_into(struct exchange *x, const uint8_t *message, size_t total)
{
	char name[KNOWN_NAME_MAX];
	const struct listen_portal *p;
	struct parse_fields f;
	struct known_text text;

	switch (message[0]) {
	case 'Q':
		return read_query(x, message, total, &text) ? await_all(x, &text) : LISTEN_GO;
	case 'P': /* only so that the hub listens already when it is executed, and no server is held for that time */
		if (!fields_parse(message + FRAME_HEAD_LEN, total - FRAME_HEAD_LEN, &f) ||
		    kind_of(x, (const char *)f.rest, f.query_len, name) != KNOWN_LISTEN)
			return LISTEN_GO;
		return await(x, name);
	default:
		p = executed(x, message, total);
		return p != NULL && p->kind == KNOWN_LISTEN ? await(x, p->channel) : LISTEN_GO;
	}
}

/*
 * In a transaction that has run LISTEN, each message may commit it. Notifications from before the commit are not for
 * this client: the hub must have received all of them first.
 */
static bool
must_catch_up(struct exchange *x, const uint8_t *message)
{
	struct client_listen *l = x->listen;

	if (l == NULL || !l->has_wanted || l->is_fresh || message[0] == 'P' || x->srv == NULL ||
	    x->srv->ledger.count > 0 || x->srv->tx != 'T' || !notify_catch_up(&l->ear))
		return false;
	l->awaited = NULL;
	client_step(x, CE_AWAIT);
	return true;
}

enum listen_look
listen_look(struct exchange *x, const uint8_t *message, size_t have, size_t total)
{
	if (listen_is_not_ours(x) || total > WHOLE_MAX)
		return LISTEN_GO;
	if (message[0] == 'P' && x->srv != NULL)
		return LISTEN_GO;
	if (message[0] == 'E' && (x->listen == NULL || (TAILQ_EMPTY(&x->listen->portals) && !x->listen->has_wanted)))
		return LISTEN_GO;
	if (have < total)
		return LISTEN_MORE;
	return must_catch_up(x, message) ? LISTEN_WAIT : look_into(x, message, total);
}

static uint32_t
requests_owed(const struct ledger *ledger)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct owed *o = &ledger->ring[(ledger->head + i) & (ledger->cap - 1)];

		count += o->to == OWED_TO_CLIENT &&
			 (o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC);
	}
	return count;
}

/* Returns NULL: no memory. */
static struct listen_effect *
expect(struct exchange *x, enum known_kind kind, const char name[static KNOWN_NAME_MAX])
{
	struct client_listen *l = listen_own(x);
	struct listen_effect *e = l == NULL ? NULL : calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->kind = (uint8_t)kind;
	if (kind != KNOWN_UNLISTEN_ALL)
		memcpy(e->name, name, sizeof(e->name));
	if (kind == KNOWN_LISTEN) {
		e->m = membership_want(x, name);
		if (e->m == NULL) {
			free(e);
			return NULL;
		}
		e->is_refused = e->m->is_refused;
		e->m->refs++;
	}
	e->due = x->srv->ledger.requests_gone + requests_owed(&x->srv->ledger);
	TAILQ_INSERT_TAIL(&l->effects, e, link);
	return e;
}

void
listen_end_effect(struct client_listen *l, struct listen_effect *e)
{
	TAILQ_REMOVE(&l->effects, e, link);
	if (e->m != NULL)
		membership_unref(e->m);
	free(e);
}

static int
on_mark(void *arg, const struct known *mark)
{
	return expect(arg, (enum known_kind)mark->kind, mark->name) == NULL ? -1 : 0;
}

/*
 * Adds effects for statements that are sent as they are; their tags will come in this order. While there is no channel
 * they don't matter: savepoints.c does without them.
 */
static enum statement_step
expect_marks(struct exchange *x, const uint8_t *message, size_t len)
{
	const char *sql = (const char *)message + FRAME_HEAD_LEN;

	if (x->listen == NULL || x->listen->table == NULL || len > WHOLE_MAX || len <= FRAME_HEAD_LEN ||
	    listen_is_not_ours(x))
		return STATEMENT_FORWARD;
	return known_each_mark(image_scan_options(x->image), sql, strnlen(sql, len - FRAME_HEAD_LEN), on_mark, x) < 0
		   ? STATEMENT_FAILED
		   : STATEMENT_FORWARD;
}

/* Several statements are written again from their names; a single one keeps its spelling. */
static int
substitute(struct exchange *x, const uint8_t *message, size_t len, const struct known_text *text, struct buf *sql)
{
	for (unsigned i = 0; i < text->count; i++) {
		const struct known *k = &text->statements[i];
		struct listen_effect *e = expect(x, (enum known_kind)k->kind, k->name);

		if (e == NULL)
			return -1;
		if (e->is_refused)
			buf_printf(sql, "EXECUTE " LISTEN_REFUSED);
		else if (text->count == 1)
			return listen_text_substitute((const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1,
						      sql)
				   ? 0
				   : -1;
		else if (k->kind == KNOWN_UNLISTEN_ALL)
			buf_printf(sql, "UNLISTEN *");
		else {
			buf_printf(sql, "UNLISTEN ");
			listen_text_quote(sql, k->name);
		}
		buf_printf(sql, "; ");
	}
	return 0;
}

enum statement_step
listen_query(struct exchange *x, const uint8_t *message, size_t len)
{
	struct known_text text;
	struct buf sql = { 0 }, b = { 0 };
	int r;

	if (listen_is_not_ours(x) || !read_query(x, message, len, &text) || !has_listen(&text))
		return expect_marks(x, message, len);
	r = substitute(x, message, len, &text, &sql);
	buf_put_u8(&sql, 0);
	if (r == 0 && buf_ok(&sql))
		message_put(&b, 'Q', sql.bytes, sql.len);
	if (r == 0 && (!buf_ok(&sql) || !buf_ok(&b) || statements_simple_query(x) == STATEMENT_FAILED))
		r = -1;
	if (r == 0)
		outbox_copy(&x->env->to_server, b.bytes, b.len);
	buf_fini(&sql);
	buf_fini(&b);
	return r < 0 ? STATEMENT_FAILED : STATEMENT_DONE;
}

bool
listen_parse(struct exchange *x, const struct parse_fields *f, struct buf *message)
{
	const char *sql = (const char *)f->rest;
	char name[KNOWN_NAME_MAX];
	struct buf rest = { 0 };

	if (listen_is_not_ours(x) || f->query_len > WHOLE_MAX || kind_of(x, sql, f->query_len, name) != KNOWN_LISTEN ||
	    !listen_text_substitute(sql, f->query_len, &rest))
		return false;
	buf_put(&rest, f->rest + f->query_len, f->rest_len - f->query_len);
	if (buf_ok(&rest))
		message_parse(message, f->name, rest.bytes, rest.len);
	else
		message->is_broken = true;
	buf_fini(&rest);
	return true;
}

int
listen_bound(struct exchange *x, const char *portal, struct statement *st)
{
	char channel[KNOWN_NAME_MAX] = "";
	enum known_kind kind = st == NULL ? KNOWN_NOT : kind_of_statement(x, st, channel);
	struct client_listen *l = x->listen;
	struct listen_portal *p;
	size_t len;

	if (l != NULL && (p = find_portal(l, portal)) != NULL) {
		TAILQ_REMOVE(&l->portals, p, link);
		free(p);
	}
	if (kind == KNOWN_NOT && st != NULL)
		kind = mark_of_statement(x, st, channel);
	if (kind == KNOWN_NOT)
		return 0;
	len = strlen(portal) + 1;
	if ((l = listen_own(x)) == NULL || (p = calloc(1, sizeof(*p) + len)) == NULL)
		return -1;
	p->kind = (uint8_t)kind;
	memcpy(p->channel, channel, sizeof(channel));
	memcpy(p->name, portal, len);
	TAILQ_INSERT_TAIL(&l->portals, p, link);
	return 0;
}

enum statement_step
listen_execute(struct exchange *x, const uint8_t *message, size_t len)
{
	static const char refused[] = "E\0\0\0\x17" LISTEN_REFUSED "\0\0\0\0"; /* a portal that nobody has bound */
	const struct listen_portal *p = listen_is_not_ours(x) ? NULL : executed(x, message, len);
	struct listen_effect *e;

	_Static_assert(sizeof(refused) == 5 + sizeof(LISTEN_REFUSED) + 4, "its length is as it says");
	if (p == NULL)
		return STATEMENT_FORWARD;
	if ((e = expect(x, (enum known_kind)p->kind, p->channel)) == NULL)
		return STATEMENT_FAILED;
	if (!e->is_refused)
		return STATEMENT_FORWARD;
	outbox_copy(&x->env->to_server, refused, sizeof(refused));
	return STATEMENT_DONE;
}

void
listen_drop_portals(struct client_listen *l)
{
	struct listen_portal *p;

	while ((p = TAILQ_FIRST(&l->portals)) != NULL) {
		TAILQ_REMOVE(&l->portals, p, link);
		free(p);
	}
}
