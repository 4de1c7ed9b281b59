/*
 * src/modules/pgbouncer_ini/pgbouncer_ini.h - PgBouncer's configuration file, read as pgweir's own settings.
 *
 * The file is read by PgBouncer's rules: syntax, %include and defaults are PgBouncer's, and the last of several values
 * counts. The file is translated into settings of pgweir (section, name, value), both to run pgweir with it and for
 * --import-pgbouncer. bouncer_keys.c says for each of PgBouncer's settings what becomes of it. pgbouncer_ini.c has the
 * struct file_format for code outside this folder.
 *
 * Owns:    struct bouncer owns its texts; bouncer_fini() wipes values, which may have passwords.
 * Borrows: the sink; keys and words, which are rows of static tables.
 * Always:  bouncer_read_lines() fills values and entries; bouncer_translate() then makes settings and notes from them.
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
	BOUNCER_TEXT, /* any text, used unchanged */
	BOUNCER_NAMES, /* a list of names, separated by commas */
	BOUNCER_COUNT, /* a whole number */
	BOUNCER_TIME, /* seconds, with decimals */
	BOUNCER_MS, /* milliseconds */
	BOUNCER_SWITCH, /* 0 for off, another number for on */
	BOUNCER_PATH, /* a path; a relative one begins at the process's working directory */
	BOUNCER_WORD, /* one of bouncer_key.words */
};

/* The fate of a setting of [pgbouncer]. */
enum bouncer_fate {
	BOUNCER_TAKEN, /* becomes one setting of pgweir */
	BOUNCER_SPECIAL, /* becomes one setting of pgweir, by special code (bouncer_combine.c) */
	BOUNCER_PART, /* becomes, often with others, a setting of pgweir that does not preserve PgBouncer's value */
	BOUNCER_IGNORED, /* not needed; note says why */
	/* asks for something that pgweir does not have, so only the default is accepted; note says why */
	BOUNCER_REFUSED,
};

/* --- bouncer_keys.c: PgBouncer's settings and words --- */

struct bouncer_key {
	const char *name;
	const char *default_value; /* PgBouncer's default; NULL if it has none */
	enum bouncer_type type;
	enum bouncer_fate fate;
	const char *section, *key; /* pgweir's setting; NULL with BOUNCER_IGNORED and BOUNCER_REFUSED */
	const char *zero; /* pgweir's value for 0, if 0 means something else in pgweir; NULL if 0 stays 0 */
	const char *const (*words)[2]; /* pairs of PgBouncer's word and pgweir's word; {NULL} ends the list */
	const char *note; /* a remark for users; NULL if there is none */
};

/* Returns row i, or NULL after the last one. */
const struct bouncer_key *bouncer_key_at(size_t i);
const struct bouncer_key *bouncer_key_find(const char *name);
void bouncer_try_keys(struct nearest *nearest); /* calls nearest_try() for each name, for "did you mean" */
size_t bouncer_key_row(const struct bouncer_key *key);
bool bouncer_key_is_changeable(const struct bouncer_key *key); /* false if only a restart changes the setting */
/* Returns pgweir's setting into which the key is translated, alone or with others; NULL if there is none. */
const struct config_key *bouncer_key_in_pgweir(const struct bouncer_key *key);

/* A word of a connection string. */
struct bouncer_word {
	const char *name;
	enum { OF_DATABASE = 1, OF_USER = 2, OF_PEER = 4 } places; /* the kinds of lines that may have the word */
	enum { WORD_SETTING, WORD_UPSTREAM, WORD_HOSTS, WORD_AUTH } part;
	/* for WORD_SETTING: the setting of [pgbouncer] that the word sets, whose setting in pgweir has a scope_name */
	const char *key;
	const char *note; /* for all other words: what becomes of the word */
};

const struct bouncer_word *bouncer_word_at(size_t i); /* returns row i, or NULL after the last one */
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

