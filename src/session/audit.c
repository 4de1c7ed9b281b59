#include "session/audit.h"
#include "sql/scan.h"
#include "base/alloc.h"
#include "base/table.h"

#include <pthread.h>

struct entry {
	UT_hash_handle hh;
	struct audit_row row; /* its first KEY_LEN bytes, the names padded with zero bytes, are the key */
};
#define KEY_LEN offsetof(struct audit_row, counts)

struct audit {
	uint64_t seed;
	pthread_mutex_t lock; /* guards the fields below */
	struct entry *table;
	struct audit_row others; /* the row "_other"; application is empty while the row is unused */
};

static const struct {
	uint32_t flag;
	const char *name, *effect;
} kinds[AUDIT_KINDS] = {
	{ SCAN_SETTING, "setting", "follows" },
	{ SCAN_TEMP, "temp_table", "pins" },
	{ SCAN_LOCK, "advisory_lock", "pins" },
	{ SCAN_CURSOR, "cursor_with_hold", "pins" },
	{ SCAN_PREPARE, "prepare", "pins" },
	{ SCAN_LISTEN, "listen", "follows" },
	{ SCAN_CODE | SCAN_FUNCTION, "function", "asks" },
	{ SCAN_BACKEND | SCAN_REPLICATION, "load", "pins" },
	{ SCAN_CURRVAL, "currval", "follows" },
};

const char *
audit_kind_name(unsigned kind, const char **effect)
{
	*effect = kinds[kind].effect;
	return kinds[kind].name;
}

struct audit *
audit_new(uint64_t seed)
{
	struct audit *a = xcalloc(1, sizeof(*a));

	a->seed = seed;
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

void
audit_free(struct audit *a)
{
	if (a == NULL)
		return;
	TABLE_FREE(a->table);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static void
set_names(struct audit_row *row, const char *database, const char *user, const char *application)
{
	snprintf(row->database, sizeof(row->database), "%s", database);
	snprintf(row->user, sizeof(row->user), "%s", user);
	snprintf(row->application, sizeof(row->application), "%s", application);
}

/* Returns the row that has the names of *fresh. If there is none, enters *fresh into the table, and sets *fresh to
 * NULL. Returns the row "_other" if *fresh is NULL, or has no room in the table. The caller holds the lock. */
static struct audit_row *
find_or_enter(struct audit *a, struct entry **fresh)
{
	struct entry *e = NULL;

	if (*fresh != NULL)
		TABLE_FIND(a->seed, a->table, &(*fresh)->row, KEY_LEN, e);
	if (e != NULL)
		return &e->row;
	if (*fresh == NULL || HASH_COUNT(a->table) >= AUDIT_ROWS_MAX)
		return &a->others;
	e = *fresh;
	if (!TABLE_ADD(a->seed, a->table, &e->row, KEY_LEN, e))
		return &a->others;
	*fresh = NULL;
	return &e->row;
}

void
audit_note(struct audit *a, const char *database, const char *user, const char *application, uint32_t flags,
	   uint64_t now_us)
{
	struct entry *fresh = calloc(1, sizeof(*fresh));
	struct audit_row *row;

	if (fresh != NULL)
		set_names(&fresh->row, database, user, application);
	pthread_mutex_lock(&a->lock);
	row = find_or_enter(a, &fresh);
	if (row == &a->others)
		set_names(row, "_other", "_other", "_other");
	for (unsigned i = 0; i < AUDIT_KINDS; i++)
		if (flags & kinds[i].flag) {
			row->counts[i]++;
			row->last_us[i] = now_us;
		}
	pthread_mutex_unlock(&a->lock);
	free(fresh);
}

int
audit_each(struct audit *a, void (*row)(const struct audit_row *row, void *arg), void *arg)
{
	struct audit_row *rows;
	size_t n = 0;

	pthread_mutex_lock(&a->lock);
	rows = calloc(HASH_COUNT(a->table) + 1, sizeof(*rows));
	for (const struct entry *e = a->table; e != NULL && rows != NULL; e = e->hh.next)
		rows[n++] = e->row;
	if (a->others.application[0] != '\0' && rows != NULL)
		rows[n++] = a->others;
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++)
		row(&rows[i], arg);
	free(rows);
	return rows == NULL ? -1 : 0;
}
