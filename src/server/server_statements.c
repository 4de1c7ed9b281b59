#include "server/server_statements.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#define HASH_KEYCMP(a, b, len) (*(const uint64_t *)(a) != *(const uint64_t *)(b))
#include "base/table.h"

struct server_statement {
	uint64_t id;
	uint32_t sync_no; /* the borrower's count of Syncs when the last Parse or Close was sent */
	uint32_t under_way; /* Parses and Closes without a reply */
	/* true if the server has the statement once all messages under way have succeeded. An entry without the
	 * statement, and without messages under way, is dropped. */
	bool is_there;
	bool was_there; /* the replies so far say that the server has the statement */
	uint32_t generation, was_generation; /* the generations for is_there and was_there */
	struct server_statement *prev, *next; /* by last use, the newest first; the newest one's prev is the oldest */
	UT_hash_handle hh;
};

/* Ids are pgweir's own and at equal distances, so a multiplication spreads them well enough. */
static unsigned
hash_of(uint64_t id)
{
	return (unsigned)(id * 0x9e3779b97f4a7c15ull >> 32);
}

static struct server_statement *
entry_find(const struct server_statements *s, uint64_t id)
{
	struct server_statement *e;

	HASH_FIND_BYHASHVALUE(hh, s->table, &id, sizeof(id), hash_of(id), e);
	return e;
}

static void
entry_drop(struct server_statements *s, struct server_statement *e)
{
	assert((e->prev->next == NULL) == (s->newest == e) && (e->next == NULL) == (s->newest->prev == e));
	DL_DELETE(s->newest, e);
	assert(s->count >= e->is_there);
	HASH_DELETE(hh, s->table, e);
	s->count -= e->is_there;
	free(e);
}

static void
set_there(struct server_statements *s, struct server_statement *e, bool is_there)
{
	s->count += is_there;
	s->count -= e->is_there;
	e->is_there = is_there;
}

void
server_statements_clear(struct server_statements *s)
{
	while (s->newest != NULL)
		entry_drop(s, s->newest);
	assert(s->table == NULL && s->count == 0);
}

enum statement_presence
server_statements_use(struct server_statements *s, uint64_t id, uint32_t sync_no)
{
	struct server_statement *e = s->newest;

	if (e == NULL || e->id != id) { /* most often, it is the statement that was used last */
		e = entry_find(s, id);
		if (e == NULL)
			return STATEMENT_ABSENT;
		DL_DELETE(s->newest, e);
		DL_PREPEND(s->newest, e);
	}
	if (e->under_way > 0 && e->sync_no != sync_no)
		return STATEMENT_UNSURE;
	return e->is_there && e->generation == s->generation ? STATEMENT_THERE : STATEMENT_ABSENT;
}

void
server_statements_outdate(struct server_statements *s)
{
	s->generation++;
}

static struct server_statement *
entry_add(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->id = id;
	if (!TABLE_ADD_BY_HASH(s->table, &e->id, sizeof(e->id), hash_of(id), e)) {
		free(e);
		return NULL;
	}
	DL_PREPEND(s->newest, e);
	return e;
}

static void
note_sent(struct server_statements *s, struct server_statement *e, bool is_there, uint32_t sync_no)
{
	set_there(s, e, is_there);
	e->sync_no = sync_no;
	e->under_way++;
}

int
server_statements_note_parse(struct server_statements *s, uint64_t id, uint32_t sync_no)
{
	struct server_statement *e = entry_find(s, id);

	if (e == NULL && (e = entry_add(s, id)) == NULL)
		return -1;
	note_sent(s, e, true, sync_no);
	e->generation = s->generation;
	return 0;
}

bool
server_statements_note_close(struct server_statements *s, uint64_t id, uint32_t sync_no)
{
	struct server_statement *e = entry_find(s, id);

	if (e != NULL)
		note_sent(s, e, false, sync_no);
	return e != NULL;
}

void
server_statements_note_end(struct server_statements *s, uint64_t id, bool is_close, bool is_done)
{
	struct server_statement *e = entry_find(s, id);

	if (e == NULL || e->under_way == 0)
		return;
	e->under_way--;
	if (is_done) {
		e->was_there = !is_close;
		e->was_generation = e->generation;
	}
	if (e->under_way > 0)
		return;
	set_there(s, e, e->was_there);
	e->generation = e->was_generation;
	if (!e->is_there)
		entry_drop(s, e);
}

void
server_statements_outdate_one(struct server_statements *s, uint64_t id)
{
	struct server_statement *e = entry_find(s, id);

	if (e != NULL)
		e->generation = e->was_generation = s->generation - 1;
}

void
server_statements_forget_all(struct server_statements *s)
{
	for (struct server_statement *e = s->newest, *next; e != NULL; e = next) {
		next = e->next;
		e->was_there = false;
		if (e->under_way == 0)
			entry_drop(s, e);
	}
}

bool
server_statements_find_lru(const struct server_statements *s, uint64_t *id)
{
	const struct server_statement *e = s->newest == NULL ? NULL : s->newest->prev;

	while (e != NULL && e->under_way > 0)
		e = e == s->newest ? NULL : e->prev;
	if (e == NULL)
		return false;
	*id = e->id;
	return true;
}
