/* src/load/load_state.h - the declarations that the files of load/ share. */
#pragma once

#include "config/config_state.h"
#include "load/load.h"

/* --- load.c --- */

/* Does what load_config() does, for the content of a file. */
struct config *load_text(const char *text, size_t len, const char *path, const struct config_override *overrides,
			 size_t count, struct config_problems *problems);

/*
 * --- load_suggest.c: messages about the name of an unknown setting or section. ---
 *
 * Writes a message about a setting that the section does not have, with what may have been meant: a similar name, or a
 * section that has the setting. section is the text between the brackets ("pool", "database app"). in_scope says that
 * it is the section of a database or user.
 */
void suggest_setting(const char *section, bool in_scope, const char *name, char *out, size_t out_size);
/* Writes a message about an unknown section, with the name that may have been meant. */
void suggest_section(const char *section, char *out, size_t out_size);

/* --- load_check.c: checks that need the whole configuration. --- */

struct problem_sink;
void load_check(const struct config *config, const struct problem_sink *sink);
/* Checks only that no upstream leads to pgweir itself. */
void load_check_loops(const struct config *config, const struct problem_sink *sink);

void load_check_reads(const struct config *config, const struct problem_sink *sink); /* load_check_reads.c */

/* --- load_check_budget.c --- */

void load_check_budget(const struct config *config, const struct problem_sink *sink);

/*
 * --- load_secrets.c ---
 *
 * Sets config->has_password if the text of an upstream contains its password, or a part of it. Adds to
 * config->secret_files the path of each ${file:...} that may be a part of the password. raw: the text of the upstream,
 * with its references. up: the result of parsing that text.
 */
void load_note_password(struct config *config, const char *raw, const struct upstream *up);

/*
 * --- load_expand.c: ${NAME}, ${NAME:-default}, ${file:/path} and $$ in values. ---
 *
 * A dollar before any character but { and $ stands for itself, so that SQL may contain $1. The content of a variable or
 * file is not expanded again.
 */
#define EXPAND_FILE_MAX ((size_t)64 << 10) /* bytes of a file, at most */
#define EXPAND_MAX ((size_t)256 << 10) /* bytes of a value, at most */

/* Which references are expanded. The others are replaced by their own default, or by the placeholder. */
enum expand_references { EXPAND_ALL, EXPAND_VARIABLES, EXPAND_NONE };
/* Returns the value, which the caller passes to secret_free(); or NULL with *why set, which never contains the content
 * of a variable or file. */
char *expand(const char *raw, enum expand_references which, const char *placeholder, struct fail *why);
