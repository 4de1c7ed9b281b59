/*
 * src/config/config_origin.h - which line each value of a configuration came from, and how it was written there.
 *
 * Kept beside the values for SHOW CONFIG, --dump-config and the warnings that need a place to point at.
 */
#pragma once

#include "config/config_keys.h"

#include <limits.h>
#include <stddef.h>

struct scope_origin {
	unsigned line; /* of the section's head */
	unsigned upstream_line;
	unsigned lines[CONFIG_SCOPE_MAX]; /* by the bits of config_scope.set */
	char *upstream_raw; /* as written, if it holds no password; else NULL */
};

struct config_origin {
	char *file; /* as it was named to load_config(); empty: none */
	struct config_source *source; /* of a pgbouncer.ini; else NULL */
	unsigned lines[CONFIG_KEYS_MAX];
	bool is_bad[CONFIG_KEYS_MAX]; /* its value was refused: what follows from it is not a mistake of its own */
	char *pendings[CONFIG_KEYS_MAX]; /* what a restart will put in force; NULL: nothing else */
	char *raws[CONFIG_KEYS_MAX]; /* as written, for values a line of a file could not hold; may be NULL */
	unsigned listen_lines[CONFIG_LISTENS_MAX];
};

/* Returns where the value of a setting that there is comes from: its line, or a LINE_... */
unsigned config_line_of(const struct config *config, const char *section, const char *name);

/* A [database NAME], [tenant NAME] or [user NAME] section. Zeroed: before the first one. */
struct config_section {
	const char *word; /* what it begins with: "database" */
	const struct config_scope *scope;
	const struct scope_origin *origin;
	size_t place; /* private */
};
/* config_each.c: moves to the next section: databases, tenants, then users. Returns false behind the last one. */
bool config_next_section(const struct config *config, struct config_section *s);

/* config.c: returns a configuration of nothing but defaults, with its origins. path: empty for no file. */
struct config *config_new(const char *path);

/*
 * --- config_source.c: where the lines of a configuration are, when they are not simply those of one file.
 *
 * A pgbouncer.ini may include other files, and its settings have other names than pgweir's. A line number then holds
 * the number of its file too, and the source knows what is written on it, so that an error names PgBouncer's file, line
 * and setting.
 */
#define LINE_DEFAULT 0u
#define LINE_COMMAND UINT_MAX /* from --upstream */
#define LINE_THEIRS (UINT_MAX - 1) /* PgBouncer's default */
#define LINE_SET (UINT_MAX - 2) /* from the console's SET */
#define LINE_ENVIRONMENT (UINT_MAX - 3) /* from PGWEIR_SECTION_NAME */

struct config_source {
	const struct problem_words *words; /* the names of settings there */
	char **values; /* of the other program's settings, as in force, by the row in its format */
	size_t value_count;
	char **files;
	size_t file_count;
	struct source_name {
		unsigned line;
		char *name;
	} * names;
	size_t name_count;
};

struct config_source *source_new(const struct problem_words *words);
void source_set_value(struct config_source *source, size_t row, const char *value); /* copied */

void source_free(struct config_source *source); /* NULL is fine */
unsigned source_add_file(struct config_source *source, const char *path); /* its number */
unsigned source_line(unsigned file, unsigned line);
/* name: what is set on that line; copied. */
void source_add_name(struct config_source *source, unsigned line, const char *name);
const char *source_name_of(const struct config_source *source, unsigned line); /* NULL: not known */
/* "pgbouncer.ini:14", "default" and so on. source may be NULL: then it is a line of file. Writes what fits. */
void source_place(const struct config_source *source, const char *file, unsigned line, char *out, size_t size);
