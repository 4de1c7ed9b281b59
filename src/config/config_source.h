/*
 * src/config/config_source.h - where the lines of a configuration are, when they are not simply those of one file.
 *
 * A pgbouncer.ini may include other files, and its settings have other names than pgweir's. A line number then holds
 * the number of its file too, and the source knows what is written on it, so that an error names PgBouncer's file, line
 * and setting.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

#define LINE_DEFAULT 0u
#define LINE_COMMAND UINT_MAX /* from --upstream */
#define LINE_BOUNCER (UINT_MAX - 1) /* PgBouncer's default */
#define LINE_SET (UINT_MAX - 2) /* from the console's SET */

struct config_source {
	char **values; /* of PgBouncer's settings, as in force, by the row of bouncer_keys.c */
	size_t value_count;
	char **files;
	size_t file_count;
	struct source_name {
		unsigned line;
		char *name;
	} * names;
	size_t name_count;
};

struct config_source *source_new(void);
void source_set_value(struct config_source *source, size_t row, const char *value); /* copied */
const char *source_value(const struct config_source *source, size_t row); /* NULL: none */
void source_free(struct config_source *source); /* NULL is fine */
unsigned source_add_file(struct config_source *source, const char *path); /* its number */
unsigned source_line(unsigned file, unsigned line);
/* name: what is set on that line; copied. */
void source_add_name(struct config_source *source, unsigned line, const char *name);
const char *source_name_of(const struct config_source *source, unsigned line); /* NULL: not known */
/* "pgbouncer.ini:14", "default" and so on. source may be NULL: then it is a line of file. Writes what fits. */
void source_place(const struct config_source *source, const char *file, unsigned line, char *out, size_t size);
