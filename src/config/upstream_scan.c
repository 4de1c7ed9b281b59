/*
 * src/config/upstream_scan.c - see upstream.h. Errors say where a mistake is, but don't quote it, because it may be
 * part of a password.
 */
#include "config/upstream.h"
#include "base/alloc.h"
#include "base/text.h"

static const char *
upstream_skip_blanks(const char *at)
{
	while (is_space(*at))
		at++;
	return at;
}

/* --- keywords and values ------------------------------------------------------------------------------------ */

/* Copies the value at *at to out, which has room for the whole text, and moves *at after the value. Returns -1 if there
 * is no closing quote. */
static int
read_value(const char **at, char *out)
{
	const char *p = *at;
	bool is_quoted = *p == '\'';

	if (is_quoted)
		p++;
	while (*p != '\0' && (is_quoted || !is_space(*p))) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (is_quoted && *p == '\'' && *++p != '\'') {
			is_quoted = false;
			break;
		}
		*out++ = *p++;
	}
	*out = '\0';
	*at = p;
	return is_quoted ? -1 : 0;
}

/* Reads name = value, passes the pair to put(), and moves *at after the pair. `value` has room for the whole text. */
static int
scan_parameter(const char **at, const char *text, char *value, upstream_on_parameter put, void *arg, struct fail *why)
{
	char name[UPSTREAM_NAME_MAX + 1];
	const char *begin = *at, *equals;
	size_t len = strcspn(begin, "= \t\n\v\f\r");
	size_t place = (size_t)(begin - text) + 1;

	equals = upstream_skip_blanks(begin + len);
	if (*equals != '=') {
		fail_set(why, "08001", "the parameter at byte %zu has no \"=\"", place);
		return fail_hint(why, "%s",
				 place == 1 ? "Write host=db1 port=5432 dbname=app, or postgres://user@db1:5432/app."
					    : "Put a value with blanks in single quotes.");
	}
	if (len == 0 || len > UPSTREAM_NAME_MAX)
		return fail_set(why, "08001", "the parameter at byte %zu has no valid name", place);
	memcpy(name, begin, len);
	name[len] = '\0';
	*at = upstream_skip_blanks(equals + 1);
	if (read_value(at, value) < 0)
		return fail_set(why, "08001", "the quote after %s= has no end", name);
	return put(arg, name, value, why) == 0 ? 0 : -1;
}

int
upstream_scan_parameters(const char *text, upstream_on_parameter put, void *arg, struct fail *why)
{
	size_t size = strlen(text) + 1;
	char *value = xmalloc(size);
	const char *at;
	int rc = 0;

	for (at = upstream_skip_blanks(text); rc == 0 && *at != '\0'; at = upstream_skip_blanks(at))
		rc = scan_parameter(&at, text, value, put, arg, why);
	OPENSSL_cleanse(value, size);
	free(value);
	return rc;
}

/* --- URI ------------------------------------------------------------------------------------------------------ */

struct uri_scan {
	upstream_on_parameter put;
	void *arg;
	char *scratch; /* room for the whole text */
	bool is_template;
};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int
decode(const struct uri_scan *scan, const char *from, size_t len, char *out, struct fail *why)
{
	for (size_t i = 0; i < len; i++) {
		char c = from[i];

		if (c == '%' && !(scan->is_template && i + 1 < len && from[i + 1] == '{')) {
			int high = i + 2 < len ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(from[i + 2]) : -1;

			if (high < 0 || low < 0) {
				fail_set(why, "08001", "a %% must be followed by two hexadecimal digits");
				return fail_hint(why, "Write %%25 for a percent sign itself.");
			}
			c = (char)(high << 4 | low);
			if (c == '\0')
				return fail_set(why, "08001", "%%00 is not allowed");
			i += 2;
		}
		*out++ = c;
	}
	*out = '\0';
	return 0;
}

/* Decodes a value, and passes it to put(). Ignores an empty value; libpq does so except for parameters after the ?. */
static int
put_decoded(struct uri_scan *scan, const char *name, const char *from, size_t len, struct fail *why)
{
	if (len == 0)
		return 0;
	if (decode(scan, from, len, scan->scratch, why) < 0)
		return -1;
	return scan->put(scan->arg, name, scan->scratch, why) == 0 ? 0 : -1;
}

/* If there is an @ before the first slash, reads user:password@, and moves *at after the @. */
static int
scan_user(struct uri_scan *scan, const char **at, struct fail *why)
{
	const char *begin = *at, *end = begin + strcspn(begin, "@/"), *colon;

	if (*end != '@')
		return 0;
	*at = end + 1;
	colon = memchr(begin, ':', (size_t)(end - begin));
	if (put_decoded(scan, "user", begin, (size_t)((colon != NULL ? colon : end) - begin), why) < 0)
		return -1;
	return colon != NULL ? put_decoded(scan, "password", colon + 1, (size_t)(end - colon) - 1, why) : 0;
}

