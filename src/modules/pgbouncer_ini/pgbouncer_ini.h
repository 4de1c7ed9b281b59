/*
 * src/modules/pgbouncer_ini/pgbouncer_ini.h - PgBouncer's configuration file, read as pgweir's own settings.
 *
 * A file with a [pgbouncer] section is read by PgBouncer's rules (syntax, %include and defaults are PgBouncer's, and
 * the last of several values counts) and becomes settings of pgweir (section, name, value), as if these had been
 * written. Running such a file and --import-pgbouncer use the same translation: bouncer_keys.c says for each of
 * PgBouncer's settings what becomes of it. pgbouncer_ini.c has the struct file_format that the core uses.
 *
 * Owns:    struct bouncer owns all texts in it; bouncer_fini wipes them, because there may be passwords.
 * Borrows: the sink. Keys and words are rows of static tables.
 * Always:  bouncer_read_lines fills values and entries, then bouncer_translate makes settings and notes of them.
 */
#pragma once

#include "base/buf.h"
#include "config/config_keys.h"
#include "config/config_state.h"
#include "config/config_value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define BOUNCER_KEYS_MAX 112
#define BOUNCER_WORDS_MAX 48

/* How a value is written. */
enum bouncer_type {
	BOUNCER_TEXT, /* taken as it is */
	BOUNCER_NAMES, /* a list with commas */
	BOUNCER_COUNT, /* a whole number */
	BOUNCER_TIME, /* seconds, with decimals */
	BOUNCER_MS, /* milliseconds */
	BOUNCER_SWITCH, /* 0 or 1 */
	BOUNCER_PATH, /* relative to where the process was started */
	BOUNCER_WORD, /* one of words */
};

/* The fate of a setting of [pgbouncer]. */
enum bouncer_fate {
	BOUNCER_TAKEN, /* becomes a setting of pgweir's */
	BOUNCER_COMBINED, /* becomes a setting of pgweir's, by rules of its own (bouncer_combine.c) */
	BOUNCER_PART, /* becomes, with others, one setting of pgweir's, from which it can't be read back */
	BOUNCER_IGNORED, /* not needed; note says why */
	BOUNCER_REFUSED, /* asks for something that pgweir does not have, unless it has its default; note says why */
};

/* --- bouncer_keys.c: PgBouncer's settings and words --- */

struct bouncer_key {
	const char *name;
	const char *default_value; /* PgBouncer's default; NULL if it has none */
	enum bouncer_type type;
	enum bouncer_fate fate;
	const char *section, *key; /* pgweir's; NULL if it is ignored or refused */
	const char *zero; /* what 0 becomes, if 0 means something else in pgweir; NULL if 0 stays 0 */
	const char *const (*words)[2]; /* pairs of PgBouncer's word and pgweir's word; {NULL} ends the list */
	const char *note; /* a remark for users; NULL if there is none */
};

/* Returns row i, or NULL after the last one. */
const struct bouncer_key *bouncer_key(size_t i);
const struct bouncer_key *bouncer_key_find(const char *name);
void bouncer_try_keys(struct nearest *nearest); /* offers all names for a "did you mean" */
size_t bouncer_key_row(const struct bouncer_key *key);
bool bouncer_key_is_changeable(const struct bouncer_key *key); /* returns true if a reload or SET can change it */
/* Returns the setting of pgweir's that the key becomes, or becomes a part of; NULL if there is none. */
const struct config_key *bouncer_key_ours(const struct bouncer_key *key);

/* A word of a connection string. */
struct bouncer_word {
	const char *name;
	enum { OF_DATABASE = 1, OF_USER = 2, OF_PEER = 4 } places; /* the kinds of lines that may have the word */
	enum { WORD_SETTING, WORD_UPSTREAM, WORD_HOSTS, WORD_AUTH } part;
	const char *key; /* of a WORD_SETTING: its name in [pgbouncer]; pgweir's setting has a scope_name */
	const char *note; /* of all other words: what becomes of the word */
};

const struct bouncer_word *bouncer_word(size_t i); /* NULL after the last one */
const struct bouncer_word *bouncer_word_find(const char *name, unsigned places);
size_t bouncer_word_row(const struct bouncer_word *word);

