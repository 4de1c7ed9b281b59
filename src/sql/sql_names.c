/* src/sql/sql_names.c - see sql_names.h. */
#include "sql/sql_names.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "sql/sql_names_table.h"

static uint8_t
name_fold(char c)
{
	return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* scripts/sql-names does the same. */
static uint32_t
hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ name_fold(name[i])) * 16777619u;
	return (h ^ h >> 15) & (SQL_NAMES_SLOTS - 1);
}

static bool
name_is_same(const char *known, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)known[i] != name_fold(name[i]))
			return false;
	return known[len] == '\0';
}

unsigned
sql_name_find(const char *name, size_t len)
{
	if (len == 0 || len > 63 || memchr(name, '\0', len) != NULL)
		return 0;
	for (uint32_t slot = hash(name, len); sql_names_slots[slot] != 0; slot = (slot + 1) % SQL_NAMES_SLOTS) {
		const char *entry = sql_names_pool + sql_names_slots[slot];

		if (name_is_same(entry + 1, name, len))
			return (uint8_t)entry[0];
	}
	return 0;
}
