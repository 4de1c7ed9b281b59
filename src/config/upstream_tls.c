#include "config/config.h"

#include <string.h>

static const char *
keyword_value_or(const struct upstream *upstream, enum upstream_keyword word, const char *otherwise)
{
	return upstream->keyword_values[word] != NULL ? upstream->keyword_values[word]
	       : otherwise != NULL		      ? otherwise
						      : "";
}

/* Returns the mode that sslmode names or, without sslmode, the setting's mode. As in libpq, sslrootcert raises require
 * to verify-ca, and sslrootcert=system without sslmode means verify-full. */
static enum tls_mode
mode_of(const struct upstream *upstream, const struct scope_settings *settings)
{
	static const char *const modes[] = {
		"disable", "allow", "prefer", "require", "verify-ca", "verify-full"
	}; /* in the order of enum tls_mode */
	const char *word = upstream->keyword_values[UPSTREAM_SSLMODE],
		   *root = upstream->keyword_values[UPSTREAM_SSLROOTCERT];
	enum tls_mode mode = settings->server_tls_mode;

	for (size_t i = 0; word != NULL && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(word, modes[i]) == 0)
			mode = (enum tls_mode)i;
	if (root == NULL)
		return mode;
	if (word == NULL && strcmp(root, "system") == 0)
		return TLS_VERIFY_FULL;
	return mode == TLS_REQUIRE ? TLS_VERIFY_CA : mode;
}

static bool
is_remote(const struct upstream *upstream)
{
	for (size_t i = 0; i < upstream->host_count; i++)
		if (upstream->hosts[i].host[0] != '/')
			return true;
	return false;
}

int
server_tls_resolve(const struct upstream *upstream, const struct scope_settings *settings, struct server_tls *out,
		   struct fail *why)
{
	const char *binding = keyword_value_or(upstream, UPSTREAM_CHANNEL_BINDING, "prefer");

	memset(out, 0, sizeof(*out));
	out->mode = mode_of(upstream, settings);
	out->ca_file = keyword_value_or(upstream, UPSTREAM_SSLROOTCERT, settings->server_tls_ca_file);
	out->certificate_file = keyword_value_or(upstream, UPSTREAM_SSLCERT, settings->server_tls_certificate_file);
	out->key_file = keyword_value_or(upstream, UPSTREAM_SSLKEY, settings->server_tls_key_file);
	out->min_version = settings->server_tls_min_version != NULL ? settings->server_tls_min_version : "";
	out->is_direct = strcmp(keyword_value_or(upstream, UPSTREAM_SSLNEGOTIATION, settings->server_tls_negotiation),
				"direct") == 0;
	out->sends_sni = strcmp(keyword_value_or(upstream, UPSTREAM_SSLSNI, "1"), "1") == 0;
	out->channel_binding = strcmp(binding, "require") == 0	 ? CHANNEL_BINDING_REQUIRE
			       : strcmp(binding, "disable") == 0 ? CHANNEL_BINDING_DISABLE
								 : CHANNEL_BINDING_PREFER;
	if (out->mode == TLS_OFF || !is_remote(upstream))
		return 0;
	if (upstream->keyword_values[UPSTREAM_SSLROOTCERT] != NULL && strcmp(out->ca_file, "system") == 0 &&
	    out->mode != TLS_VERIFY_FULL)
		return fail_set(why, "F0000",
				"sslrootcert=system needs sslmode=verify-full: anybody can get a certificate "
				"from those authorities");
	if (out->is_direct && out->mode < TLS_REQUIRE)
		return fail_set(why, "F0000", "direct TLS needs a mode of require or better");
	if (out->mode >= TLS_VERIFY_CA && out->ca_file[0] == '\0')
		return fail_set(why, "F0000", "verify-ca and verify-full need ca_file or sslrootcert");
	if (out->key_file[0] != '\0' && out->certificate_file[0] == '\0')
		return fail_set(why, "F0000", "there is a key for PostgreSQL, but no certificate");
	return 0;
}

char *
server_tls_text(const struct server_tls *tls)
{
	char *text;

	return asprintf(&text, "%d %d %d %d %s\n%s\n%s\n%s", (int)tls->mode, tls->is_direct, tls->sends_sni,
			(int)tls->channel_binding, tls->min_version, tls->ca_file, tls->certificate_file,
			tls->key_file) < 0
		   ? NULL
		   : text;
}
