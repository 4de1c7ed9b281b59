/*
 * src/config/config_origin.h - the line from which each value of a configuration came, and the text as written there.
 *
 * SHOW CONFIG, --dump-config and warnings show these.
 */
#pragma once

#include "config/config_keys.h"

#include <limits.h>
#include <stddef.h>

struct scope_origin {
	unsigned line; /* line of the section's head */
	unsigned upstream_line;
	unsigned lines[CONFIG_SCOPE_MAX]; /* lines of settings, by the bits of config_scope.set */
	char *upstream_raw; /* as written, if it holds no password; else NULL */
};

struct config_origin {
	char *file; /* the path as given to load_config(); empty if there is no file */
	struct config_source *source; /* for a pgbouncer.ini; else NULL */
	unsigned lines[CONFIG_KEYS_MAX];
	/* the value was refused, so errors that follow from that are not reported */
	bool is_bad[CONFIG_KEYS_MAX];
	char *pendings[CONFIG_KEYS_MAX]; /* the file's value, if only a restart will put it in force; else NULL */
	char *raws[CONFIG_KEYS_MAX]; /* texts as written, for values that may not fit on a line; may be NULL */
	unsigned listen_lines[CONFIG_LISTENS_MAX];
};

/* Returns the origin of the value of a setting that exists: its line, or a LINE_... */
unsigned config_line_of(const struct config *config, const char *section, const char *name);

/* A [database NAME], [tenant NAME] or [user NAME] section, for an iteration that begins with a zeroed struct. */
struct config_section {
	const char *word; /* the first word of its head: "database" */
	const struct config_scope *scope;
	const struct scope_origin *origin;
	size_t place; /* private */
};
/* config_each.c: moves to the next section: databases, then tenants, then users. Returns false after the last one. */
bool config_next_section(const struct config *config, struct config_section *s);

/* config.c: returns a configuration of only defaults, with its origins. path is empty if there is no file. */
struct config *config_new(const char *path);

/*
 * --- config_source.c: files, lines and names of settings of a configuration that was read from another program's file.
 *
 * A pgbouncer.ini may include other files, and its settings have other names than pgweir's. So a line number contains
 * the number of its file, too (source_line()), and the source knows which setting is on a line: errors name PgBouncer's
 * file, line and setting.
 */
#define LINE_DEFAULT 0u
#define LINE_COMMAND UINT_MAX /* from --upstream */
#define LINE_PGBOUNCER_DEFAULT (UINT_MAX - 1) /* PgBouncer's default */
#define LINE_SET (UINT_MAX - 2) /* from the console's SET */
#define LINE_ENVIRONMENT (UINT_MAX - 3) /* from PGWEIR_SECTION_NAME */

struct config_source {
	const struct problem_words *words; /* the names of settings in that file */
	char **values; /* values in force, by the setting's row in the other program's format */
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
void source_set_value(struct config_source *source, size_t row, const char *value); /* copies value */

void source_free(struct config_source *source); /* does nothing if source is NULL */
unsigned source_add_file(struct config_source *source, const char *path); /* returns the file's number */
unsigned source_line(unsigned file, unsigned line);
/* Notes that this line has the setting name, which is copied. */
void source_add_name(struct config_source *source, unsigned line, const char *name);
/* returns NULL if the line has no known setting */
const char *source_name_of(const struct config_source *source, unsigned line);
/* Writes "pgbouncer.ini:14", "default" and so on, cut to size. If source is NULL, line is a line of `file`. */
void source_put_location(const struct config_source *source, const char *file, unsigned line, char *out, size_t size);
