/* src/load/load_state.h - the declarations that the files of load/ share. */
#pragma once

#include "config/config_state.h"
#include "load/load.h"

/* --- load.c --- */

/* Like load_config(), for the content of a file. */
struct config *load_text(const char *text, size_t len, const char *path, const struct config_override *overrides,
			 size_t count, struct config_problems *problems);

/*
 * --- load_suggest.c: messages about the name of an unknown setting or section. ---
 *
 * Writes what a setting that the section does not know may have been meant for: a similar name, or the section that
 * knows it. section is the text between the brackets ("pool", "database app"); in_scope: the section is of a database
 * or user.
 */
void suggest_setting(const char *section, bool in_scope, const char *name, char *out, size_t out_size);
/* Writes what an unknown name of a section may have been meant for. */
void suggest_section(const char *section, char *out, size_t out_size);

/* --- load_check.c: checks that need the whole configuration; called when all of it was read. --- */

struct problem_sink;
void load_check(const struct config *config, const struct problem_sink *sink);
/* Runs only the check for an upstream that leads to pgweir itself. */
void load_check_loops(const struct config *config, const struct problem_sink *sink);

void load_check_reads(const struct config *config, const struct problem_sink *sink); /* load_check_reads.c */

/* --- load_check_budget.c --- */

void load_check_budget(const struct config *config, const struct problem_sink *sink);

/*
 * --- load_secrets.c ---
 *
 * Sets config->has_password if the password of an upstream, or a part of it, is written out there, and adds to
 * config->secret_files each ${file:...} that the password may come from. raw: the upstream as it was written; up: as it
 * was parsed.
 */
void load_note_password(struct config *config, const char *raw, const struct upstream *up);

/*
 * --- load_expand.c: ${NAME}, ${NAME:-default}, ${file:/path} and $$ in values. ---
 *
 * A dollar before any character but { and $ stands for itself, so that SQL may contain $1. The content of a variable or
 * file is not expanded again.
 */
#define EXPAND_FILE_MAX ((size_t)64 << 10) /* the most bytes of a file */
#define EXPAND_MAX ((size_t)256 << 10) /* the most bytes of a value */

/* The references that are expanded; the others are replaced by their own default, or by a placeholder. */
enum expand_placeholders { EXPAND_ALL, EXPAND_VARIABLES, EXPAND_NONE };
/* Returns the value, which the caller passes to secret_free(); or NULL with *why set, which contains nothing of a
 * variable or file. */
char *expand(const char *raw, enum expand_placeholders which, const char *placeholder, struct fail *why);
