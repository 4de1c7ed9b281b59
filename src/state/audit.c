/* src/state/audit.c - see audit.h. */
#include "state/audit.h"

#include "sql/scan.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	UT_hash_handle hh;
	size_t key_len;
	char key[sizeof(((struct audit_row *)NULL)->database) + sizeof(((struct audit_row *)NULL)->user) +
		 64]; /* the three names, each with its terminator */
	struct audit_row row;
};

struct audit {
	uint64_t seed;
	struct entry *table;
};

static const struct {
	uint32_t flag;
	const char *name, *effect;
} kinds[AUDIT_KINDS] = {
	{ SCAN_SETTING, "setting", "follows" },
	{ SCAN_TEMP, "temp_table", "pins" },
	{ SCAN_LOCK, "advisory_lock", "pins" },
	{ SCAN_CURSOR, "cursor_with_hold", "pins" },
	{ SCAN_PREPARE, "prepare", "follows" },
	{ SCAN_LISTEN, "listen", "follows" },
	{ SCAN_CODE | SCAN_FUNCTION, "function", "asks" },
	{ SCAN_LOAD, "load", "pins" },
	{ SCAN_SEQUENCE, "currval", "follows" },
};

const char *
audit_kind(unsigned kind, const char **effect)
{
	*effect = kinds[kind].effect;
	return kinds[kind].name;
}

struct audit *
audit_new(uint64_t seed)
{
	struct audit *a = xcalloc(1, sizeof(*a));

	a->seed = seed;
	return a;
}

void
audit_free(struct audit *a)
{
	struct entry *e, *next;

	if (a == NULL)
		return;
	HASH_ITER(hh, a->table, e, next) {
		HASH_DELETE(hh, a->table, e);
		free(e);
	}
	free(a);
}

/* NULL: no memory. */
static struct entry *
entry_of(struct audit *a, const char *database, const char *user, const char *application)
{
	struct entry *made = calloc(1, sizeof(*made)), *found;
	struct audit_row *row;

	if (made == NULL)
		return NULL;
	row = &made->row;
	snprintf(row->database, sizeof(row->database), "%s", database);
	snprintf(row->user, sizeof(row->user), "%s", user);
	snprintf(row->application, sizeof(row->application), "%s", application);
	made->key_len = (size_t)snprintf(made->key, sizeof(made->key), "%s%c%s%c%s", row->database, 0, row->user, 0,
					 row->application);
	TABLE_FIND(a->seed, a->table, made->key, made->key_len, found);
	if (found != NULL) {
		free(made);
		return found;
	}
	TABLE_ADD(a->seed, a->table, &made->key, made->key_len, made);
	return made;
}

void
audit_note(struct audit *a, const char *database, const char *user, const char *application, uint32_t flags,
	   uint64_t now_us)
{
	bool is_full = HASH_COUNT(a->table) >= AUDIT_ROWS_MAX;
	struct entry *e =
	    is_full ? entry_of(a, "_other", "_other", "_other") : entry_of(a, database, user, application);

	if (e == NULL)
		return;
	for (unsigned i = 0; i < AUDIT_KINDS; i++)
		if (flags & kinds[i].flag) {
			e->row.counts[i]++;
			e->row.last_us[i] = now_us;
		}
}

void
audit_each(const struct audit *a, void (*row)(const struct audit_row *row, void *arg), void *arg)
{
	for (const struct entry *e = a->table; e != NULL; e = e->hh.next)
		row(&e->row, arg);
}
