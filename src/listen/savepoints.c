/*
 * src/listen/savepoints.c - LISTEN and UNLISTEN in transactions with savepoints; see listen.h.
 *
 * ROLLBACK TO undoes the pending changes since its savepoint was set, and the savepoint stays. RELEASE removes the
 * savepoint and those set after it, and the pending changes stay. The innermost of several savepoints with the same
 * name counts.
 *
 * Savepoints are remembered only while the transaction has a pending change. If PostgreSQL knows a savepoint and this
 * file does not, it was set before the first pending change: rolling back to it undoes all pending changes.
 *
 * Always: a subscription has at most one undo between two savepoints, and none without savepoints.
 */
#include "listen/listen_state.h"
#include "listen/listen.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for one more. */
static void *
savepoints_grow(void *array, uint32_t count, uint32_t *cap, size_t size)
{
	uint32_t more = *cap == 0 ? 8 : *cap * 2;

	if (count < *cap)
		return array;
	array = reallocarray(array, more, size);
	if (array != NULL)
		*cap = more;
	return array;
}

static void
push_undo(struct client_listen *l, struct subscription *m, uint8_t pending_change)
{
	l->undo[l->undo_count++] = (struct listen_undo){ .m = m, .before = m->undo, .pending_change = pending_change };
	m->undo = l->undo_count;
}

int
listen_keep_change(struct client_listen *l, struct subscription *m)
{
	struct listen_undo *undo;

	if (l->savepoint_count == 0 || m->undo > l->savepoints[l->savepoint_count - 1].at)
		return 0;
	if ((undo = savepoints_grow(l->undo, l->undo_count, &l->undo_cap, sizeof(*undo))) == NULL)
		return -1;
	l->undo = undo;
	push_undo(l, m, m->pending_change);
	return 0;
}

static void
too_many(struct exchange *x)
{
	struct fail why;

	fail_set(&why, "54000", "more than %d savepoints in a transaction that has run LISTEN or UNLISTEN",
		 LISTEN_SAVEPOINTS_MAX);
	x->srv->is_closing = true;
	exchange_close(x, &why);
}

int
listen_set_savepoint(struct exchange *x, const char name[static KNOWN_NAME_MAX])
{
	struct client_listen *l = x->listen;
	struct listen_savepoint *all;

	if (!l->has_pending_change)
		return 0;
	if (l->savepoint_count == LISTEN_SAVEPOINTS_MAX) {
		too_many(x);
		return 0;
	}
	if ((all = savepoints_grow(l->savepoints, l->savepoint_count, &l->savepoint_cap, sizeof(*all))) == NULL)
		return -1;
	l->savepoints = all;
	all += l->savepoint_count++;
	all->at = l->undo_count;
	memcpy(all->name, name, sizeof(all->name));
	return 0;
}

/* Returns NULL if the savepoint was set before the first pending change. */
static struct listen_savepoint *
savepoint_find(const struct client_listen *l, const char *name)
{
	for (uint32_t i = l->savepoint_count; i-- > 0;)
		if (strcmp(l->savepoints[i].name, name) == 0)
			return &l->savepoints[i];
	return NULL;
}

/* Joins the pending changes since this savepoint and since the one before: of two undos of a subscription the older
 * counts. */
static void
merge_undo(struct client_listen *l, uint32_t from, uint32_t outer)
{
	uint32_t count = l->undo_count;

	for (uint32_t i = count; i-- > from;)
		l->undo[i].m->undo = l->undo[i].before;
	l->undo_count = from;
	for (uint32_t i = from; i < count; i++) {
		struct listen_undo u = l->undo[i];

		if (u.m->undo <= outer)
			push_undo(l, u.m, u.pending_change);
	}
}

void
listen_release(struct client_listen *l, const char *name)
{
	const struct listen_savepoint *s = savepoint_find(l, name);

	if (s == NULL || s == l->savepoints) {
		listen_forget_savepoints(l);
		return;
	}
	l->savepoint_count = (uint32_t)(s - l->savepoints);
	merge_undo(l, s->at, s[-1].at);
}

void
listen_roll_back_to(struct client_listen *l, const char *name)
{
	const struct listen_savepoint *s = savepoint_find(l, name);

	if (s == NULL) {
		listen_roll_back(l);
		return;
	}
	l->savepoint_count = (uint32_t)(s - l->savepoints) + 1;
	while (l->undo_count > s->at) {
		const struct listen_undo *u = &l->undo[--l->undo_count];

		u->m->pending_change = u->pending_change;
		u->m->undo = u->before;
		l->is_early_due = true;
	}
}

void
listen_forget_savepoints(struct client_listen *l)
{
	while (l->undo_count > 0)
		l->undo[--l->undo_count].m->undo = 0;
	l->savepoint_count = 0;
}

void
listen_savepoints_fini(struct client_listen *l)
{
	listen_forget_savepoints(l);
	free(l->savepoints);
	free(l->undo);
	l->savepoints = NULL;
	l->undo = NULL;
	l->savepoint_cap = l->undo_cap = 0;
}