/* Reads a host, and its port if any. Moves *at past the text read, and *hosts and *ports past the text written. */
static int
scan_host(const char **at, char **hosts, char **ports, struct fail *why)
{
	const char *p = *at;
	size_t len;

	if (*p == '[') {
		len = strcspn(++p, "]/?");
		if (len == 0 || p[len] != ']')
			return fail_set(why, "08001", "an IPv6 address must end with ]");
	} else
		len = strcspn(p, ":/?,");
	memcpy(*hosts, p, len);
	*hosts += len;
	p += len + (**at == '[');
	if (*p == ':') {
		len = strcspn(++p, "/?,");
		memcpy(*ports, p, len);
		*ports += len;
		p += len;
	}
	if (*p != '\0' && strchr("/?,", *p) == NULL)
		return fail_set(why, "08001", "after the ] of an IPv6 address only :port may follow");
	*at = p;
	return 0;
}

/* Splits host:port,host:port into two lists with commas, hosts and ports, and passes them to put(). */
static int
scan_hosts(struct uri_scan *scan, const char **at, struct fail *why)
{
	size_t size = strlen(*at) + 1;
	char *hosts = xmalloc(size), *ports = xmalloc(size), *hosts_end = hosts, *ports_end = ports;
	int rc = -1;

	for (;;) {
		if (scan_host(at, &hosts_end, &ports_end, why) < 0)
			goto done;
		if (**at != ',')
			break;
		++*at;
		*hosts_end++ = ',';
		*ports_end++ = ',';
	}
	*ports_end = '\0';
	if (put_decoded(scan, "host", hosts, (size_t)(hosts_end - hosts), why) < 0)
		goto done;
	/* If `ports` has only commas, no host had a port. */
	rc = ports[strspn(ports, ",")] == '\0' ? 0 : put_decoded(scan, "port", ports, (size_t)(ports_end - ports), why);
done:
	free(hosts);
	free(ports);
	return rc;
}

/* Reads name=value&name=value. */
static int
scan_uri_parameters(struct uri_scan *scan, const char *at, struct fail *why)
{
	char name[UPSTREAM_NAME_MAX + 1];

	while (*at != '\0') {
		size_t len = strcspn(at, "&"), name_len = strcspn(at, "=&");

		if (name_len == len || memchr(at + name_len + 1, '=', len - name_len - 1) != NULL)
			return fail_set(why, "08001", "after the ? each parameter is name=value, with & between them");
		if (name_len == 0 || name_len > UPSTREAM_NAME_MAX)
			return fail_set(why, "08001", "a parameter after the ? has no valid name");
		if (decode(scan, at, name_len, name, why) < 0 ||
		    put_decoded(scan, name, at + name_len + 1, len - name_len - 1, why) < 0)
			return -1;
		at += len;
		at += *at == '&';
	}
	return 0;
}

static size_t
scheme_len(const char *text)
{
	static const char *const schemes[] = { "postgresql", "postgres" };
	size_t len;

	for (size_t i = 0; i < 2; i++) {
		len = strlen(schemes[i]);
		if (strncmp(text, schemes[i], len) != 0)
			continue;
		if (text[len] == '+') /* SQLAlchemy writes +psycopg2 or +asyncpg here */
			len += 1 + strspn(text + len + 1, "abcdefghijklmnopqrstuvwxyz0123456789_");
		return strncmp(text + len, "://", 3) == 0 ? len + 3 : 0;
	}
	return 0;
}

bool
upstream_is_uri(const char *text)
{
	return scheme_len(text) > 0;
}

static int
scan_parts(struct uri_scan *scan, const char *at, struct fail *why)
{
	size_t len;

	if (scan_user(scan, &at, why) < 0)
		return -1;
	if (memchr(at, '@', strcspn(at, "?")) != NULL) {
		fail_set(why, "08001", "there is an @ where only host, port and database may be");
		return fail_hint(why,
				 "In a user's name or password write %%40 for @, %%2F for /, %%3A for :, %%25 for %%.");
	}
	if (scan_hosts(scan, &at, why) < 0)
		return -1;
	if (*at == '/') {
		len = strcspn(++at, "?");
		if (put_decoded(scan, "dbname", at, len, why) < 0)
			return -1;
		at += len;
	}
	return *at == '?' ? scan_uri_parameters(scan, at + 1, why) : 0;
}

int
upstream_scan_uri(const char *text, bool is_template, upstream_on_parameter put, void *arg, struct fail *why)
{
	size_t size = strlen(text) + 1;
	struct uri_scan scan = { put, arg, xmalloc(size), is_template };
	int rc;

	rc = scan_parts(&scan, text + scheme_len(text), why);
	OPENSSL_cleanse(scan.scratch, size);
	free(scan.scratch);
	return rc;
}
