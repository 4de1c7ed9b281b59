/* src/server/server_statements.c - see server_statements.h. */
#include "server/server_statements.h"

#include <stdlib.h>

/* Ids are ours, one after the other: a multiplication spreads them well enough. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)(*(const uint64_t *)(key) * 0x9e3779b97f4a7c15ull >> 32))
#define HASH_KEYCMP(a, b, len) (*(const uint64_t *)(a) != *(const uint64_t *)(b))
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct server_statement {
	uint64_t id;
	uint32_t scope;
	bool is_ready;
	bool was_there; /* a Parse is on its way, but the Close that went before it was skipped */
	struct server_statement *newer, *older;
	UT_hash_handle hh;
};

static struct server_statement *
find(const struct server_statements *s, uint64_t id)
{
	struct server_statement *e;

	HASH_FIND(hh, s->table, &id, sizeof(id), e);
	return e;
}

static void
unlink_use(struct server_statements *s, struct server_statement *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		s->newest = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		s->oldest = e->newer;
}

static void
link_newest(struct server_statements *s, struct server_statement *e)
{
	e->newer = NULL;
	e->older = s->newest;
	if (s->newest != NULL)
		s->newest->newer = e;
	else
		s->oldest = e;
	s->newest = e;
}

static void
drop(struct server_statements *s, struct server_statement *e)
{
	unlink_use(s, e);
	HASH_DELETE(hh, s->table, e);
	s->count--;
	free(e);
}

void
server_statements_clear(struct server_statements *s)
{
	while (s->newest != NULL)
		drop(s, s->newest);
}

enum statement_presence
server_statements_use(struct server_statements *s, uint64_t id, uint32_t scope)
{
	struct server_statement *e = s->newest;

	if (e == NULL || e->id != id) { /* most often the same one again */
		e = find(s, id);
		if (e == NULL)
			return STATEMENT_ABSENT;
		unlink_use(s, e);
		link_newest(s, e);
	}
	return e->is_ready || e->scope == scope ? STATEMENT_THERE : STATEMENT_UNSURE;
}

int
server_statements_sent(struct server_statements *s, uint64_t id, uint32_t scope)
{
	struct server_statement *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -1;
	e->id = id;
	e->scope = scope;
	HASH_ADD(hh, s->table, id, sizeof(e->id), e);
	link_newest(s, e);
	s->count++;
	return 0;
}

void
server_statements_ready(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = find(s, id);

	if (e != NULL)
		e->is_ready = true;
}

void
server_statements_forget(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = find(s, id);

	if (e != NULL)
		drop(s, e);
}

void
server_statements_not_made(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = find(s, id);

	if (e != NULL && e->was_there) {
		e->was_there = false;
		e->is_ready = true;
	} else if (e != NULL)
		drop(s, e);
}

int
server_statements_not_closed(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = find(s, id);

	if (e != NULL) {
		e->was_there = true;
		return 0;
	}
	if (server_statements_sent(s, id, 0) < 0)
		return -1;
	server_statements_ready(s, id);
	return 0;
}

void
server_statements_forget_ready(struct server_statements *s)
{
	for (struct server_statement *e = s->newest, *older; e != NULL; e = older) {
		older = e->older;
		if (e->is_ready)
			drop(s, e);
	}
}

bool
server_statements_oldest(const struct server_statements *s, uint64_t *id)
{
	const struct server_statement *e = s->oldest;

	while (e != NULL && !e->is_ready)
		e = e->newer;
	if (e == NULL)
		return false;
	*id = e->id;
	return true;
}
