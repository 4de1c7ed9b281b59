/*
 * src/wire/startup.c - see startup.h. Does what PostgreSQL's ProcessStartupPacket and process_startup_options do, and
 * refuses bad bytes as soon as they arrive.
 *
 *   int32 length   8 to 10000, itself included
 *   int32 code     major and minor version, or one of the requests below
 *   then           names and values, each terminated, and a zero byte, which is the packet's last byte
 */
#include "wire/startup.h"
#include "base/text.h"
#include "wire/frame.h"
#include "wire/messages.h"

#define CODE_CANCEL 0x04d2162eu /* 1234.5678 and above are requests, because no protocol has the major version 1234 */
#define CODE_SSL 0x04d2162fu
#define CODE_GSSENC 0x04d21630u
#define HEAD_LEN 8
#define CANCEL_HEAD_LEN 12
#define CANCEL_KEY_MIN 4
#define MAJOR 3u
#define NEWEST_MINOR 2u
#define UNKNOWN_OPTIONS_MAX (sizeof(((struct startup *)0)->unknown_options) / sizeof(const char *))

/* The packet's length, then CODE_SSL. */
const uint8_t startup_ssl_request[STARTUP_SSL_REQUEST_LEN] = { 0, 0, 0, HEAD_LEN, 0x04, 0xd2, 0x16, 0x2f };

/* Returns text in a form for errors: at most 63 bytes, with '?' for each unprintable byte. */
static const char *
make_printable(const char *text, char out[static 64])
{
	size_t len = 0;

	for (; text[len] != '\0' && len < 63; len++)
		out[len] = text[len] >= 0x20 && text[len] <= 0x7e ? text[len] : '?';
	out[len] = '\0';
	return out;
}

static int
fail_length(struct startup *out, struct fail *why)
{
	out->is_garbage = true;
	return fail_set(why, "08P01", "invalid length of startup packet");
}

/* --- The options word: postgres' command line. --- */

/* Copies the next word to *to, terminated. Returns the copy, or NULL if there is no further word. A backslash keeps the
 * next character as it is. */
static char *
next_word(const char **at, char **to)
{
	char *word = *to;

	while (is_space(**at))
		(*at)++;
	if (**at == '\0')
		return NULL;
	for (; **at != '\0' && !is_space(**at); (*at)++) {
		if (**at == '\\' && *++*at == '\0')
			break;
		*(*to)++ = **at;
	}
	*(*to)++ = '\0';
	return word;
}

static int
add_setting(struct startup *s, const char *name, const char *value, struct fail *why)
{
	if (s->setting_count == STARTUP_SETTINGS_MAX)
		return fail_set(why, "54000", "more than %d settings in startup packet", STARTUP_SETTINGS_MAX);
	s->settings[s->setting_count++] = (struct startup_setting){ name, value };
	return 0;
}

static int
fail_option(struct fail *why, const char *before, const char *word, const char *after)
{
	char shown[64];

	fail_set(why, "42601", "%s%s%s", before, make_printable(word, shown), after);
	return fail_pgbouncer_text(why,
				   "unsupported options startup parameter: only '-c config=val' and '--config=val' are "
				   "allowed");
}

static int
fail_switch(struct fail *why, const char *word)
{
	return fail_option(why, "invalid command-line argument for server process: ", word, "");
}

/* Adds the setting in text, which is the "name=value" after the switch ("-c " or "--"). text lies in the arena and is
 * split into two strings. */
static int
add_assignment(struct startup *s, const char *dashes, char *text, struct fail *why)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || equals == text)
		return fail_option(why, dashes, text, " requires a value");
	*equals = '\0';
	for (char *c = text; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	return add_setting(s, text, equals + 1, why);
}

#define VALUED "CDfrStvW" /* switches whose value is the rest of the word, or the next word */
#define UNHEEDED "bCDEjnrTv" /* switches that have no effect if a client sends them */

