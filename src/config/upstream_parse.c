/*
 * src/config/upstream_parse.c - makes an upstream from a connection string.
 *
 * Keywords that libpq takes, but pgweir would not honor, are errors. Otherwise an operator might believe that sslcrl,
 * for example, is in force. unsupported[] has hints, mostly on where to set the value instead.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "config/config_value.h"
#include "config/upstream.h"

#include <sys/un.h>

#define TEXT_LEN_MAX ((size_t)64 << 10)
#define HOSTS_MAX 64
#define NAME_LEN_MAX 63
#define PASSWORD_LEN_MAX 4096
#define SETTINGS_LEN_MAX 8000 /* PostgreSQL takes a startup packet of at most 10,000 bytes */
#define SOCKET_NAME "/.s.PGSQL.65535"

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

/* The settings that are sent to PostgreSQL with each connection, besides those of extensions and applications, whose
 * names have a dot. */
/* clang-format off */
static const char *const settings[] = {
	"application_name", "client_encoding", "options", "datestyle", "timezone", "intervalstyle", "search_path", "extra_float_digits",
	"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "default_transaction_isolation",
	"default_transaction_read_only", "role"
};
static const char *const main_words[] = {
	"host", "port", "dbname", "user", "password", "target_session_attrs", "min_protocol_version", "max_protocol_version"
};
/* clang-format on */

static const struct {
	const char *name, *hint;
} unsupported[] = {
	{ "connect_timeout", "Set connect_timeout in [timeouts] or in this section." },
	{ "requiressl", "TLS to servers is set in [tls_server]." },
	{ "ssl", "TLS to servers is set in [tls_server]." },
	{ "sslpassword", "TLS to servers is set in [tls_server]." },
	{ "sslcrl", "TLS to servers is set in [tls_server]." },
	{ "sslcrldir", "TLS to servers is set in [tls_server]." },
	{ "ssl_min_protocol_version", "TLS to servers is set in [tls_server]." },
	{ "ssl_max_protocol_version", "TLS to servers is set in [tls_server]." },
	{ "hostaddr", "Write the address into host." },
	{ "passfile", "Write password=${file:/path}, or leave it to users_file." },
	{ "service", "Write the words of the service here." },
	{ "fallback_application_name", "Use application_name." },
	{ "replication", "Replication connections cannot be pooled." },
	{ "pool_mode", "It is a setting of its own, on a line below upstream." },
	{ "pool_size", "It is a setting of its own, on a line below upstream." },
	{ "min_pool_size", "It is a setting of its own: min_idle, on a line below upstream." },
	{ "reserve_pool", "It is a setting of its own: max_overflow, on a line below upstream." },
	{ "reserve_pool_size", "It is a setting of its own: max_overflow, on a line below upstream." },
	{ "query_wait_timeout", "It is a setting of its own: pool_timeout, on a line below upstream." },
	{ "server_lifetime", "It is a setting of its own: pool_recycle, on a line below upstream." },
	{ "max_db_connections", "It is a setting of its own, on a line below upstream." },
	{ "auth_user", "It is a setting of its own, on a line below upstream." },
	{ "auth_query", "It is a setting of its own, on a line below upstream." },
};

/* The upstream that is being read. Lists of hosts and ports stay text until the whole string has been scanned. */
struct draft {
	struct upstream *up;
	/* oldest is min_protocol_version, newest is max_protocol_version */
	char *host, *port, *target, *oldest, *newest;
	size_t setting_count, settings_len;
	struct unknown { /* the unknown words, all of which one error lists */
		unsigned count, near_count;
		char names[FAIL_TEXT_MAX / 2], near[FAIL_TEXT_MAX / 2];
		const char *hint; /* the hint of the first word that has one; else NULL */
	} unknown;
};

static void
add_quoted(char *list, size_t size, unsigned count, const char *name)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s\"%s\"", count > 0 ? ", " : "", name);
}

static void
note_unknown(struct unknown *u, const char *name)
{
	struct nearest nearest = nearest_to(name);
	bool has_hint = false;
	const char *word;

	add_quoted(u->names, sizeof(u->names), u->count++, name);
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
		if (strcmp(unsupported[i].name, name) == 0) {
			u->hint = u->hint == NULL ? unsupported[i].hint : u->hint;
			has_hint = true;
		}
	for (size_t i = 0; i < sizeof(main_words) / sizeof(main_words[0]); i++)
		nearest_try(&nearest, main_words[i], NULL);
	for (unsigned i = 0; (word = upstream_word_name((enum upstream_keyword)i)) != NULL; i++)
		nearest_try(&nearest, word, NULL);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		nearest_try(&nearest, settings[i], NULL);
	if (nearest.name != NULL && !has_hint)
		add_quoted(u->near, sizeof(u->near), u->near_count++, nearest.name);
}

