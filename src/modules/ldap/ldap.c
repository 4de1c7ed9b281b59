/* src/modules/ldap/ldap.c - the options of LDAP authentication, and its struct auth_module. See ldap.h. */
#include "modules/ldap/ldap.h"
#include "base/alloc.h"
#include "base/text.h"

#include <ldap.h>

#define FILTER_SPECIALS "*()\\"
#define NAME_SPECIALS ",+\"\\<>;=# "

/* --- Names of users. --- */

/* Writes value, with each control character and each byte in `specials` as a backslash and two hexadecimal digits. */
static void
put_escaped(struct buf *to, const char *value, const char *specials)
{
	for (; *value != '\0'; value++)
		if ((unsigned char)*value < 0x20 || strchr(specials, *value) != NULL)
			buf_printf(to, "\\%02x", (unsigned)(unsigned char)*value);
		else
			buf_put_u8(to, (uint8_t)*value);
}

void
ldap_put_filter(const struct ldap_settings *s, const char *user, struct buf *to)
{
	const char *at = s->filter, *next;

	if (at == NULL) {
		buf_printf(to, "(%s=", s->attribute != NULL ? s->attribute : "uid");
		put_escaped(to, user, FILTER_SPECIALS);
		buf_put_u8(to, ')');
		return;
	}
	for (; (next = strstr(at, LDAP_PLACEHOLDER)) != NULL; at = next + strlen(LDAP_PLACEHOLDER)) {
		buf_put(to, at, (size_t)(next - at));
		put_escaped(to, user, FILTER_SPECIALS);
	}
	buf_put(to, at, strlen(at));
}

/* If the prefix begins a distinguished name ("uid="), the special characters of the user's name are escaped. With a
 * prefix like "DOMAIN\", or only a suffix like "@example.com", only control characters are escaped. */
void
ldap_put_name(const struct ldap_settings *s, const char *user, struct buf *to)
{
	bool is_value = s->prefix != NULL && strchr(s->prefix, '=') != NULL;

	buf_printf(to, "%s", s->prefix != NULL ? s->prefix : "");
	put_escaped(to, user, is_value ? NAME_SPECIALS : "");
	buf_printf(to, "%s", s->suffix != NULL ? s->suffix : "");
}

/* --- Options. --- */

void
ldap_settings_free(void *settings)
{
	struct ldap_settings *s = settings;

	if (s == NULL)
		return;
	free(s->server);
	free(s->scheme);
	free(s->prefix);
	free(s->suffix);
	free(s->base_dn);
	free(s->bind_dn);
	secret_free(s->bind_password);
	free(s->attribute);
	free(s->filter);
	free(s->uris);
	free(s);
}

static void
replace(char **text, const char *with)
{
	if (with == NULL)
		return;
	secret_free(*text);
	*text = xstrdup(with);
}

static int
take_url(struct ldap_settings *s, const char *value, struct fail *why)
{
	LDAPURLDesc *url;
	bool is_ours;

	if (ldap_url_parse(value, &url) != LDAP_SUCCESS)
		return fail_set(why, "F0000",
				"ldapurl=%.150s: not an LDAP URL (ldap://host:port/base?attribute?scope?filter)",
				value);
	is_ours = strcmp(url->lud_scheme, "ldap") == 0 || strcmp(url->lud_scheme, "ldaps") == 0;
	if (is_ours) {
		replace(&s->scheme, url->lud_scheme);
		replace(&s->server, url->lud_host);
		replace(&s->base_dn, url->lud_dn);
		replace(&s->attribute, url->lud_attrs != NULL ? url->lud_attrs[0] : NULL);
		replace(&s->filter, url->lud_filter);
		s->port = (unsigned)url->lud_port;
		s->scope = url->lud_scope;
		s->is_scope_set = true;
	}
	ldap_free_urldesc(url);
	return is_ours ? 0 : fail_set(why, "F0000", "ldapurl=%.150s: use ldap:// or ldaps://", value);
}

static int
take_port(struct ldap_settings *s, const char *value, struct fail *why)
{
	char *end;
	unsigned long port = *value >= '0' && *value <= '9' ? strtoul(value, &end, 10) : 0;

	if (port == 0 || port > 65535 || *end != '\0')
		return fail_set(why, "F0000", "ldapport=%.100s: use a number from 1 to 65535", value);
	s->port = (unsigned)port;
	return 0;
}

int
ldap_configure_option(void *settings, const char *name, const char *value, struct fail *why)
{
	struct ldap_settings *s = settings;
	struct {
		const char *name;
		char **text;
	} const texts[] = {
		{ "ldapserver", &s->server },
		{ "ldapscheme", &s->scheme },
		{ "ldapprefix", &s->prefix },
		{ "ldapsuffix", &s->suffix },
		{ "ldapbasedn", &s->base_dn },
		{ "ldapbinddn", &s->bind_dn },
		{ "ldapbindpasswd", &s->bind_password },
		{ "ldapsearchattribute", &s->attribute },
		{ "ldapsearchfilter", &s->filter },
	};

	if (strcmp(name, "ldapurl") == 0)
		return take_url(s, value, why);
	if (strcmp(name, "ldapport") == 0)
		return take_port(s, value, why);
	if (strcmp(name, "ldaptls") == 0 && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return fail_set(why, "F0000", "ldaptls=%.100s: use 0 or 1", value);
	if (strcmp(name, "ldaptls") == 0) {
		s->starts_tls = *value == '1';
		return 0;
	}
	if (strcmp(name, "ldapscheme") == 0 && strcmp(value, "ldap") != 0 && strcmp(value, "ldaps") != 0)
		return fail_set(why, "F0000", "ldapscheme=%.100s: use ldap or ldaps", value);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(name, texts[i].name) == 0) {
			replace(texts[i].text, value);
			return 0;
		}
	return fail_set(why, "F0000", "option \"%.100s\" is not one of ldap's", name);
}