/* Switches that stand for a setting, except -d and switches for settings that no session can change. */
static const struct {
	char letter;
	const char *begins; /* the beginning of the switch's value */
	const char *name, *value; /* value is NULL if the setting takes the switch's value */
} switches[] = { { 'e', "", "datestyle", "euro" },
		 { 'f', "s", "enable_seqscan", "false" },
		 { 'f', "i", "enable_indexscan", "false" },
		 { 'f', "o", "enable_indexonlyscan", "false" },
		 { 'f', "b", "enable_bitmapscan", "false" },
		 { 'f', "t", "enable_tidscan", "false" },
		 { 'f', "n", "enable_nestloop", "false" },
		 { 'f', "m", "enable_mergejoin", "false" },
		 { 'f', "h", "enable_hashjoin", "false" },
		 { 'O', "", "allow_system_table_mods", "true" },
		 { 'P', "", "ignore_system_indexes", "true" },
		 { 'S', "", "work_mem", NULL },
		 { 's', "", "log_statement_stats", "true" },
		 { 't', "pa", "log_parser_stats", "true" },
		 { 't', "pl", "log_planner_stats", "true" },
		 { 't', "e", "log_executor_stats", "true" },
		 { 'W', "", "post_auth_delay", NULL } };

/* Handles one switch; value is "" if the switch has no value. */
static int
take_switch(struct startup *s, char letter, const char *value, const char *word, struct fail *why)
{
	if (strchr(UNHEEDED, letter) != NULL)
		return 0;
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (switches[i].letter == letter && strncmp(value, switches[i].begins, strlen(switches[i].begins)) == 0)
			return add_setting(s, switches[i].name, switches[i].value != NULL ? switches[i].value : value,
					   why);
	return fail_switch(why, word);
}

/* Handles a word of switches, as getopt() does, and takes the next word if that is a value. */
static int
take_switches(struct startup *s, char *word, const char **at, char **to, struct fail *why)
{
	int result = 0;

	for (char *c = word + 1; result == 0 && *c != '\0'; c++) {
		bool is_assignment = *c == 'c' || *c == '-';
		char *value = c + 1;

		if (!is_assignment && strchr(VALUED, *c) == NULL) {
			result = take_switch(s, *c, "", word, why);
			continue;
		}
		if (*value == '\0' && *c != '-' && (value = next_word(at, to)) == NULL)
			return fail_switch(why, word);
		return is_assignment ? add_assignment(s, *c == 'c' ? "-c " : "--", value, why)
				     : take_switch(s, *c, value, word, why);
	}
	return result;
}

/* Parses options as PostgreSQL's process_postgres_switches() does. */
static int
take_options(struct startup *s, const char *options, struct fail *why)
{
	const char *at = options;
	char *to, *word;
	int result = 0;

	/* The arena is large enough: a word's terminator takes the place of the blank after the word. */
	if ((to = s->arena = malloc(strlen(options) + 1)) == NULL)
		return fail_memory(why, "a startup packet");
	while (result == 0 && (word = next_word(&at, &to)) != NULL) {
		if (word[0] == '-' && word[1] != '\0')
			result = take_switches(s, word, &at, &to, why);
		else if (strncmp(word, "reference=", 10) == 0) {
			s->has_bare_reference = true;
			result = add_assignment(s, "", word, why);
		} else
			result = fail_switch(why, word);
	}
	return result;
}

/* --- The fields of a login. --- */

enum field { FIELD_USER, FIELD_DATABASE, FIELD_OPTIONS, FIELD_REPLICATION, FIELD_PROTOCOL_OPTION, FIELD_SETTING };

/*
 * The values of a packet that struct startup does not hold unchanged. If "options" occurs twice, the last one counts.
 */
struct login_words {
	const char *options;
	bool is_walsender, has_database; /* two fields, because "true" after "database" still means logical */
};

static enum field
field_of(const char *name)
{
	static const char *const names[FIELD_PROTOCOL_OPTION] = { "user", "database", "options", "replication" };

	for (unsigned i = 0; i < FIELD_PROTOCOL_OPTION; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum field)i;
	return strncmp(name, "_pq_.", 5) == 0 ? FIELD_PROTOCOL_OPTION : FIELD_SETTING;
}

