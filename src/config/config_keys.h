/*
 * src/config/config_keys.h - the table of all settings, and conversions between a setting's text and its field.
 *
 * A new setting is a row in config_keys.c, a field in config.h and a row in tests/unit/test_load.c. Reading, SHOW
 * CONFIG, --dump-config, --help-config and did-you-mean follow the table; scripts/settings writes its text in
 * docs/config.md and conf/pgweir.ini, and scripts/manual makes pgweir.ini(5) from that.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"
#include "config/config.h"

enum key_type {
	KEY_COUNT, /* uint32_t; CONFIG_COUNT_AUTO for the word "auto", if words has it */
	KEY_TIME, /* uint64_t, us; CONFIG_TIME_OFF for the word "off", if words has it */
	KEY_SIZE, /* size_t, bytes */
	KEY_FRACTION, /* double */
	KEY_SWITCH, /* bool */
	KEY_WORD, /* an enum, whose values are indexes of words */
	KEY_WORDS, /* uint32_t, a set of words, separated by commas, with a bit for each */
	KEY_WORD_TEXT, /* char *, one of words */
	KEY_TEXT, /* char *, anything */
	KEY_CODE, /* char *, empty or code that value_harmless_code() reads */
	KEY_SECRET, /* char *, anything; may hold a password: shown as *** */
	/* char *, a path, relative to the folder of the file; if words is set, one of these words or an absolute path.
	 * Paths for which words has "stderr" are logs, which the user of run_as creates and appends to. */
	KEY_PATH,
	KEY_PATHS, /* char *, paths as for KEY_PATH, with ", " between them */
	KEY_NAMES, /* char **, NULL-terminated */
	KEY_LISTENS, /* listens and listen_count of struct config; may be given several times */
	KEY_HTTP_LISTEN, /* http_listen and http_enabled of struct config */
};

/* The sections that may have a value of their own. DATABASES: [database NAME] and [tenant NAME]; USERS: [user NAME]. */
enum key_scope { KEY_FOR_NONE, KEY_FOR_BOTH, KEY_FOR_DATABASES, KEY_FOR_USERS };

struct config_key {
	const char *section, *name;
	const char *scope_name; /* name in [database NAME] and [user NAME]; NULL if the setting is not allowed there */
	enum key_type type;
	const char *default_value; /* as written in a file */
	uint64_t min, max; /* bounds of counts, times (us) and sizes (bytes) */
	const char *unit; /* unit of counts; else empty */
	bool is_reloadable;
	size_t offset; /* of the field in struct config; within defaults if there is a scope_name */
	enum key_scope scope;
	const char *const *words;
	const char *help;
};

#define CONFIG_KEYS_MAX 152 /* at least the number of rows */
#define CONFIG_SCOPE_MAX 64 /* at least the number of rows with a scope_name; config_scope.set has that many bits */
#define CONFIG_LISTENS_MAX 64

/* Returns row i, or NULL after the last one: for (i = 0; (key = config_key(i)) != NULL; i++). */
const struct config_key *config_key(size_t i);
size_t config_key_row(const struct config_key *key);
/* Returns the key of the first log from row *row on, and moves *row after it; NULL if there is no further log. */
const struct config_key *config_next_log(size_t *row);
/* returns the value of a KEY_PATH of struct config */
const char *key_path(const struct config_key *key, const struct config *config);
/* Returns the i-th row with a scope_name (bit i of config_scope.set), or NULL after the last one. */
const struct config_key *config_scope_key(size_t i);
/* Returns the row, or NULL. The row may be in another section: [limits] also finds max_client_connections of
 * [pgweir]. */
const struct config_key *config_key_find(const char *section, const char *name);
const struct config_key *config_scope_key_find(const char *scope_name, size_t *bit);
bool config_has_section(const char *section);

/*
 * --- config_field.c: fields ---
 *
 * base is a struct scope_settings for a key with a scope_name, else a struct config. key_store() replaces the old
 * value; for KEY_LISTENS it adds a value. Relative paths begin at folder.
 */
int key_store(const struct config_key *key, void *base, const char *text, const char *folder, struct fail *why);
void key_put(const struct config_key *key, const void *base, struct buf *to); /* not for KEY_LISTENS */
void key_copy(const struct config_key *key, void *to, const void *from); /* keys with a scope_name only */
void key_free(const struct config_key *key, void *base); /* sets the field to NULL */
void *key_base(const struct config_key *key, struct config *config);
const void *key_base_of(const struct config_key *key, const struct config *config);