/* --- All options together. --- */

static bool
is_ldaps(const struct ldap_settings *s)
{
	return s->scheme != NULL && strcmp(s->scheme, "ldaps") == 0;
}

/* Returns the next host of a list whose separators are blanks, and sets *len to its length. Returns NULL if there is
 * none. */
static const char *
next_host(const char **list, size_t *len)
{
	const char *host = *list + strspn(*list, " ");

	*len = strcspn(host, " ");
	*list = host + *len;
	return *len > 0 ? host : NULL;
}

bool
ldap_sends_clear_text(const struct ldap_settings *s)
{
	const char *at = s->server, *host;
	size_t len;

	if (s->starts_tls || is_ldaps(s))
		return false;
	while (at != NULL && (host = next_host(&at, &len)) != NULL)
		if (!text_is_loopback(host, len) && (len != 5 || memcmp(host, "[::1]", len) != 0))
			return true;
	return at == NULL;
}

/* Makes s->uris. An IPv6 address without brackets gets them. */
static void
make_uris(struct ldap_settings *s)
{
	const char *scheme = is_ldaps(s) ? "ldaps" : "ldap", *at = s->server, *host;
	size_t len;

	if (s->port == 0)
		s->port = is_ldaps(s) ? 636 : 389;
	if (at == NULL) {
		s->uris = xasprintf("%s:///%s", scheme, s->base_dn);
		return;
	}
	while ((host = next_host(&at, &len)) != NULL) {
		bool is_bare = host[0] != '[' && memchr(host, ':', len) != NULL;
		char *before = s->uris;

		s->uris = xasprintf("%s%s%s://%s%.*s%s:%u", before != NULL ? before : "", before != NULL ? " " : "",
				    scheme, is_bare ? "[" : "", (int)len, host, is_bare ? "]" : "", s->port);
		free(before);
	}
}

int
ldap_finish_options(void *settings, struct fail *why)
{
	struct ldap_settings *s = settings;
	bool is_simple = s->prefix != NULL || s->suffix != NULL;

	if (is_simple && (s->base_dn != NULL || s->bind_dn != NULL || s->bind_password != NULL ||
			  s->attribute != NULL || s->filter != NULL))
		return fail_set(why, "F0000",
				"ldapprefix and ldapsuffix cannot be used with ldapbasedn, ldapbinddn, ldapbindpasswd, "
				"ldapsearchattribute, ldapsearchfilter or an ldapurl that has these");
	if (!is_simple && s->base_dn == NULL)
		return fail_set(why, "F0000", "ldap needs ldapbasedn, ldapprefix or ldapsuffix");
	if (s->attribute != NULL && s->filter != NULL)
		return fail_set(why, "F0000", "ldapsearchattribute cannot be used with ldapsearchfilter");
	if (s->server != NULL && s->server[strspn(s->server, " ")] == '\0') {
		free(s->server);
		s->server = NULL;
	}
	if (s->server == NULL && s->base_dn == NULL)
		return fail_set(why, "F0000", "ldap needs ldapserver, or ldapbasedn to find servers in DNS");
	if (s->starts_tls && is_ldaps(s))
		return fail_set(why, "F0000", "ldaptls=1 is for ldapscheme=ldap: ldaps has TLS from the first byte");
	if (!s->is_scope_set)
		s->scope = LDAP_SCOPE_SUBTREE;
	make_uris(s);
	return 0;
}

/* --- What the core knows. --- */

static void *
options_new(void)
{
	return xcalloc(1, sizeof(struct ldap_settings));
}

static void
warn(const void *options, void (*say)(void *arg, const char *text), void *arg)
{
	const struct ldap_settings *s = options;

	if (ldap_sends_clear_text(s))
		say(arg, "passwords travel to the LDAP server in clear text: use ldaptls=1 or ldapscheme=ldaps");
	if (s->filter != NULL && strstr(s->filter, LDAP_PLACEHOLDER) == NULL)
		say(arg, "ldapsearchfilter has no " LDAP_PLACEHOLDER
			 ": the password of the entry that it finds lets clients log in as anybody");
}

static bool
holds_secret(const char *setting)
{
	return strstr(setting, "ldapbindpasswd") != NULL;
}

static const char *
service_name(const void *options, const char *setting)
{
	const struct ldap_settings *s = options;

	return s->uris;
}

const struct auth_module auth_module_ldap = { .title = "LDAP",
					      .rule = "ldap %s",
					      .options_new = options_new,
					      .option = ldap_configure_option,
					      .finish_options = ldap_finish_options,
					      .warn = warn,
					      .options_free = ldap_settings_free,
					      .holds_secret = holds_secret,
					      .service_name = service_name,
					      .judge_proof = ldap_judge };
