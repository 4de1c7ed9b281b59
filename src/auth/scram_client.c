/*
 * src/auth/scram_client.c - the client's side, for logging in to PostgreSQL: proves that we have the keys, and checks
 * that the server knows ServerKey, too. See scram.h, and scram_state.h for the four messages.
 *
 * The exchange pauses between the server's salt and our proof: the caller may have keys for that salt, or need
 * milliseconds to derive them.
 */

#include "auth/scram_state.h"
#include "base/buf.h"

#include <openssl/crypto.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof("c=,r=,p=") + SCRAM_BINDING_TEXT_MAX + SCRAM_NONCE_MAX + BASE64_LEN(SCRAM_KEY_LEN) <=
		  SCRAM_TEXT_MAX,
	      "the longest client-final must fit");

struct scram_client {
	enum scram_turn turn;
	struct scram_channel channel;
	enum scram_binding policy;
	char gs2_flag; /* as in scram_state.h */
	char user[64];
	char nonce[SCRAM_NONCE_MAX + 1]; /* our nonce; after the challenge, our nonce followed by the server's */
	size_t nonce_len;
	struct buf auth_message; /* the part of AuthMessage that is known so far */
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
	uint8_t server_signature[SCRAM_KEY_LEN]; /* the signature that the server must send */
};