/* A setting of pgweir that was made from the file. */
struct translated_setting {
	char *section, *key, *value; /* key is NULL for a section without settings */
	char *from; /* the setting in PgBouncer's file, such as "verbose = 1"; else a reason, or "" */
	unsigned line;
};

struct bouncer {
	const struct problem_sink *sink;
	char *values[BOUNCER_KEYS_MAX]; /* indexed by bouncer_key_row(); NULL if not in the file */
	unsigned lines[BOUNCER_KEYS_MAX];
	bool has_pgbouncer_section; /* true if there was a [pgbouncer] section */
	struct bouncer_entries databases, users, peers;
	struct translated_setting *settings;
	size_t setting_count;
	/* settings from sections of pgweir that are in the file, until bouncer_translate() moves them to `settings` */
	struct translated_setting *ours;
	size_t ours_count;
	struct bouncer_note { /* remarks on parts of the file that become no setting */
		char *text;
		unsigned line;
	} * notes;
	size_t note_count;
};

/* Sets the value of a setting; line is where the value stands. */
void bouncer_set_value(struct bouncer *b, const struct bouncer_key *key, unsigned line, const char *value);
void bouncer_fini(struct bouncer *b); /* frees all texts, and wipes values */

/* Returns true if text is a pgbouncer.ini: its first section is one of PgBouncer's, or follows an %include. */
bool bouncer_is_ini(const char *text, size_t len);
/* Fills values, lines and entries. Fills `ours` from those sections of the file that are pgweir's own. */
void bouncer_read_lines(struct bouncer *b, const char *text, size_t len, const char *path);

/* --- bouncer_translate.c --- */

/* See file_format.read. */
void bouncer_read(const char *text, size_t len, const char *path, const struct config_override *overrides,
		  size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink);
/* Fills settings and notes. */
void bouncer_translate(struct bouncer *b);

/* Returns the value of a setting; its default if the file does not have it; "" if there is no default. */
const char *bouncer_value(const struct bouncer *b, const char *name);
/* Returns the line of a setting's value; LINE_PGBOUNCER_DEFAULT if the file does not have it. */
unsigned bouncer_line_number(const struct bouncer *b, const char *name);
bool bouncer_is_set(const struct bouncer *b, const char *name);
/*
 * Adds a setting of pgweir, unless a section of pgweir in the file has that setting. Escapes dollars in value, so that
 * pgweir does not expand them. key and value are NULL for a section without settings.
 */
void bouncer_emit(struct bouncer *b, unsigned line, const char *from, const char *section, const char *key,
		  const char *value);
/* Adds a setting from a section of pgweir that is in the file; value is as written there. */
void bouncer_add_direct(struct bouncer *b, unsigned line, const char *section, const char *key, const char *value);
void bouncer_note(struct bouncer *b, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Appends a value from PgBouncer's file, converted to the notation of pgweir's setting. Returns 0, or -1 with *why set.
 * Returns 1 with *why set if the value is out of range and the nearest valid one was appended.
 */
int bouncer_convert(const struct bouncer_key *key, const char *value, struct buf *to, struct fail *why);

/* --- bouncer_combine.c: settings that are translated by special code --- */

void bouncer_combine(struct bouncer *b);

/* --- bouncer_connect.c: [databases], [users], [peers] --- */

/* Calls bouncer_emit() to make a section of pgweir from each entry; only a database's section has an upstream. */
void bouncer_emit_sections(struct bouncer *b, const struct bouncer_entries *entries, const char *type, unsigned kind);
void bouncer_emit_peers(struct bouncer *b);

/* --- bouncer_import.c --- */

/* See file_format.import. */
bool bouncer_import(const char *path, struct config_problems *problems, FILE *to);
bool bouncer_import_text(const char *text, size_t len, const char *path, struct config_problems *problems, FILE *to);
/* Writes the tables of docs/pgbouncer.md: what becomes of PgBouncer's settings and words, and what compat changes. */
void bouncer_print_keys(FILE *to);

extern const struct problem_words bouncer_problem_words; /* bouncer_words.c */
