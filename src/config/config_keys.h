/*
 * src/config/config_keys.h - the table of all settings, and conversions between a setting's text and its field.
 *
 * A new setting needs a row in config_keys.c, a field in config.h and a row in tests/unit/test_load.c. The code that
 * reads files, SHOW CONFIG, --dump-config, --help-config and did-you-mean use the table. scripts/settings writes the
 * setting's lines in docs/config.md and conf/pgweir.ini, and scripts/manual makes pgweir.ini(5) from docs/config.md.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"
#include "config/config.h"

/* The C type of a setting's field, and the values that the field takes. `words` is config_key.words. */
enum key_type {
	KEY_COUNT, /* uint32_t; if words has "auto", that word is stored as CONFIG_COUNT_AUTO */
	KEY_TIME, /* uint64_t, microseconds; if words has "off", that word is stored as CONFIG_TIME_OFF */
	KEY_SIZE, /* size_t, bytes */
	KEY_FRACTION, /* double, from 0 to 1 */
	KEY_SWITCH, /* bool */
	KEY_WORD, /* an enum, whose values are indexes into words */
	KEY_WORDS, /* uint32_t, a set of words: bit i stands for words[i]; separated by commas in the file */
	KEY_WORD_TEXT, /* char *, one of words */
	KEY_TEXT, /* char *, any text */
	KEY_CODE, /* char *, empty, or a text that value_read_harmless_code() accepts */
	KEY_SECRET, /* char *, any text; shown as *** because it may hold a password */
	/* char *, a path. If `words` is NULL, a relative path is relative to the configuration file's folder; else the
	 * value is one of `words` or an absolute path. If `words` has "stderr", the path is a log, which the user of
	 * run_as creates and appends to. */
	KEY_PATH,
	KEY_PATHS, /* char *, several paths like those of KEY_PATH, separated by ", " */
	KEY_NAMES, /* char **, NULL-terminated */
	KEY_LISTENS, /* listens and listen_count of struct config; the setting may occur several times */
	KEY_HTTP_LISTEN, /* http_listen and http_enabled of struct config */
};

/* The sections of databases, tenants and users in which the setting may have another value. DATABASES stands for
 * [database NAME] and [tenant NAME], USERS for [user NAME]. */
enum key_scope { KEY_FOR_NONE, KEY_FOR_BOTH, KEY_FOR_DATABASES, KEY_FOR_USERS };

struct config_key {
	const char *section, *name;
	/* the setting's name in the sections of `scope`; NULL for KEY_FOR_NONE */
	const char *scope_name;
	enum key_type type;
	const char *default_value; /* as written in a file */
	uint64_t min, max; /* bounds of counts, times (us) and sizes (bytes) */
	const char *unit; /* the unit of a count, such as "connections"; else empty */
	bool is_reloadable; /* false if only a restart changes the setting */
	size_t offset; /* of the field in struct config; with a scope_name, the field is in config.defaults */
	enum key_scope scope;
	const char *const *words; /* the words that the setting takes, NULL-terminated; or NULL if it has no words */
	const char *help;
};

#define CONFIG_KEYS_MAX 152 /* at least the number of rows */
#define CONFIG_SCOPE_MAX 64 /* bits of config_scope.set; at least the number of rows with a scope_name */
#define CONFIG_LISTENS_MAX 64 /* addresses to listen on */

/* Returns row i, or NULL after the last one: for (i = 0; (key = config_key_at(i)) != NULL; i++). */
const struct config_key *config_key_at(size_t i);
size_t config_key_row(const struct config_key *key); /* returns the i for which config_key_at(i) returns `key` */
/* Returns the first setting in row *row or later that names a log file, and sets *row to the row after this setting; or
 * returns NULL. */
const struct config_key *config_next_log(size_t *row);
/* Returns the value of a setting of type KEY_PATH that has no scope_name. */
const char *key_path(const struct config_key *key, const struct config *config);
/* Returns the i-th row with a scope_name, or NULL after the last one. Bit i of config_scope.set stands for this row. */
const struct config_key *config_scope_key(size_t i);
/* Returns the row of a setting, or NULL. The settings max_... of [pgweir] are found in section "limits", too. */
const struct config_key *config_key_find(const char *section, const char *name);
/* Returns the row with this scope_name, and sets *bit to its bit in config_scope.set; or returns NULL. */
const struct config_key *config_scope_key_find(const char *scope_name, size_t *bit);
bool config_has_section(const char *section); /* returns true if a setting is in this section of the table */

/*
 * --- config_field.c: reads and writes the field of a setting ---
 *
 * base is the struct that has the field: a struct scope_settings if the key has a scope_name, else a struct config.
 */
/* Sets the field from its text. For KEY_LISTENS, adds a value; else replaces the old value. A relative path is relative
 * to `folder`. Returns 0, or -1 with *why set. */
int key_store(const struct config_key *key, void *base, const char *text, const char *folder, struct fail *why);
/* Appends the field's value as text, without a terminator. Appends nothing for KEY_LISTENS. */
void key_put(const struct config_key *key, const void *base, struct buf *to);
/* Copies the field of a key with a scope_name from one struct scope_settings to another; the copy borrows strings. */
void key_copy(const struct config_key *key, void *to, const void *from);
void key_free(const struct config_key *key, void *base); /* frees a string or list, and sets the field to NULL */
/* Returns &config->defaults for a key with a scope_name, else config. */
void *key_base(const struct config_key *key, struct config *config);
const void *key_base_const(const struct config_key *key, const struct config *config); /* key_base(), but const */
