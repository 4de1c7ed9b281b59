/*
 * src/bouncer/bouncer.h - PgBouncer's configuration file, read as pgweir's own settings.
 *
 * A file with a [pgbouncer] section is read by PgBouncer's rules (its lines, %include, the last of several values
 *   counts, its defaults) and becomes settings of pgweir (section, name, value), as if they had been written so.
 * Running such a file and --import-pgbouncer use the same translation: bouncer_keys.c says for each of PgBouncer's
 * settings what becomes of it.
 */
#pragma once

#include "config/config_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* --- bouncer_reader.c --- */

/* Returns true if text is a pgbouncer.ini: its first section is one of PgBouncer's, or it includes other files. */
bool bouncer_is(const char *text, size_t len);

/* --- bouncer_translate.c --- */

/*
 * Hands pgweir's settings over, section by section, the overrides in place of what the file says; mistakes go to sink,
 * which must have a source: it is filled, so that lines can be told as PgBouncer's files and names.
 */
void bouncer_read(const char *text, size_t len, const char *path, const struct config_override *overrides,
		  size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);

/* --- bouncer_import.c --- */

/*
 * Writes path, a pgbouncer.ini, as pgweir's own file, with comments that say what became of each setting. Returns false
 * if it has errors, and nothing was written.
 */
bool bouncer_import(const char *path, struct config_problems *problems, FILE *to);
bool bouncer_import_text(const char *text, size_t len, const char *path, struct config_problems *problems, FILE *to);
/*
 * --- suggest.c: what to say about the name of a setting or section that is not known ---
 *
 * Says what a setting that section doesn't know may be meant for: a similar name, or the section that knows it. section
 * is the text between the brackets ("pool", "database app"); in_scope: it is that of a database or user.
 */
void suggest_setting(const char *section, bool in_scope, const char *name, char *out, size_t out_size);
/* The same for the name of a section. */
void suggest_section(const char *section, char *out, size_t out_size);

extern const struct problem_words bouncer_problem_words; /* bouncer_words.c */
/* Writes what becomes of PgBouncer's settings and words, and its ways, as the tables of docs/pgbouncer.md. */
void bouncer_print_keys(FILE *to);
