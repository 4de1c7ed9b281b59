/*
 * src/config/upstream_tls.h - how servers of a database use TLS: libpq's words in upstream, else [tls_server] with what
 * the database sets for itself. The words mean what they do in libpq ("SSL Support", 34.19).
 */
#pragma once

#include "config/config.h"

enum channel_binding { CHANNEL_BINDING_DISABLE, CHANNEL_BINDING_PREFER, CHANNEL_BINDING_REQUIRE };

/* Strings are borrowed from upstream and settings; empty: none. */
struct server_tls {
	enum tls_mode mode;
	const char *ca_file, *certificate_file, *key_file, *min_version;
	bool is_direct, sends_sni;
	enum channel_binding channel_binding;
};

/* Returns 0, or -1 with *why set (F0000) if settings contradict each other; out is filled even then. */
int server_tls_resolve(const struct upstream *upstream, const struct scope_settings *settings, struct server_tls *out,
		       struct fail *why);
/* Returns all of it as one string, for comparing, or NULL without memory. The caller frees it. */
char *server_tls_text(const struct server_tls *tls);
