/* src/config/config_field.c - a setting's text becomes a field of struct config, and a field becomes text again. */
#include "base/alloc.h"
#include "base/text.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include <assert.h>

/* key_store() writes each enum of a KEY_WORD as an unsigned. */
static_assert(sizeof(enum pool_mode) == sizeof(unsigned) && sizeof(enum log_level) == sizeof(unsigned) &&
		  sizeof(enum tls_mode) == sizeof(unsigned),
	      "an enum is not as wide as an unsigned");

/* Returns the offset of the field in the struct that `base` points to. */
static size_t
offset_in(const struct config_key *key)
{
	return key->offset - (key->scope_name != NULL ? offsetof(struct config, defaults) : 0);
}

void *
key_base(const struct config_key *key, struct config *config)
{
	return key->scope_name != NULL ? (void *)&config->defaults : config;
}

const void *
key_base_const(const struct config_key *key, const struct config *config)
{
	return key->scope_name != NULL ? (const void *)&config->defaults : config;
}

/* Takes ownership of text. Returns 0. */
static int
store_text(char **field, char *text)
{
	secret_free(*field);
	*field = text;
	return 0;
}

static bool
is_word_of_key(const struct config_key *key, const char *text)
{
	for (size_t i = 0; key->words != NULL && key->words[i] != NULL; i++)
		if (strcmp(key->words[i], text) == 0)
			return true;
	return false;
}

static int
store_path(const struct config_key *key, char **field, const char *text, const char *folder, struct fail *why)
{
	if (!value_is_plain(text))
		return fail_set(why, "F0000", "a path must not contain control characters");
	if (strlen(text) >= 4096)
		return fail_set(why, "F0000", "a path must have at most 4095 bytes");
	if (*text == '\0' || *text == '/' || is_word_of_key(key, text))
		return store_text(field, xstrdup(text));
	if (key->words != NULL) /* a mistyped word must not become a file of that name */
		return value_refuse_word(text, key->words, "a path that begins with /", why);
	return store_text(field, xasprintf("%s/%s", folder, text));
}

/* Stores a list of paths. Puts the folder before each relative path. */
static int
store_paths(const struct config_key *key, char **field, const char *text, const char *folder, struct fail *why)
{
	struct buf joined = { 0 };
	char *one = NULL, *list = xstrdup(text), *rest = list, *part;
	int result = 0;

	while (result == 0 && (part = strsep(&rest, ",")) != NULL) {
		size_t len;

		part += strspn(part, " \t");
		for (len = strlen(part); len > 0 && strchr(" \t", part[len - 1]) != NULL; len--)
			part[len - 1] = '\0';
		result = len == 0 && rest != NULL ? fail_set(why, "F0000", "a path in the list is empty")
						  : store_path(key, &one, part, folder, why);
		if (result == 0)
			buf_printf(&joined, "%s%s", joined.len > 0 ? ", " : "", one);
	}
	if (result == 0)
		result = store_text(field, xstrdup(value_put_end(&joined)));
	buf_fini(&joined);
	free(list);
	free(one);
	return result;
}

static int
store_time(const struct config_key *key, void *field, const char *text, struct fail *why)
{
	uint64_t us = CONFIG_TIME_OFF;

	if (!is_word_of_key(key, text) && value_read_time(text, key->min, key->max, &us, why) < 0)
		return key->words == NULL || why->hint[0] != '\0' ? -1
								  : fail_hint(why, "The word off is allowed, too.");
	*(uint64_t *)field = us;
	return 0;
}

static int
store_number(const struct config_key *key, void *field, const char *text, struct fail *why)
{
	uint64_t n = CONFIG_COUNT_AUTO;

	if (key->type == KEY_SIZE) {
		if (value_read_size(text, key->min, key->max, &n, why) < 0)
			return -1;
		*(size_t *)field = n;
		return 0;
	}
	if (!is_word_of_key(key, text) && value_read_count(text, key->min, key->max, &n, why) < 0)
		return key->words == NULL || why->hint[0] != '\0' ? -1
								  : fail_hint(why, "The word auto is allowed, too.");
	*(uint32_t *)field = (uint32_t)n; /* the row's bounds are below UINT32_MAX */
	return 0;
}

static int
store_listen(struct config *config, const char *text, struct fail *why)
{
	struct config_listen listen;

	if (value_read_listen(text, &listen, why) < 0)
		return -1;
	for (size_t i = 0; i < config->listen_count; i++)
		if (strcmp(config->listens[i].host, listen.host) == 0 && config->listens[i].port == listen.port)
			return 0; /* an address that is listed twice counts once */
	if (config->listen_count >= CONFIG_LISTENS_MAX)
		return fail_set(why, "F0000", "there are more than %d of them", CONFIG_LISTENS_MAX);
	config->listens = xreallocarray(config->listens, config->listen_count + 1, sizeof(*config->listens));
	config->listens[config->listen_count++] = listen;
	return 0;
}

static int
store_http_listen(struct config *config, const char *text, struct fail *why)
{
	struct config_listen listen = { 0 };
	bool is_off = strcmp(text, "off") == 0;

	if (!is_off && value_read_listen(text, &listen, why) < 0)
		return -1;
	config->http_listen = listen;
	config->http_enabled = !is_off;
	return 0;
}

