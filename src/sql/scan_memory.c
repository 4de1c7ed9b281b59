/* src/sql/scan_memory.c - see scan_memory.h. */
#include "sql/scan_memory.h"

#include <string.h>

/* Clients choose the SQL: whoever makes it collide has his own SQL scanned, as all SQL once was. */
static uint32_t
hash_of(unsigned options, const char *sql, size_t len)
{
	uint32_t begin, end;

	memcpy(&begin, sql, sizeof(begin));
	memcpy(&end, sql + len - sizeof(end), sizeof(end));
	return ((begin * 31 + end) * 31 + (uint32_t)len + (options << 8)) * 0x9e3779b1u;
}

static void
keep(struct scanned_sql *k, const struct scan *s, unsigned options, const char *sql, size_t len)
{
	k->flags = s->flags;
	k->hints = s->hints;
	k->first = (uint8_t)s->first;
	k->options = (uint8_t)options;
	k->len = (uint8_t)len;
	memcpy(k->sql, sql, len);
}

void
scan_remembered(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	struct scanned_sql *k;
	uint32_t hash;

	if (len < SCAN_MEMORY_SHORTEST || len > SCAN_MEMORY_LONGEST) {
		scan_text(s, options, sql, len);
		return;
	}
	hash = hash_of(options, sql, len);
	k = &m->places[hash >> 16 & (SCAN_MEMORY_PLACES - 1)];
	if (k->len == len && k->options == options && memcmp(k->sql, sql, len) == 0) {
		s->flags = k->flags;
		s->hints = k->hints;
		s->first = k->first;
		s->name_count = 0;
		return;
	}
	scan_text(s, options, sql, len);
	if (k->seen == hash && s->name_count == 0)
		keep(k, s, options, sql, len);
	k->seen = hash;
}