/* --- bouncer_reader.c: a file as it was read --- */

/* A line of [databases], [users] or [peers]. */
struct bouncer_entry {
	char *name, *value;
	unsigned line;
};

struct bouncer_entries {
	struct bouncer_entry *list;
	size_t count;
};

/* A setting of pgweir's that was made of the file. */
struct bouncer_setting {
	char *section, *key, *value; /* key is NULL for a section without settings */
	char *from; /* how PgBouncer's file says it: "default_pool_size = 20" */
	unsigned line;
};

struct bouncer {
	const struct problem_sink *sink;
	char *values[BOUNCER_KEYS_MAX]; /* by the row of the key; NULL if not in the file */
	unsigned lines[BOUNCER_KEYS_MAX];
	bool is_main; /* true if there was a [pgbouncer] section */
	struct bouncer_entries databases, users, peers;
	struct bouncer_setting *settings;
	size_t setting_count;
	struct bouncer_setting *ours; /* from sections of pgweir's in the file; precede `settings` */
	size_t ours_count;
	struct bouncer_note { /* remarks on what has no setting in pgweir */
		char *text;
		unsigned line;
	} * notes;
	size_t note_count;
};

/* Sets the value of a setting; line is where the value stands. */
void bouncer_set_value(struct bouncer *b, const struct bouncer_key *key, unsigned line, const char *value);
void bouncer_fini(struct bouncer *b); /* wipes all texts, because there may be passwords */

/* Returns true if text is a pgbouncer.ini: its first section is one of PgBouncer's, or it includes other files. */
bool bouncer_is_ini(const char *text, size_t len);
/* Fills values and entries. */
void bouncer_read_lines(struct bouncer *b, const char *text, size_t len, const char *path);

/* --- bouncer_translate.c --- */

/* See file_format.read. */
void bouncer_read(const char *text, size_t len, const char *path, const struct config_override *overrides,
		  size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);
/* Fills settings and notes. */
void bouncer_translate(struct bouncer *b);

/* Returns the value of a setting; its default if it is not in the file; "" if it has no default. */
const char *bouncer_value(const struct bouncer *b, const char *name);
/* LINE_PGBOUNCER_DEFAULT if the value is PgBouncer's default */
unsigned bouncer_line(const struct bouncer *b, const char *name);
bool bouncer_is_set(const struct bouncer *b, const char *name);
/*
 * Adds a setting of pgweir's; value is the value that the setting is to have: ${ and $$ are escaped here. key and value
 * may be NULL, for a section that has no setting.
 */
void bouncer_emit(struct bouncer *b, unsigned line, const char *from, const char *section, const char *key,
		  const char *value);
/* Adds a setting that stands in a section of pgweir's in the file; value is as written there. */
void bouncer_add_ours(struct bouncer *b, unsigned line, const char *section, const char *key, const char *value);
void bouncer_note(struct bouncer *b, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Converts a value, for [pgbouncer] and for the words of connection strings: PgBouncer's notation becomes the notation
 * of pgweir's key. Returns 0; 1 with *why set if the value is beyond the key's bounds and the nearest one was taken; or
 * -1 with *why set.
 */
int bouncer_convert(const struct bouncer_key *key, const char *value, struct buf *to, struct fail *why);

/* --- bouncer_combine.c: settings that together make one of pgweir's --- */

void bouncer_combine(struct bouncer *b);

/* --- bouncer_connect.c: [databases], [users], [peers] --- */

/* Emits a section of pgweir's for each entry; only a database's section has an upstream. */
void bouncer_emit_sections(struct bouncer *b, const struct bouncer_entries *entries, const char *word, unsigned place);
void bouncer_emit_peers(struct bouncer *b);

/* --- bouncer_import.c --- */

/* See file_format.import. */
bool bouncer_import(const char *path, struct config_problems *problems, FILE *to);
bool bouncer_import_text(const char *text, size_t len, const char *path, struct config_problems *problems, FILE *to);
/* Writes the tables of docs/pgbouncer.md: what becomes of PgBouncer's settings and words, and compat. */
void bouncer_print_keys(FILE *to);

extern const struct problem_words bouncer_problem_words; /* bouncer_words.c */
