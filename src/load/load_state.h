/* src/load/load_state.h - what the files of load/ share. */
#pragma once

#include "config/config_state.h"
#include "load/load.h"

/* --- load.c --- */

/* Reads a file's content, as load_config() does. */
struct config *load_text(const char *text, size_t len, const char *path, const struct config_override *overrides,
			 size_t count, struct config_problems *problems);

/*
 * --- load_suggest.c: what to say about the name of a setting or section that is not known ---
 *
 * Says what a setting that section doesn't know may be meant for: a similar name, or the section that knows it. section
 * is the text between the brackets ("pool", "database app"); in_scope: it is that of a database or user.
 */
void suggest_setting(const char *section, bool in_scope, const char *name, char *out, size_t out_size);
/* The same for the name of a section. */
void suggest_section(const char *section, char *out, size_t out_size);

/* --- load_check.c: the checks that need to see all of it; called once everything is read --- */

struct problem_sink;
void load_check(const struct config *config, const struct problem_sink *sink);
/* Runs only that check which looks whether an upstream leads to pgweir itself. */
void load_check_loops(const struct config *config, const struct problem_sink *sink);

void load_check_reads(const struct config *config, const struct problem_sink *sink); /* load_check_reads.c */

/* --- load_check_budget.c --- */

void load_check_budget(const struct config *config, const struct problem_sink *sink);

/*
 * --- load_secrets.c ---
 *
 * Takes an upstream as it was written (raw) and read (up): sets config->has_password if the password, or a part of it,
 * is written out there, and adds to config->secret_files each ${file:...} it may be from.
 */
void load_note_password(struct config *config, const char *raw, const struct upstream *up);

/*
 * --- load_expand.c: ${NAME}, ${NAME:-default}, ${file:/path} and $$ in values.
 *
 * A dollar before anything but { and $ stands for itself, so that SQL may say $1. The content of a variable or file
 * is not expanded again.
 */
#define EXPAND_FILE_MAX ((size_t)64 << 10) /* bytes of a file */
#define EXPAND_MAX ((size_t)256 << 10) /* bytes of a value */

/* Which references are expanded; the others are replaced by their own default, or by a placeholder. */
enum expand_placeholders { EXPAND_ALL, EXPAND_VARIABLES, EXPAND_NONE };
/* The value, for the caller to pass to secret_free(); NULL and why, which holds nothing of a variable or file. */
char *expand(const char *raw, enum expand_placeholders which, const char *placeholder, struct fail *why);
