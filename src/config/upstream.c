/* src/config/upstream.c - copies, compares and frees upstreams, and writes their text. upstream_parse.c reads them. */
#include "config/upstream.h"
#include "base/alloc.h"
#include "base/text.h"
#include "config/config_value.h"

const char *const upstream_target_names[] = { "any",	 "read-write",	   "read-only", "primary",
					      "standby", "prefer-standby", NULL };

const char *
upstream_word_name(enum upstream_keyword word)
{
	static const char *const names[UPSTREAM_KEYWORD_COUNT] = {
		"sslmode",	   "sslrootcert",	 "sslcert",    "sslkey",	"sslnegotiation", "sslsni",
		"channel_binding", "load_balance_hosts", "krbsrvname", "connect_query", "zones"
	};

	return word < UPSTREAM_KEYWORD_COUNT ? names[word] : NULL;
}

const char *
upstream_protocol_name(uint16_t minor)
{
	return minor == 0 ? "3.0" : "3.2";
}

/* Returns false if there is no memory; *to then has the settings that were copied before. */
static bool
copy_settings(char ***to, char *const *from)
{
	size_t count = 0;
	bool is_whole = true;

	while (from[count] != NULL)
		count++;
	*to = calloc(count + 1, sizeof(**to));
	for (size_t i = 0; i < count && *to != NULL && is_whole; i++)
		is_whole = ((*to)[i] = strdup(from[i])) != NULL;
	return *to != NULL && is_whole;
}

struct upstream *
upstream_copy(const struct upstream *up)
{
	struct upstream *copy = calloc(1, sizeof(*copy));
	bool is_whole = copy != NULL && (copy->hosts = calloc(up->host_count, sizeof(*copy->hosts))) != NULL &&
			(copy->dbname = strdup(up->dbname)) != NULL && (copy->user = strdup(up->user)) != NULL &&
			(copy->password = strdup(up->password)) != NULL && copy_settings(&copy->settings, up->settings);

	for (int i = 0; i < UPSTREAM_KEYWORD_COUNT && is_whole; i++)
		is_whole =
		    up->keyword_values[i] == NULL || (copy->keyword_values[i] = strdup(up->keyword_values[i])) != NULL;
	if (!is_whole) {
		upstream_free(copy);
		return NULL;
	}
	memcpy(copy->hosts, up->hosts, up->host_count * sizeof(*copy->hosts));
	copy->host_count = up->host_count;
	copy->target = up->target;
	copy->is_of_tenant = up->is_of_tenant;
	copy->min_minor = up->min_minor;
	copy->max_minor = up->max_minor;
	return copy;
}

const char *
upstream_zone(const struct upstream *up, size_t host, size_t *len)
{
	const char *at = up->keyword_values[UPSTREAM_ZONES] != NULL ? up->keyword_values[UPSTREAM_ZONES] : "";

	for (; host > 0 && *at != '\0'; host--)
		at += strcspn(at, ",") + 1;
	*len = strcspn(at, ",");
	return at;
}

bool
upstream_is_in_zone(const struct upstream *up, size_t host, const char *zone)
{
	size_t len;
	const char *of = upstream_zone(up, host, &len);

	return len > 0 && len == strlen(zone) && memcmp(of, zone, len) == 0;
}

struct upstream
upstream_of_host(const struct upstream *up, size_t host)
{
	struct upstream one = *up;

	one.hosts += host;
	one.host_count = 1;
	one.target = TARGET_ANY;
	one.keyword_values[UPSTREAM_ZONES] = NULL;
	return one;
}

