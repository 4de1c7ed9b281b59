/*
 * src/config/config_origin.h - the line of the file in which each value of a configuration stands, and the text as
 * written there.
 *
 * SHOW CONFIG, --dump-config and warnings show the line and the text.
 *
 * A line is an unsigned: its number in the file, from 1 on, or a LINE_... constant for a value that is in no file. For
 * a pgbouncer.ini, source_pack_line() adds the number of the file.
 */
#pragma once

#include "config/config_keys.h"

#include <limits.h>
#include <stddef.h>

struct scope_origin {
	unsigned line; /* of the section's head, "[database app]" */
	unsigned upstream_line; /* of the setting upstream */
	unsigned lines[CONFIG_SCOPE_MAX]; /* lines[i] is the line of the setting config_scope_key(i) */
	char *upstream_raw; /* upstream as written; NULL if it holds a password */
};

struct config_origin {
	char *file; /* the path as given to load_config(); empty if there is no file */
	struct config_source *source; /* NULL unless the file is a pgbouncer.ini */
	/* The arrays with CONFIG_KEYS_MAX elements are indexed by config_key_row(). */
	unsigned lines[CONFIG_KEYS_MAX];
	bool is_bad[CONFIG_KEYS_MAX]; /* the value was refused; errors that this refusal causes are not reported */
	char *pendings[CONFIG_KEYS_MAX]; /* the file's new value if it needs a restart to take effect; else NULL */
	char *raws[CONFIG_KEYS_MAX]; /* the text as written, for a value that may not fit on a line; may be NULL */
	unsigned listen_lines[CONFIG_LISTENS_MAX]; /* listen_lines[i] is the line of config.listens[i] */
};

/* Returns the line of a setting, which must exist. */
unsigned config_line_of(const struct config *config, const char *section, const char *name);

/* An iteration over all sections [database NAME], [tenant NAME] and [user NAME]. The caller zeroes the struct before
 * the first call of config_next_section(). */
struct config_section {
	const char *word; /* "database", "tenant" or "user" */
	const struct config_scope *scope;
	const struct scope_origin *origin;
	size_t place; /* for config_next_section() */
};
/* In config_each.c. Moves *s to the next section: databases come first, then tenants, then users. Returns false after
 * the last section. */
bool config_next_section(const struct config *config, struct config_section *s);

/* In config.c. Returns a configuration in which each setting has its default. path is the file's path; empty if there
 * is no file. */
struct config *config_new(const char *path);

/*
 * --- config_source.c: the files, and the names of settings, of a configuration in another program's format.
 *
 * A pgbouncer.ini may include other files, and its settings have other names than pgweir's. A struct config_source has
 * the paths of these files and the setting on each line, so that errors name PgBouncer's file, line and setting.
 */
#define LINE_DEFAULT 0u
#define LINE_COMMAND UINT_MAX /* the value is from the command line */
#define LINE_PGBOUNCER_DEFAULT (UINT_MAX - 1) /* the value is PgBouncer's default */
#define LINE_SET (UINT_MAX - 2) /* the value is from the console's SET */
#define LINE_ENVIRONMENT (UINT_MAX - 3) /* the value is from an environment variable, PGWEIR_SECTION_NAME */

struct config_source {
	const struct problem_words *words; /* translates names of settings */
	char **values; /* values in force, indexed by the setting's row in the other program's table; may be NULL */
	size_t value_count;
	char **files; /* paths, indexed by the file's number */
	size_t file_count;
	struct source_name {
		unsigned line;
		char *name; /* of the setting on this line */
	} * names;
	size_t name_count;
};

struct config_source *source_new(const struct problem_words *words);
void source_set_value(struct config_source *source, size_t row, const char *value); /* copies value */

void source_free(struct config_source *source); /* source may be NULL */
unsigned source_add_file(struct config_source *source, const char *path); /* returns the file's number */
/* Packs a file's number and a line in that file into one number, which other functions call `line`. */
unsigned source_pack_line(unsigned file, unsigned line_in_file);
/* Notes that the setting `name` is on this line; copies the name. */
void source_add_name(struct config_source *source, unsigned line, const char *name);
/* Returns the setting on a line, or NULL if no known setting is there. source may be NULL. */
const char *source_name_of(const struct config_source *source, unsigned line);
/* Writes "pgbouncer.ini:14", "default" and so on, cut to size. If source is NULL, `line` is a line of `file`. */
void source_put_location(const struct config_source *source, const char *file, unsigned line, char *out, size_t size);
