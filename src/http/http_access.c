/*
 * src/http/http_access.c - which requests may see pages that are not open (pages with SQL and users' names).
 *
 * With [http] auth_file, a request must prove a name and password of that file (RFC 7617). Without auth_file, pgweir
 * must listen on a loopback address or a Unix socket, or the request must come from 127.0.0.1 or ::1 (in a container,
 * pgweir listens on all addresses). The request's Host, if any, must be an IP address or localhost: another site's name
 * may resolve to 127.0.0.1, and then the site's page could read ours in a browser (DNS rebinding).
 */
#include "http/http_state.h"
#include "auth/encoding.h"
#include "auth/scram.h"
#include "base/text.h"

#include <arpa/inet.h>

#define CREDENTIALS_MAX 512
#define DUMMY_SECRET                                                                                                   \
	"SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"                    \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

bool
http_is_loopback_peer(const struct sockaddr *peer)
{
	static const struct network here[] = { { AF_INET, { 127, 0, 0, 1 }, 32 }, { AF_INET6, { [15] = 1 }, 128 } };

	return peer != NULL && (network_contains(&here[0], peer) || network_contains(&here[1], peer));
}

static bool
matches_scram(const char *secret, const char *password)
{
	struct scram_verifier kept, made;
	struct fail why;
	bool is_right =
	    scram_verifier_parse(secret, &kept, &why) == 0 &&
	    scram_verifier_from_password(password, kept.salt, kept.salt_len, kept.iterations, &made, &why) == 0 &&
	    CRYPTO_memcmp(made.stored_key, kept.stored_key, SCRAM_KEY_LEN) == 0;

	OPENSSL_cleanse(&made, sizeof(made));
	return is_right;
}

static bool
is_right_password_of(const struct users *users, const char *name, const char *password)
{
	struct user_secret secret;

	if (!users_find(users, name, &secret)) {
		matches_scram(DUMMY_SECRET, password); /* so that this takes as long as for a name that exists */
		return false;
	}
	return secret.kind == SECRET_SCRAM ? matches_scram(secret.text, password)
					   : users_is_right_password(&secret, name, password);
}

bool
http_is_authorized(const struct users *users, const char *authorization)
{
	uint8_t pair[CREDENTIALS_MAX + 1];
	size_t len = 0;
	char *colon;
	bool is_right;

	if (authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0 ||
	    base64_decode(authorization + 6, strlen(authorization + 6), pair, CREDENTIALS_MAX, &len) < 0 ||
	    memchr(pair, '\0', len) != NULL)
		return false;
	pair[len] = '\0';
	colon = strchr((char *)pair, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	is_right = is_right_password_of(users, (char *)pair, colon + 1);
	OPENSSL_cleanse(pair, sizeof(pair));
	return is_right;
}

bool
http_host_is_ip_or_localhost(const char *host)
{
	char name[INET6_ADDRSTRLEN + 2];
	struct in6_addr any;
	size_t len;

	if (host == NULL || *host == '\0')
		return true; /* HTTP/1.0 and Unix sockets need no Host */
	len = *host == '[' ? strcspn(host, "]") : strcspn(host, ":");
	if (len == 9 && strncasecmp(host, "localhost", 9) == 0)
		return true;
	if (*host == '[') {
		host++;
		len--;
	}
	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}