bool
upstream_equal(const struct upstream *a, const struct upstream *b)
{
	size_t i = 0;

	if (a->host_count != b->host_count || a->target != b->target || a->is_of_tenant != b->is_of_tenant ||
	    a->min_minor != b->min_minor || a->max_minor != b->max_minor || strcmp(a->dbname, b->dbname) != 0 ||
	    strcmp(a->user, b->user) != 0 || strcmp(a->password, b->password) != 0)
		return false;
	for (i = 0; i < a->host_count; i++)
		if (strcmp(a->hosts[i].host, b->hosts[i].host) != 0 || a->hosts[i].port != b->hosts[i].port)
			return false;
	for (i = 0; i < UPSTREAM_KEYWORD_COUNT; i++)
		if (i != UPSTREAM_ZONES && (a->keyword_values[i] == NULL || b->keyword_values[i] == NULL
						? a->keyword_values[i] != b->keyword_values[i]
						: strcmp(a->keyword_values[i], b->keyword_values[i]) != 0))
			return false;
	for (i = 0; a->settings[i] != NULL && b->settings[i] != NULL; i++)
		if (strcmp(a->settings[i], b->settings[i]) != 0)
			return false;
	return a->settings[i] == b->settings[i]; /* both NULL */
}

bool
upstream_is_same_cluster(const struct upstream *a, const struct upstream *b)
{
	for (size_t i = 0; i < a->host_count; i++)
		for (size_t k = 0; k < b->host_count; k++)
			if (b->hosts[k].port == a->hosts[i].port && strcmp(b->hosts[k].host, a->hosts[i].host) == 0)
				return true;
	return false;
}

void
upstream_free(struct upstream *up)
{
	if (up == NULL)
		return;
	free(up->hosts);
	free(up->dbname);
	free(up->user);
	secret_free(up->password);
	for (int i = 0; i < UPSTREAM_KEYWORD_COUNT; i++)
		free(up->keyword_values[i]);
	for (char **text = up->settings; text != NULL && *text != NULL; text++)
		free(*text);
	free(up->settings);
	free(up);
}

/* Appends name=value, in quotes if needed. Escapes a semicolon in quotes, because " ;" would begin a comment. */
static void
put_pair(struct buf *to, const char *name, const char *value)
{
	bool is_quoted = *value == '\0' || value[strcspn(value, " \t'\\")] != '\0';

	buf_printf(to, "%s%s=%s", to->len > 0 ? " " : "", name, is_quoted ? "'" : "");
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\' || (*value == ';' && is_quoted))
			buf_put_u8(to, '\\');
		buf_put_u8(to, (uint8_t)*value);
	}
	if (is_quoted)
		buf_put_u8(to, '\'');
}

char *
upstream_text(const struct upstream *up, bool hides_connect_query)
{
	struct buf text = { 0 }, list = { 0 };
	size_t port_count = 1;

	/* Writes host=a,b and port=1,2, but only one port if all ports are equal. */
	for (size_t i = 0; i < up->host_count; i++) {
		buf_printf(&list, "%s%s", i > 0 ? "," : "", up->hosts[i].host);
		if (up->hosts[i].port != up->hosts[0].port)
			port_count = up->host_count;
	}
	put_pair(&text, "host", value_put_end(&list));
	buf_fini(&list);
	for (size_t i = 0; i < port_count; i++)
		buf_printf(&text, "%s%u", i > 0 ? "," : " port=", up->hosts[i].port);
	if (up->dbname[0] != '\0')
		put_pair(&text, "dbname", up->dbname);
	if (up->user[0] != '\0')
		put_pair(&text, "user", up->user);
	if (up->password[0] != '\0')
		put_pair(&text, "password", "***");
	if (up->target != TARGET_ANY)
		put_pair(&text, "target_session_attrs", upstream_target_names[up->target]);
	for (unsigned i = 0; i < UPSTREAM_KEYWORD_COUNT; i++)
		if (up->keyword_values[i] != NULL)
			put_pair(&text, upstream_word_name((enum upstream_keyword)i),
				 hides_connect_query && i == UPSTREAM_CONNECT_QUERY ? "***" : up->keyword_values[i]);
	if (up->min_minor != 0)
		put_pair(&text, "min_protocol_version", upstream_protocol_name(up->min_minor));
	if (up->max_minor != 0)
		put_pair(&text, "max_protocol_version", upstream_protocol_name(up->max_minor));
	for (char **pair = up->settings; *pair != NULL; pair += 2)
		put_pair(&text, pair[0], pair[1]);
	buf_put_u8(&text, '\0');
	return alloc_check(buf_ok(&text) ? text.bytes : NULL); /* the caller owns the text now */
}