/* Parses PostgreSQL's boolean words and their abbreviations. Returns 0, or -1. */
static int
parse_bool(const char *value, bool *out)
{
	static const struct {
		const char *word;
		size_t least_len;
		bool value;
	} words[] = { { "true", 1, true }, { "false", 1, false }, { "yes", 1, true }, { "no", 1, false },
		      { "on", 2, true },   { "off", 2, false },	  { "1", 1, true },   { "0", 1, false } };
	size_t len = strlen(value);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (len >= words[i].least_len && strncasecmp(value, words[i].word, len) == 0) {
			*out = words[i].value;
			return 0;
		}
	return -1;
}

static int
take_replication(struct login_words *words, const char *value, struct fail *why)
{
	char shown[64];

	if (strcmp(value, "database") == 0) {
		words->is_walsender = words->has_database = true;
		return 0;
	}
	if (parse_bool(value, &words->is_walsender) == 0)
		return 0;
	fail_set(why, "22023", "invalid value for parameter \"replication\": \"%s\"", make_printable(value, shown));
	return fail_hint(why, "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
}

/* Handles all fields but settings. take_login() adds these later, because settings from "options" come first. */
static int
take_field(struct startup *s, struct login_words *words, const char *name, const char *value, struct fail *why)
{
	switch (field_of(name)) {
	case FIELD_USER:
		s->user = value;
		break;
	case FIELD_DATABASE:
		s->database = value;
		break;
	case FIELD_OPTIONS:
		words->options = value;
		break;
	case FIELD_REPLICATION:
		return take_replication(words, value, why);
	case FIELD_PROTOCOL_OPTION:
		if (s->unknown_option_count == UNKNOWN_OPTIONS_MAX)
			return fail_set(why, "54000", "more than %zu protocol options in startup packet",
					UNKNOWN_OPTIONS_MAX);
		s->unknown_options[s->unknown_option_count++] = name;
		break;
	case FIELD_SETTING:
		break;
	}
	return 0;
}

/* Takes the name and value at *at. Returns 1; 0 at the packet's final zero byte; or -1 if the packet is malformed. */
static int
next_pair(const uint8_t **at, const uint8_t *end, const char **name, const char **value)
{
	const uint8_t *name_end, *value_end;

	if (*at == end)
		return -1;
	if (**at == '\0')
		return *at + 1 == end ? 0 : -1;
	if ((name_end = memchr(*at, '\0', (size_t)(end - *at))) == NULL ||
	    (value_end = memchr(name_end + 1, '\0', (size_t)(end - name_end - 1))) == NULL)
		return -1;
	*name = (const char *)*at;
	*value = (const char *)name_end + 1;
	*at = value_end + 1;
	return 1;
}

/* Parses the names and values of a whole packet, from `at` to `end`. */
static int
take_login(struct startup *s, const uint8_t *at, const uint8_t *end, struct fail *why)
{
	const uint8_t *settings_at = at;
	struct login_words words = { 0 };
	const char *name, *value;
	int got;

	while ((got = next_pair(&at, end, &name, &value)) > 0)
		if (take_field(s, &words, name, value, why) < 0)
			return -1;
	if (got < 0)
		return fail_set(why, "08P01", "invalid startup packet layout: expected terminator as last byte");
	if (s->user == NULL || s->user[0] == '\0')
		return fail_set(why, "28000", "no PostgreSQL user name specified in startup packet");
	if (s->database == NULL || s->database[0] == '\0')
		s->database = s->user;
	if (words.is_walsender)
		s->replication = words.has_database ? REPLICATION_LOGICAL : REPLICATION_PHYSICAL;
	if (words.options != NULL && take_options(s, words.options, why) < 0)
		return -1;
	s->option_count = s->setting_count;
	while (next_pair(&settings_at, end, &name, &value) > 0)
		if (field_of(name) == FIELD_SETTING && add_setting(s, name, value, why) < 0)
			return -1;
	return 0;
}

/* --- The packet. --- */

/* Sets *kind. Refuses unknown protocols, and packet lengths that are impossible for this code. */
static int
take_code(struct startup *out, uint32_t code, enum startup_kind *kind, struct fail *why)
{
	/* wraps around if the packet is shorter than the head, so the key is then too long */
	size_t key_len = out->total_len - CANCEL_HEAD_LEN;

	switch (code) {
	case CODE_SSL:
	case CODE_GSSENC:
		*kind = code == CODE_SSL ? STARTUP_SSL : STARTUP_GSSENC;
		return out->total_len == HEAD_LEN ? 0 : fail_length(out, why);
	case CODE_CANCEL:
		*kind = STARTUP_CANCEL;
		return key_len >= CANCEL_KEY_MIN && key_len <= CANCEL_KEY_MAX ? 0 : fail_length(out, why);
	default:
		*kind = STARTUP_LOGIN;
		if (code >> 16 == MAJOR)
			return 0;
		return fail_set(why, "0A000", "unsupported frontend protocol %u.%u: server supports %u.0 to %u.%u",
				(unsigned)(code >> 16), (unsigned)(code & 0xffff), MAJOR, MAJOR, NEWEST_MINOR);
	}
}

/* Checks the length first, so that pgweir never waits for a packet that can't be right. */
static int
take_length(struct startup *out, const uint8_t *bytes, size_t len, struct fail *why)
{
	uint32_t said;

	if (len > 0 && bytes[0] == STARTUP_DIRECT_TLS) {
		fail_set(why, "08P01", "TLS is not available here");
		return fail_hint(why, "Set certificate_file and key_file in section [tls_client] of pgweir.ini.");
	}
	if (len < 4)
		return 0;
	said = wire_u32(bytes);
	if (said < HEAD_LEN || said > STARTUP_MAX)
		return fail_length(out, why);
	out->total_len = said;
	return 0;
}

int
startup_parse(const uint8_t *bytes, size_t len, struct startup *out, struct fail *why)
{
	enum startup_kind kind;
	uint32_t code;

	memset(out, 0, sizeof(*out));
	out->kind = STARTUP_PARTIAL;
	if (take_length(out, bytes, len, why) < 0)
		return -1;
	if (len < HEAD_LEN)
		return 0;
	code = wire_u32(bytes + 4);
	if (take_code(out, code, &kind, why) < 0)
		return -1;
	if (len < out->total_len)
		return 0;
	if (kind == STARTUP_CANCEL) {
		out->cancel_pid = wire_u32(bytes + HEAD_LEN);
		out->cancel_key = bytes + CANCEL_HEAD_LEN;
		out->cancel_key_len = out->total_len - CANCEL_HEAD_LEN;
	} else if (kind == STARTUP_LOGIN) {
		out->major = (uint16_t)(code >> 16);
		out->minor = (uint16_t)code;
		if (take_login(out, bytes + HEAD_LEN, bytes + out->total_len, why) < 0) {
			startup_fini(out);
			return -1;
		}
	}
	out->kind = kind;
	return 0;
}

void
startup_fini(struct startup *s)
{
	free(s->arena);
	s->arena = NULL;
}

uint16_t
startup_minor(const struct startup *s)
{
	return s->minor >= NEWEST_MINOR ? NEWEST_MINOR : 0;
}

bool
startup_needs_negotiate(const struct startup *s)
{
	return s->minor > NEWEST_MINOR || s->unknown_option_count > 0;
}

void
startup_put_negotiate(struct buf *out, const struct startup *s)
{
	size_t begun = message_begin(out, 'v');

	/* The manual names the minor version, but PostgreSQL sends the full version, and libpq 18 requires that. */
	buf_put_u32(out, MAJOR << 16 | startup_minor(s));
	buf_put_u32(out, (uint32_t)s->unknown_option_count);
	for (size_t i = 0; i < s->unknown_option_count; i++)
		buf_put_str(out, s->unknown_options[i]);
	message_end(out, begun);
}
