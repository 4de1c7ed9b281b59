/* src/load/load_state.h - declarations that the files of load/ share. */
#pragma once

#include "config/config_state.h"
#include "load/load.h"

/* --- load.c --- */

/* Does what load_config() does, for the content of a file. */
struct config *load_text(const char *text, size_t len, const char *path, const struct config_override *overrides,
			 size_t count, struct config_problems *problems);

/*
 * --- load_suggest.c: messages about unknown settings and sections. ---
 *
 * Writes a message about a setting that the section does not have. The message suggests a similar name, or a section
 * that has the setting. `section` is the text between the brackets ("pool", "database app"). is_scoped_section is true
 * if the section is that of a database or user.
 */
void suggest_setting(const char *section, bool is_scoped_section, const char *name, char *out, size_t out_size);
/* Writes a message about an unknown section, which suggests a similar name. */
void suggest_section(const char *section, char *out, size_t out_size);

/* --- checks that need the whole configuration, and add problems to sink --- */

/* load_check.c */
struct problem_sink;
void load_check(const struct config *config, const struct problem_sink *sink); /* calls all checks */
/* Checks only that no upstream leads back to pgweir itself. */
void load_check_loops(const struct config *config, const struct problem_sink *sink);

void load_check_reads(const struct config *config, const struct problem_sink *sink); /* load_check_reads.c */

/* --- load_check_budget.c --- */

void load_check_budget(const struct config *config, const struct problem_sink *sink);

/*
 * --- load_secrets.c ---
 *
 * Sets config->has_password if `raw`, an upstream's text without enclosing quotes, before its references were expanded,
 * contains the password or a part of it. Adds the path of each ${file:...} that may be a part of the password to
 * config->secret_files. `up` is the upstream that was made from `raw`.
 */
void load_note_password(struct config *config, const char *raw, const struct upstream *up);

/*
 * --- load_expand.c: ${NAME} and ${NAME:-default} refer to environment variables, and ${file:/path} to a file. ---
 *
 * $$ stands for one dollar. A dollar before a character other than $ and { stands for itself, so SQL may contain $1.
 * The content of a variable or file is not expanded again.
 */
#define EXPAND_FILE_MAX ((size_t)64 << 10) /* bytes of a file, at most */
#define EXPAND_MAX ((size_t)256 << 10) /* bytes of a value, at most */

/* The references to expand. Each other reference is replaced by its own default or, without one, by the placeholder. */
enum expand_references { EXPAND_ALL, EXPAND_VARIABLES, EXPAND_NONE };
/* Returns `raw` with its references expanded; the caller frees the result with secret_free(). Returns NULL with *why
 * set; *why never contains the content of a variable or file. */
char *expand(const char *raw, enum expand_references which, const char *placeholder, struct fail *why);