static int
refuse_unknown(const struct unknown *u, struct fail *why)
{
	fail_set(why, "08001", "%s %s not known here", u->names, u->count == 1 ? "is" : "are");
	if (u->near_count > 0)
		return fail_hint(why, "Did you mean %s?", u->near);
	if (u->hint != NULL)
		return fail_hint(why, "%s", u->hint);
	return fail_hint(why,
			 "Its words are host, port, dbname, user, password, target_session_attrs, sslmode and other "
			 "words of TLS, max_protocol_version, min_protocol_version, application_name, "
			 "client_encoding, options; another setting is written options='-c name=value'.");
}

static bool
is_setting(const char *name)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (strcasecmp(settings[i], name) == 0)
			return true;
	return strchr(name, '.') != NULL && name[strspn(name, name_letters)] == '\0';
}

static int
put_upstream_setting(struct draft *draft, const char *name, const char *value, struct fail *why)
{
	char **pair;

	for (size_t i = 0; i < draft->setting_count; i++)
		if (strcasecmp(draft->up->settings[2 * i], name) == 0)
			return fail_set(why, "08001", "\"%s\" is given twice", name);
	if (!value_is_plain(name) || !value_is_plain(value))
		return fail_set(why, "08001", "the value of \"%s\" contains a control character", name);
	draft->settings_len += strlen(name) + strlen(value) + 2;
	if (draft->settings_len > SETTINGS_LEN_MAX)
		return fail_set(why, "08001", "all settings together must have at most %d bytes", SETTINGS_LEN_MAX);
	draft->up->settings = xreallocarray(draft->up->settings, 2 * draft->setting_count + 3, sizeof(*pair));
	pair = draft->up->settings + 2 * draft->setting_count;
	pair[0] = xstrdup(name);
	pair[1] = xstrdup(value);
	pair[2] = NULL;
	draft->setting_count++;
	return 0;
}

/* Reads the value of the keyword `name`, which must be one of values, as value_read_word() does. */
static int
read_choice(const char *name, const char *value, const char *const *values, unsigned *out, struct fail *why)
{
	struct fail choice;

	if (value_read_word(value, values, out, &choice) == 0)
		return 0;
	fail_set(why, "08001", "%s cannot be \"%.64s\": %s", name, value_is_plain(value) ? value : "", choice.text);
	return choice.hint[0] == '\0' ? -1 : fail_hint(why, "%s", choice.hint);
}

/* Checks the value of a keyword, and copies the value to *field. */
static int
put_keyword_value(char **field, enum upstream_keyword word, const char *value, struct fail *why)
{
	static const char *const values[UPSTREAM_KEYWORD_COUNT][7] = {
		[UPSTREAM_SSLMODE] = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" },
		[UPSTREAM_SSLNEGOTIATION] = { "postgres", "direct" },
		[UPSTREAM_SSLSNI] = { "0", "1" },
		[UPSTREAM_CHANNEL_BINDING] = { "disable", "prefer", "require" },
		[UPSTREAM_LOAD_BALANCE_HOSTS] = { "disable", "round-robin" },
	};
	const char *name = upstream_word_name(word);
	unsigned index;

	if (values[word][0] != NULL && read_choice(name, value, values[word], &index, why) < 0)
		return -1;
	if (!value_is_plain(value) || *value == '\0')
		return fail_set(why, "08001", "%s cannot be %s", name,
				*value == '\0' ? "empty" : "a text with control characters");
	if (values[word][0] == NULL && word < UPSTREAM_KRBSRVNAME && *value != '/' &&
	    (word != UPSTREAM_SSLROOTCERT || strcmp(value, "system") != 0))
		return fail_set(why, "08001", "%s must be a path that begins with /%s", name,
				word == UPSTREAM_SSLROOTCERT ? ", or system" : "");
	if (*field != NULL)
		return fail_set(why, "08001", "\"%s\" is given twice", name);
	*field = xstrdup(value);
	return 0;
}

