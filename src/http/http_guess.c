/*
 * src/http/http_guess.c - see http_state.h.
 *
 * Checking a password may take the HTTP thread a second (PBKDF2, with as many rounds as the SCRAM secret says), and the
 * same thread answers /healthz. So a header that was right is recognized by its MAC; an address that has sent a wrong
 * password must wait, longer each time; and wrong passwords of all addresses together get at most a tenth of the
 * thread's time.
 */
#include "http/http_state.h"
#include "admission/admission_table.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define ADDRESSES_MAX 1024
#define DELAY_US (500 * US_PER_MS) /* after the first wrong password; twice as long after each further one */
#define DELAY_MAX_US (30 * US_PER_S)
#define COST_FACTOR 10 /* checks of wrong passwords take up to 1/10 of the thread's time */

int
http_guesses_init(struct http_guesses *g)
{
	uint64_t seed;

	memset(g, 0, sizeof(*g));
	if (RAND_bytes(g->key, sizeof(g->key)) != 1 || RAND_bytes((unsigned char *)&seed, sizeof(seed)) != 1)
		return -1;
	g->addresses = admission_table_new(seed, ADDRESSES_MAX);
	return 0;
}

void
http_guesses_fini(struct http_guesses *g)
{
	admission_table_free(g->addresses);
	OPENSSL_cleanse(g, sizeof(*g));
}

/* Writes the key under which failures are counted. Returns its length. An IPv6 /64 counts as one address, and so do all
 * Unix sockets. */
static size_t
write_key(const struct sockaddr *peer, uint8_t key[8])
{
	if (peer == NULL || (peer->sa_family != AF_INET && peer->sa_family != AF_INET6)) {
		key[0] = 'u';
		return 1;
	}
	return admission_address_key(peer, key);
}

enum http_proof
http_guesses_check(struct http_guesses *g, const struct users *users, const char *authorization,
		   const struct sockaddr *peer, uint64_t now_us, unsigned *wait_s)
{
	uint64_t begin_us = clock_now_us(), until_us;
	uint8_t mac[HTTP_MAC_LEN], key[8];
	size_t key_len = write_key(peer, key);
	struct admission_entry *e;
	bool is_known = false; /* true if this header was right before */

	if (authorization == NULL || HMAC(EVP_sha256(), g->key, sizeof(g->key), (const unsigned char *)authorization,
					  strlen(authorization), mac, NULL) == NULL)
		return HTTP_UNPROVED;
	for (unsigned i = 0; i < HTTP_PROVED_MAX && i < g->proved_count; i++)
		is_known |= CRYPTO_memcmp(g->proved[i], mac, HTTP_MAC_LEN) == 0;
	if (is_known)
		return HTTP_PROVED;
	/* An address's delay ends ADMISSION_FADE_US before its failures are forgotten. */
	e = admission_table_find(g->addresses, key, key_len);
	until_us = e == NULL || e->failures == 0 ? 0 : e->failures_forgotten_us - ADMISSION_FADE_US;
	until_us = until_us > g->none_before_us ? until_us : g->none_before_us;
	*wait_s = until_us > now_us ? (unsigned)((until_us - now_us + US_PER_S - 1) / US_PER_S) : 0;
	if (*wait_s > 0)
		return HTTP_TOO_SOON;
	if (http_is_authorized(users, authorization)) {
		memcpy(g->proved[g->proved_count++ % HTTP_PROVED_MAX], mac, HTTP_MAC_LEN);
		if (g->proved_count == 2 * HTTP_PROVED_MAX)
			g->proved_count = HTTP_PROVED_MAX;
		return HTTP_PROVED;
	}
	g->none_before_us = now_us + (clock_now_us() - begin_us) * COST_FACTOR;
	e = admission_table_find_or_add(g->addresses, key, key_len, now_us);
	if (e != NULL)
		admission_entry_count_failure(e, DELAY_US, DELAY_MAX_US, now_us);
	return HTTP_UNPROVED;
}