static int
store_names(char ***field, const char *text, struct fail *why)
{
	char **names;

	if (value_read_names(text, &names, why) < 0)
		return -1;
	value_names_free(*field);
	*field = names;
	return 0;
}

static int
store_plain(const struct config_key *key, char **field, const char *text, struct fail *why)
{
	struct buf rows = { 0 };
	int result = 0;

	if (!value_is_plain(text))
		result = fail_set(why, "F0000", "control characters are not allowed here");
	else if (key->type == KEY_CODE && *text != '\0')
		result = value_read_harmless_code(text, &rows, why);
	buf_fini(&rows);
	return result < 0 ? -1 : store_text(field, xstrdup(text));
}

int
key_store(const struct config_key *key, void *base, const char *text, const char *folder, struct fail *why)
{
	void *field = (char *)base + offset_in(key);
	unsigned word;

	switch (key->type) {
	case KEY_COUNT:
	case KEY_SIZE:
		return store_number(key, field, text, why);
	case KEY_TIME:
		return store_time(key, field, text, why);
	case KEY_FRACTION:
		return value_read_fraction(text, field, why);
	case KEY_SWITCH:
		return value_read_switch(text, field, why);
	case KEY_WORD:
		if (value_read_word(text, key->words, &word, why) < 0)
			return -1;
		memcpy(field, &word, sizeof(word));
		return 0;
	case KEY_WORDS:
		return value_read_words(text, key->words, field, why);
	case KEY_WORD_TEXT:
		return value_read_word(text, key->words, &word, why) < 0 ? -1 : store_text(field, xstrdup(text));
	case KEY_TEXT:
	case KEY_CODE:
	case KEY_SECRET:
		return store_plain(key, field, text, why);
	case KEY_PATH:
		return store_path(key, field, text, folder, why);
	case KEY_PATHS:
		return store_paths(key, field, text, folder, why);
	case KEY_NAMES:
		return store_names(field, text, why);
	case KEY_LISTENS:
		return store_listen(base, text, why);
	case KEY_HTTP_LISTEN:
		return store_http_listen(base, text, why);
	}
	return fail_set(why, "XX000", "a setting of no known type");
}

void
key_put(const struct config_key *key, const void *base, struct buf *to)
{
	const struct config *config = base;
	const void *field = (const char *)base + offset_in(key);

	switch (key->type) {
	case KEY_COUNT:
		if (key->words != NULL && *(const uint32_t *)field == CONFIG_COUNT_AUTO)
			buf_printf(to, "auto");
		else
			buf_printf(to, "%u", *(const uint32_t *)field);
		break;
	case KEY_SIZE:
		value_put_size(to, *(const size_t *)field);
		break;
	case KEY_TIME:
		if (*(const uint64_t *)field == CONFIG_TIME_OFF)
			buf_printf(to, "off");
		else
			value_put_time(to, *(const uint64_t *)field);
		break;
	case KEY_FRACTION:
		value_put_fraction(to, *(const double *)field);
		break;
	case KEY_SWITCH:
		buf_printf(to, "%s", *(const bool *)field ? "on" : "off");
		break;
	case KEY_WORD:
		buf_printf(to, "%s", key->words[*(const unsigned *)field]);
		break;
	case KEY_WORDS:
		value_put_chosen(to, key->words, *(const uint32_t *)field);
		break;
	case KEY_NAMES:
		value_put_names(to, *(char **const *)field);
		break;
	case KEY_LISTENS: /* config_each.c lists the values of such a setting */
		break;
	case KEY_HTTP_LISTEN:
		buf_printf(to, "%s", config->http_enabled ? config->http_listen.text : "off");
		break;
	default: /* text */
		buf_printf(to, "%s", *(char *const *)field);
	}
}

static size_t
field_size(const struct config_key *key)
{
	switch (key->type) {
	case KEY_COUNT:
	case KEY_WORDS:
		return sizeof(uint32_t);
	case KEY_SIZE:
		return sizeof(size_t);
	case KEY_TIME:
		return sizeof(uint64_t);
	case KEY_SWITCH:
		return sizeof(bool);
	case KEY_WORD:
		return sizeof(unsigned);
	case KEY_WORD_TEXT:
	case KEY_TEXT:
	case KEY_CODE:
	case KEY_SECRET:
	case KEY_PATH:
		return sizeof(char *); /* the copy borrows the text: see struct scope_settings */
	default: /* settings of databases and users have no other types */
		return 0;
	}
}

void
key_copy(const struct config_key *key, void *to, const void *from)
{
	memcpy((char *)to + offset_in(key), (const char *)from + offset_in(key), field_size(key));
}

void
key_free(const struct config_key *key, void *base)
{
	struct config *config = base;
	void *field = (char *)base + offset_in(key);

	switch (key->type) {
	case KEY_WORD_TEXT:
	case KEY_TEXT:
	case KEY_CODE:
	case KEY_SECRET:
	case KEY_PATH:
	case KEY_PATHS:
		secret_free(*(char **)field);
		*(char **)field = NULL;
		break;
	case KEY_NAMES:
		value_names_free(*(char ***)field);
		*(char ***)field = NULL;
		break;
	case KEY_LISTENS:
		free(config->listens);
		config->listens = NULL;
		break;
	default: /* the value is in the struct itself */
		break;
	}
}
