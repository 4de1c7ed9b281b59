/* src/setup/client_tls.c - the certificates and keys of [tls_client]. */
#include "setup/setup.h"

#include <stddef.h>

int
setup_load_tls(const struct config *c, struct tls_context **out, struct fail *why)
{
	struct tls_accept_settings s = { .certificate_files = c->tls_certificate_file,
					 .key_files = c->tls_key_file,
					 .ca_file = c->tls_ca_file,
					 .crl_file = c->tls_crl_file,
					 .min_version = c->tls_min_version,
					 .ciphers = c->tls_ciphers,
					 .tls13_ciphers = c->tls13_ciphers,
					 .asks_certificate = c->tls_ca_file[0] != '\0',
					 .needs_certificate = c->tls_mode >= TLS_VERIFY_CA };

	*out = NULL;
	if (c->tls_mode == TLS_OFF || c->tls_certificate_file[0] == '\0')
		return 0;
	*out = tls_accept_context(&s, why);
	return *out == NULL ? -1 : 0;
}