struct scram_client *
scram_client_new(const struct scram_channel *channel, enum scram_binding policy, const char *user, const char *nonce)
{
	char random[SCRAM_OWN_NONCE_LEN + 1];
	struct scram_client *c;

	nonce = scram_make_nonce(nonce, random);
	if (nonce == NULL || strlen(user) >= sizeof(c->user) || strlen(nonce) >= SCRAM_NONCE_MAX ||
	    (c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->channel = *channel;
	c->policy = policy;
	c->gs2_flag = 'n';
	snprintf(c->user, sizeof(c->user), "%s", user);
	c->nonce_len = (size_t)snprintf(c->nonce, sizeof(c->nonce), "%s", nonce);
	c->auth_message.limit = SCRAM_AUTH_MESSAGE_MAX;
	return c;
}

void
scram_client_free(struct scram_client *c)
{
	if (c == NULL)
		return;
	buf_fini(&c->auth_message);
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
}

static bool
is_offered(const uint8_t *offer, size_t len, const char *mechanism)
{
	while (len > 0 && offer[0] != 0) {
		const uint8_t *end = memchr(offer, 0, len);

		if (end == NULL)
			return false;
		if (strcmp((const char *)offer, mechanism) == 0)
			return true;
		len -= (size_t)(end + 1 - offer);
		offer = end + 1;
	}
	return false;
}

const char *
scram_client_select(struct scram_client *c, const uint8_t *offer, size_t offer_len, struct fail *why)
{
	bool has_plus = is_offered(offer, offer_len, SCRAM_PLUS), has_plain = is_offered(offer, offer_len, SCRAM_PLAIN);
	bool can_bind = c->channel.is_tls && c->channel.end_point_len > 0 && c->policy != SCRAM_BINDING_DISABLE;

	if (c->turn != SCRAM_TURN_FIRST) {
		fail_set(why, "08P01", "SCRAM message out of turn");
	} else if (has_plus && can_bind) {
		c->gs2_flag = 'p';
		return SCRAM_PLUS;
	} else if (has_plus && !c->channel.is_tls) {
		fail_set(why, "28000", "the server offers SCRAM-SHA-256-PLUS over a connection without TLS");
		fail_detail(why, "It may not be the intended server, or something in between terminates TLS.");
	} else if (c->policy == SCRAM_BINDING_REQUIRE) {
		fail_set(why, "28000", "channel binding is required, but %s",
			 !c->channel.is_tls ? "the connection has no TLS"
			 : has_plus	    ? "the server's certificate has no hash to bind to"
					    : "the server does not offer it");
		fail_hint(why, "Set channel_binding=prefer, or make sure that the server has TLS, an RSA or ECDSA "
			       "certificate, and scram-sha-256 in its pg_hba.conf.");
	} else if (has_plain) {
		/* If can_bind, PLUS was not offered. After an offer, 'y' would look to the server like an attack. */
		c->gs2_flag = can_bind ? 'y' : 'n';
		return SCRAM_PLAIN;
	} else if (is_offered(offer, offer_len, "OAUTHBEARER")) {
		fail_set(why, "28000", "the server asks for an OAuth token (OAUTHBEARER), which pgweir does not have");
		fail_hint(why,
			  "Its pg_hba.conf has the method oauth for this user: use another one, as scram-sha-256, for "
			  "connections from pgweir.");
	} else
		fail_set(why, "28000", "the server offers no SASL mechanism that pgweir knows");
	c->turn = SCRAM_TURN_OVER;
	return NULL;
}

bool
scram_client_is_bound(const struct scram_client *c)
{
	return c->gs2_flag == 'p';
}

int
scram_client_first(struct scram_client *c, char out[static SCRAM_TEXT_MAX], struct fail *why)
{
	char header[SCRAM_GS2_MAX], binding[SCRAM_BINDING_TEXT_MAX];

	out[0] = '\0';
	if (scram_take_turn(&c->turn, SCRAM_TURN_FIRST, why) < 0)
		return -1;
	scram_binding_text(c->gs2_flag, &c->channel, header, binding);
	snprintf(out, SCRAM_TEXT_MAX, "%sn=%s,r=%s", header, c->user, c->nonce);
	buf_printf(&c->auth_message, "%s,", out + strlen(header));
	if (!buf_ok(&c->auth_message))
		return scram_fail_no_memory(why);
	c->turn = SCRAM_TURN_CHALLENGE;
	return 0;
}

/* Checks that `nonce` is our nonce followed by at least one character of the server's own, and keeps it in c->nonce. */
static int
take_whole_nonce(struct scram_client *c, struct scram_span nonce, struct fail *why)
{
	if (nonce.len > SCRAM_NONCE_MAX)
		return scram_fail_malformed(why, "The nonce is longer than %d characters.", SCRAM_NONCE_MAX);
	if (!scram_is_printable(nonce))
		return fail_set(why, "08P01", "non-printable characters in SCRAM nonce");
	if (nonce.len <= c->nonce_len || memcmp(nonce.text, c->nonce, c->nonce_len) != 0) {
		fail_set(why, "08P01", "invalid SCRAM response");
		return fail_detail(why, "Nonce does not match.");
	}
	memcpy(c->nonce, nonce.text, nonce.len);
	c->nonce[nonce.len] = '\0';
	c->nonce_len = nonce.len;
	return 0;
}

int
scram_client_challenge(struct scram_client *c, const char *in, size_t in_len, const uint8_t **salt, size_t *salt_len,
		       uint32_t *iterations, struct fail *why)
{
	struct scram_span rest = { in, in_len }, nonce, salt_text, count;

	if (scram_take_turn(&c->turn, SCRAM_TURN_CHALLENGE, why) < 0 || scram_check_text(in, in_len, why) < 0)
		return -1;
	if (in[0] == 'm')
		return fail_set(why, "0A000", "server requires an unsupported SCRAM extension");
	if (scram_take(&rest, 'r', &nonce, why) < 0 || take_whole_nonce(c, nonce, why) < 0 ||
	    scram_take(&rest, 's', &salt_text, why) < 0)
		return -1;
	if (base64_decode(salt_text.text, salt_text.len, c->salt, sizeof(c->salt), &c->salt_len) < 0 ||
	    c->salt_len == 0)
		return scram_fail_malformed(why, "Invalid salt.");
	if (scram_take(&rest, 'i', &count, why) < 0)
		return -1;
	if (scram_parse_count(count, SCRAM_ITERATIONS_MAX, &c->iterations) < 0)
		return scram_fail_malformed(why, "Invalid iteration count.");
	if (scram_skip_extensions(&rest, why) < 0)
		return -1;
	buf_put(&c->auth_message, in, in_len);
	buf_put_u8(&c->auth_message, ',');
	if (!buf_ok(&c->auth_message))
		return scram_fail_no_memory(why);
	*salt = c->salt;
	*salt_len = c->salt_len;
	*iterations = c->iterations;
	c->turn = SCRAM_TURN_FINAL;
	return 0;
}

/* Computes the proof from keys and AuthMessage, which is complete now, and the signature that the server must send. */
static int
make_proof(struct scram_client *c, const struct scram_keys *keys, uint8_t proof[static SCRAM_KEY_LEN], struct fail *why)
{
	const struct buf *text = &c->auth_message;
	uint8_t stored_key[SCRAM_KEY_LEN];
	bool is_made = scram_hash(keys->client_key, stored_key, why) == 0 &&
		       scram_hmac(stored_key, text->bytes, text->len, proof, why) == 0 &&
		       scram_hmac(keys->server_key, text->bytes, text->len, c->server_signature, why) == 0;

	if (is_made)
		scram_xor(proof, keys->client_key);
	OPENSSL_cleanse(stored_key, sizeof(stored_key));
	return is_made ? 0 : -1;
}

int
scram_client_final(struct scram_client *c, const struct scram_keys *keys, char out[static SCRAM_TEXT_MAX],
		   struct fail *why)
{
	char binding[SCRAM_BINDING_TEXT_MAX];
	uint8_t proof[SCRAM_KEY_LEN];
	int len;

	out[0] = '\0';
	if (scram_take_turn(&c->turn, SCRAM_TURN_FINAL, why) < 0)
		return -1;
	if (!scram_keys_match(keys, c->salt, c->salt_len, c->iterations))
		return fail_set(why, "28P01",
				"the SCRAM keys are for another salt or iteration count than the server's");
	scram_binding_text(c->gs2_flag, &c->channel, NULL, binding);
	len = snprintf(out, SCRAM_TEXT_MAX, "c=%s,r=%s", binding, c->nonce);
	buf_put(&c->auth_message, out, (size_t)len);
	if (!buf_ok(&c->auth_message))
		return scram_fail_no_memory(why);
	if (make_proof(c, keys, proof, why) < 0) {
		out[0] = '\0';
		return -1;
	}
	memcpy(out + len, ",p=", 3);
	base64_encode(proof, SCRAM_KEY_LEN, out + len + 3);
	c->turn = SCRAM_TURN_VERIFY;
	return 0;
}

int
scram_client_verify(struct scram_client *c, const char *in, size_t in_len, struct fail *why)
{
	struct scram_span rest = { in, in_len }, value;
	uint8_t signature[SCRAM_KEY_LEN];
	bool is_refused;
	char reason[64];

	if (scram_take_turn(&c->turn, SCRAM_TURN_VERIFY, why) < 0 || scram_check_text(in, in_len, why) < 0)
		return -1;
	is_refused = in[0] == 'e';
	if (scram_take(&rest, is_refused ? 'e' : 'v', &value, why) < 0)
		return -1;
	if (is_refused) {
		scram_copy_printable(value, ' ', reason, sizeof(reason));
		return fail_set(why, "28P01", "the server refused the SCRAM login: %s", reason);
	}
	if (scram_decode_key(value.text, value.len, signature) < 0)
		return scram_fail_malformed(why, "Invalid server signature.");
	if (scram_skip_extensions(&rest, why) < 0)
		return -1;
	if (CRYPTO_memcmp(signature, c->server_signature, SCRAM_KEY_LEN) != 0)
		return fail_set(why, "28000", "incorrect server signature: the server does not know this user's keys");
	return 0;
}
