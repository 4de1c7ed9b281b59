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
	unsigned line; /* line of the section's head */
	unsigned upstream_line;
	unsigned lines[CONFIG_SCOPE_MAX]; /* lines of settings, by the bits of config_scope.set */
	char *upstream_raw; /* as written, if it holds no password; else NULL */
};

struct config_origin {
	char *file; /* name as given to load_config(); empty if there is no file */
	struct config_source *source; /* source of a pgbouncer.ini; else NULL */
	unsigned lines[CONFIG_KEYS_MAX];
	/* the value was refused: further errors that follow from that are not reported as mistakes */
	bool is_bad[CONFIG_KEYS_MAX];
	char *pendings[CONFIG_KEYS_MAX]; /* value that a restart will put in force; NULL if it is the same */
	char *raws[CONFIG_KEYS_MAX]; /* as written, for values that a line of a file could not hold; may be NULL */
	unsigned listen_lines[CONFIG_LISTENS_MAX];
};

/* Returns the origin of the value of a setting that exists: its line, or a LINE_... */
unsigned config_line_of(const struct config *config, const char *section, const char *name);

/* A [database NAME], [tenant NAME] or [user NAME] section. A zeroed one is before the first section. */
struct config_section {
	const char *word; /* the first word of its head: "database" */
	const struct config_scope *scope;
	const struct scope_origin *origin;
	size_t place; /* private */
};
/* config_each.c: moves to the next section: databases, tenants, then users. Returns false after the last one. */
bool config_next_section(const struct config *config, struct config_section *s);

/* config.c: returns a configuration of only defaults, with its origins. path is empty if there is no file. */
struct config *config_new(const char *path);

/*
 * --- config_source.c: where the lines of a configuration are, when they are not simply those of one file.
 *
 * A pgbouncer.ini may include other files, and its settings have other names than pgweir's. A line number then holds
 * the number of its file too, and the source knows the setting on that line, so that an error names PgBouncer's file,
 * line and setting.
 */
#define LINE_DEFAULT 0u
#define LINE_COMMAND UINT_MAX /* from --upstream */
#define LINE_THEIRS (UINT_MAX - 1) /* PgBouncer's default */
#define LINE_SET (UINT_MAX - 2) /* from the console's SET */
#define LINE_ENVIRONMENT (UINT_MAX - 3) /* from PGWEIR_SECTION_NAME */

struct config_source {
	const struct problem_words *words; /* names of settings in that file */
	char **values; /* values in force of the other program's settings, by the row in its format */
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
/* Copies name, the setting on that line. */
void source_add_name(struct config_source *source, unsigned line, const char *name);
const char *source_name_of(const struct config_source *source, unsigned line); /* returns NULL if not known */
/* Writes "pgbouncer.ini:14", "default" and so on, as much as fits. If source is NULL, line is a line of file. */
void source_place(const struct config_source *source, const char *file, unsigned line, char *out, size_t size);