static int
put_upstream_word(void *arg, const char *name, const char *value, struct fail *why)
{
	struct draft *draft = arg;
	struct {
		const char *name;
		char **field;
	} fields[] = {
		{ "host", &draft->host },
		{ "port", &draft->port },
		{ "dbname", &draft->up->dbname },
		{ "user", &draft->up->user },
		{ "password", &draft->up->password },
		{ "target_session_attrs", &draft->target },
		{ "min_protocol_version", &draft->oldest },
		{ "max_protocol_version", &draft->newest },
	};

	for (unsigned i = 0; i < UPSTREAM_KEYWORD_COUNT; i++)
		if (strcmp(upstream_word_name((enum upstream_keyword)i), name) == 0)
			return put_keyword_value(&draft->up->keyword_values[i], (enum upstream_keyword)i, value, why);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		if (*fields[i].field != NULL)
			return fail_set(why, "08001", "\"%s\" is given twice", name);
		*fields[i].field = xstrdup(value);
		return 0;
	}
	if (is_setting(name))
		return put_upstream_setting(draft, name, value, why);
	note_unknown(&draft->unknown, name);
	return 0;
}

/* A host is a name, an address or a directory. */
int
upstream_check_host(const char *host, struct fail *why)
{
	static const char letters[] =
	    /* colon and percent sign are for IPv6 with a zone */
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:%";

	if (*host == '/') {
		if (strlen(host) + strlen(SOCKET_NAME) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return fail_set(why, "08001", "the directory \"%.128s\" is too long for a Unix socket", host);
		return value_is_plain(host) ? 0
					    : fail_set(why, "08001", "a directory must not contain control characters");
	}
	if (*host == '\0')
		return fail_set(why, "08001", "a host in the list is empty");
	if (*host == '@')
		return fail_set(why, "08001", "abstract Unix sockets (@...) are not supported");
	if (host[strspn(host, letters)] != '\0')
		return fail_set(why, "08001", "\"%.128s\" is not the name of a host", host);
	return 0;
}

/* Copies element i of a list with commas. Returns 0, or -1 if the element does not fit. */
static int
copy_element(const char *list, size_t i, char *out, size_t out_size)
{
	size_t len;

	for (; i > 0; i--)
		list += strcspn(list, ",") + 1;
	len = strcspn(list, ",");
	if (len >= out_size)
		return -1;
	memcpy(out, list, len);
	out[len] = '\0';
	return 0;
}

static size_t
count_elements(const char *list)
{
	size_t count = 1;

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static int
read_port(const char *list, size_t i, uint16_t *out, struct fail *why)
{
	char text[8] = "";
	bool is_number = copy_element(list, i, text, sizeof(text)) == 0 && text[strspn(text, "0123456789")] == '\0';
	unsigned long port = !is_number ? 0 : text[0] == '\0' ? 5432 : strtoul(text, NULL, 10);

	if (port < 1 || port > 65535)
		return fail_set(why, "08001", "a port must be a number from 1 to 65535");
	*out = (uint16_t)port;
	return 0;
}

static int
build_hosts(const struct draft *draft, struct upstream *up, struct fail *why)
{
	const char *ports = draft->port != NULL ? draft->port : "";
	const char *zones = up->keyword_values[UPSTREAM_ZONES];
	size_t count, port_count = count_elements(ports);

	if (draft->host == NULL || *draft->host == '\0') {
		fail_set(why, "08001", "host is missing");
		return fail_hint(why,
				 "Write host=127.0.0.1, for example, or host=/var/run/postgresql for a Unix socket.");
	}
	count = count_elements(draft->host);
	if (count > HOSTS_MAX)
		return fail_set(why, "08001", "there are %zu hosts, at most %d are allowed", count, HOSTS_MAX);
	if (port_count != 1 && port_count != count)
		return fail_set(why, "08001", "there are %zu ports for %s", port_count,
				base_format_count(count, "host", "hosts").text);
	if (zones != NULL && count_elements(zones) != count)
		return fail_set(why, "08001", "zones has %s for %s",
				base_format_count(count_elements(zones), "entry", "entries").text,
				base_format_count(count, "host", "hosts").text);
	up->hosts = xcalloc(count, sizeof(*up->hosts));
	for (size_t i = 0; i < count; i++) {
		struct upstream_host *host = &up->hosts[i];

		if (copy_element(draft->host, i, host->host, sizeof(host->host)) < 0)
			return fail_set(why, "08001", "a host must have at most %zu bytes", sizeof(host->host) - 1);
		if ((!up->is_of_tenant && upstream_check_host(host->host, why) < 0) ||
		    read_port(ports, port_count == 1 ? 0 : i, &host->port, why) < 0)
			return -1;
		up->host_count++;
	}
	return 0;
}

static int
build_target(const struct draft *draft, struct upstream *up, struct fail *why)
{
	unsigned target = 0;

	if (draft->target != NULL &&
	    read_choice("target_session_attrs", draft->target, upstream_target_names, &target, why) < 0)
		return -1;
	up->target = (enum target_session_attrs)target;
	return 0;
}

/* Reads a value of min_protocol_version or max_protocol_version; a NULL or empty text means 3.0. */
static int
read_protocol(const char *word, const char *text, uint16_t *minor, struct fail *why)
{
	bool is_newest = text != NULL && (strcmp(text, "3.2") == 0 || strcmp(text, "latest") == 0);

	*minor = is_newest ? 2 : 0;
	if (text == NULL || *text == '\0' || strcmp(text, "3.0") == 0 || is_newest)
		return 0;
	return fail_set(why, "08001", "%s must be 3.0, 3.2 or latest", word);
}

static int
build_protocol(const struct draft *draft, struct upstream *up, struct fail *why)
{
	if (read_protocol("min_protocol_version", draft->oldest, &up->min_minor, why) < 0 ||
	    read_protocol("max_protocol_version", draft->newest, &up->max_minor, why) < 0)
		return -1;
	if (up->min_minor <= up->max_minor)
		return 0;
	fail_set(why, "08001", "min_protocol_version is greater than max_protocol_version");
	return fail_hint(why, "Unless set, max_protocol_version is 3.0; add max_protocol_version=3.2.");
}

/* Sets a field that is NULL to an empty text, and checks the length of the field. */
static int
complete_text(const char *what, char **field, size_t len_max, struct fail *why)
{
	if (*field == NULL)
		*field = xstrdup("");
	return strlen(*field) <= len_max ? 0 : fail_set(why, "08001", "%s must have at most %zu bytes", what, len_max);
}

static int
upstream_build(const struct draft *draft, struct fail *why)
{
	struct upstream *up = draft->up;

	if (build_hosts(draft, up, why) < 0 || build_target(draft, up, why) < 0 || build_protocol(draft, up, why) < 0 ||
	    complete_text("dbname", &up->dbname, NAME_LEN_MAX, why) < 0 ||
	    complete_text("user", &up->user, NAME_LEN_MAX, why) < 0 ||
	    complete_text("password", &up->password, PASSWORD_LEN_MAX, why) < 0)
		return -1;
	if (!value_is_plain(up->user) || !value_is_plain(up->dbname))
		return fail_set(why, "08001", "user and dbname must not contain control characters");
	if (up->settings == NULL)
		up->settings = xcalloc(1, sizeof(*up->settings));
	return up->is_of_tenant ? upstream_check_template(up, why) : 0;
}

static int
scan(const char *text, struct draft *draft, struct fail *why)
{
	const char *scheme = strstr(text, "://");

	if (strlen(text) > TEXT_LEN_MAX)
		return fail_set(why, "08001", "it is longer than %zu KiB", TEXT_LEN_MAX >> 10);
	if (upstream_is_uri(text))
		return upstream_scan_uri(text, draft->up->is_of_tenant, put_upstream_word, draft, why);
	if (scheme != NULL && text + strcspn(text, "= \t") > scheme)
		return fail_set(why, "08001", "a URI must begin with postgres:// or postgresql://");
	return upstream_scan_parameters(text, put_upstream_word, draft, why);
}

struct upstream *
upstream_parse(const char *text, bool is_of_tenant, struct fail *why)
{
	struct draft draft = { .up = xcalloc(1, sizeof(*draft.up)) };

	text += strspn(text, " \t");
	draft.up->is_of_tenant = is_of_tenant;
	if (scan(text, &draft, why) < 0 || (draft.unknown.count > 0 && refuse_unknown(&draft.unknown, why) < 0) ||
	    upstream_build(&draft, why) < 0) {
		upstream_free(draft.up);
		draft.up = NULL;
	}
	free(draft.host);
	free(draft.port);
	free(draft.target);
	free(draft.oldest);
	free(draft.newest);
	return draft.up;
}
