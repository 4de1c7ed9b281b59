/* src/statements/bind_ahead.c - see bind_ahead.h. */
#include "statements/bind_ahead.h"
#include "statements/statements_state.h"
#include "server/server.h"
#include "wire/frame.h"

/* Returns x's statement of this name, borrowed. Returns NULL if there is none, if a change of it is in progress, or if
 * x's settings are not those under which the statement is shared. */
static struct statement *
find_settled(const struct exchange *x, const char *name)
{
	const struct client_statements *s = x->statements;
	const struct client_statement *n;
	struct statement *st;

	if (s == NULL || s->deallocating_count > 0 || s->is_clearing || s->to_describe != NULL || name[0] == '\0')
		return NULL;
	n = client_statement_find(x, name);
	if (n == NULL || n->state != NAME_PREPARED || n->describing != DESCRIBING_NOT || statement_is_oversize(n))
		return NULL;
	st = n->st;
	if (st->home != x->pool->home || !statement_is_shared(st) ||
	    (st->context == 0 ? gucs_affect_plans(x->gucs) : gucs_context(x->gucs) != st->context))
		return NULL;
	return st;
}

/* Appends the Bind with st's name and the unnamed portal. names_len: the bytes of both names in the given Bind. */
static void
put_bind_as(const struct statement *st, const uint8_t *bind, size_t len, size_t names_len, struct buf *out)
{
	uint8_t head[FRAME_HEAD_LEN + 1] = { 'B' };

	wire_set_u32(head + 1, (uint32_t)(len - names_len + 1 + st->name_len));
	buf_put(out, head, sizeof(head));
	buf_put(out, st->name, (size_t)st->name_len + 1);
	buf_put(out, bind + FRAME_HEAD_LEN + names_len, len - FRAME_HEAD_LEN - names_len);
}

void
statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out)
{
	put_bind_as(st, bind, len, 2, out);
}

struct statement *
statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind, size_t len,
			  struct buf *out)
{
	const uint8_t *body = bind + FRAME_HEAD_LEN;
	const char *portal, *name;
	struct statement *st;
	size_t names_len;

	if (!fields_read_bind(body, len - FRAME_HEAD_LEN, &portal, &name, &names_len) || portal[0] != '\0' ||
	    (st = find_settled(x, name)) == NULL)
		return NULL;
	statement_refresh(st);
	if (server_statements_use(&srv->statements, st->id, UINT32_MAX) != STATEMENT_THERE)
		return NULL;
	put_bind_as(st, bind, len, names_len, out);
	return st;
}
