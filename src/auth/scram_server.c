/*
 * src/auth/scram_server.c - the server's side: checks a client's proof, and computes from the proof the keys for
 * logging in to PostgreSQL. See scram.h, and scram_state.h for the four messages.
 *
 * A right proof, XORed with the signature, is the client's ClientKey, whose hash must be our StoredKey. A verifier is
 * not enough to log in; verifier and ClientKey together make keys for logging in, so pgweir needs no password.
 */

#include "auth/scram_state.h"
#include "base/buf.h"

#include <openssl/crypto.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GS2_NO_BINDING 'n'
#define GS2_NOT_OFFERED 'y'
#define GS2_BINDING 'p'

static_assert(SCRAM_NONCE_MAX + BASE64_LEN(SCRAM_SALT_MAX) + sizeof("r=,s=,i=1000000") <= SCRAM_TEXT_MAX,
	      "the longest server-first must fit");

struct scram_server {
	struct scram_verifier verifier;
	struct scram_channel channel;
	bool is_mock, is_plus; /* is_plus: the client chose PLUS */
	enum scram_turn turn;
	char gs2_flag;
	char own_nonce[SCRAM_NONCE_MAX + 1];
	char nonce[SCRAM_NONCE_MAX + 1]; /* the client's nonce, followed by ours */
	size_t nonce_len;
	struct buf auth_message; /* the part of AuthMessage that is known so far */
};

struct scram_server *
scram_server_new(const struct scram_verifier *verifier, bool is_mock, const struct scram_channel *channel,
		 const char *nonce)
{
	char random[SCRAM_OWN_NONCE_LEN + 1];
	struct scram_server *s;

	nonce = scram_make_nonce(nonce, random);
	if (nonce == NULL || strlen(nonce) >= SCRAM_NONCE_MAX || (s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->verifier = *verifier;
	s->channel = *channel;
	s->is_mock = is_mock;
	s->auth_message.limit = SCRAM_AUTH_MESSAGE_MAX;
	snprintf(s->own_nonce, sizeof(s->own_nonce), "%s", nonce);
	return s;
}

void
scram_server_free(struct scram_server *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->auth_message);
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

static bool
can_bind(const struct scram_server *s)
{
	return s->channel.is_tls && s->channel.end_point_len > 0;
}

size_t
scram_server_offer(const struct scram_server *s, char out[static SCRAM_OFFER_MAX])
{
	static const char both[] = SCRAM_PLUS "\0" SCRAM_PLAIN "\0", plain[] = SCRAM_PLAIN "\0";
	size_t len = can_bind(s) ? sizeof(both) : sizeof(plain);

	static_assert(sizeof(both) <= SCRAM_OFFER_MAX, "the offer must fit");
	memcpy(out, can_bind(s) ? both : plain, len);
	return len;
}

int
scram_server_select(struct scram_server *s, const char *mechanism, struct fail *why)
{
	s->is_plus = strcmp(mechanism, SCRAM_PLUS) == 0;
	if (s->turn == SCRAM_TURN_FIRST && (s->is_plus ? can_bind(s) : strcmp(mechanism, SCRAM_PLAIN) == 0))
		return 0;
	s->turn = SCRAM_TURN_OVER;
	return fail_set(why, "08P01", "client selected an invalid SASL authentication mechanism");
}

/* Takes "p=type", which a client sends if it binds its login to the channel. */
static int
take_binding_type(struct scram_span *rest, struct fail *why)
{
	const size_t wanted_len = sizeof(SCRAM_BINDING_TYPE) - 1;
	struct scram_span type;
	char shown[31];

	if (scram_take(rest, GS2_BINDING, &type, why) < 0)
		return -1;
	if (type.len == wanted_len && memcmp(type.text, SCRAM_BINDING_TYPE, wanted_len) == 0)
		return 0;
	scram_copy_printable(type, '!', shown, sizeof(shown));
	return fail_set(why, "08P01", "unsupported SCRAM channel-binding type \"%s\"", shown);
}

/* Checks the flag against the mechanism, and against what we offered. */
static int
check_gs2_flag(const struct scram_server *s, char flag, struct fail *why)
{
	char shown[8];

	if (flag != GS2_NO_BINDING && flag != GS2_NOT_OFFERED && flag != GS2_BINDING)
		return scram_fail_malformed(why, "Unexpected channel-binding flag \"%s\".",
					    scram_print_char(flag, shown));
	if (flag == GS2_BINDING && !s->is_plus)
		return scram_fail_malformed(why, "The client selected SCRAM-SHA-256 without channel binding, "
						 "but the SCRAM message includes channel binding data.");
	if (flag != GS2_BINDING && s->is_plus)
		return scram_fail_malformed(why, "The client selected SCRAM-SHA-256-PLUS, "
						 "but the SCRAM message does not include channel binding data.");
	if (flag == GS2_NOT_OFFERED && can_bind(s)) {
		fail_set(why, "28000", "SCRAM channel binding negotiation error");
		return fail_detail(why, "The client supports SCRAM channel binding but thinks the server does not.  "
					"However, this server does support channel binding.");
	}
	return 0;
}

/* Takes "n,,", "y,," or "p=tls-server-end-point,,", and refuses an authorization identity ("a=") between the commas. */
static int
take_gs2_header(struct scram_server *s, struct scram_span *rest, struct fail *why)
{
	char shown[8];

	s->gs2_flag = rest->text[0];
	if (check_gs2_flag(s, s->gs2_flag, why) < 0)
		return -1;
	if (s->gs2_flag == GS2_BINDING) {
		if (take_binding_type(rest, why) < 0)
			return -1;
	} else {
		if (rest->len < 2 || rest->text[1] != ',')
			return scram_fail_malformed(why, "Comma expected, but found %s.",
						    rest->len < 2 ? "end of string"
								  : scram_print_char(rest->text[1], shown));
		rest->text += 2;
		rest->len -= 2;
	}
	if (rest->len > 0 && rest->text[0] == 'a')
		return fail_set(why, "0A000", "client uses authorization identity, but it is not supported");
	if (rest->len == 0 || rest->text[0] != ',')
		return scram_fail_malformed(why, "Unexpected attribute \"%s\" in client-first-message.",
					    rest->len == 0 ? "" : scram_print_char(rest->text[0], shown));
	rest->text++;
	rest->len--;
	return 0;
}

/* The user's name is taken from the startup packet; the name in client-first is ignored, as in PostgreSQL. */
static int
take_client_first(struct scram_span bare, struct scram_span *nonce, struct fail *why)
{
	struct scram_span user;

	if (bare.len > 0 && bare.text[0] == 'm')
		return fail_set(why, "0A000", "client requires an unsupported SCRAM extension");
	if (scram_take(&bare, 'n', &user, why) < 0 || scram_take(&bare, 'r', nonce, why) < 0)
		return -1;
	if (!scram_is_printable(*nonce))
		return fail_set(why, "08P01", "non-printable characters in SCRAM nonce");
	return scram_skip_extensions(&bare, why);
}

int
scram_server_first(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		   struct fail *why)
{
	struct scram_span bare = { in, in_len }, nonce;
	char salt[BASE64_LEN(SCRAM_SALT_MAX) + 1];
	size_t own_len = strlen(s->own_nonce);

	out[0] = '\0';
	if (scram_take_turn(&s->turn, SCRAM_TURN_FIRST, why) < 0 || scram_check_text(in, in_len, why) < 0 ||
	    take_gs2_header(s, &bare, why) < 0 || take_client_first(bare, &nonce, why) < 0)
		return -1;
	if (nonce.len > SCRAM_NONCE_MAX - own_len)
		return scram_fail_malformed(why, "The nonce is longer than %zu characters.", SCRAM_NONCE_MAX - own_len);
	memcpy(s->nonce, nonce.text, nonce.len);
	memcpy(s->nonce + nonce.len, s->own_nonce, own_len + 1);
	s->nonce_len = nonce.len + own_len;

	base64_encode(s->verifier.salt, s->verifier.salt_len, salt);
	snprintf(out, SCRAM_TEXT_MAX, "r=%s,s=%s,i=%u", s->nonce, salt, (unsigned)s->verifier.iterations);
	buf_put(&s->auth_message, bare.text, bare.len);
	buf_printf(&s->auth_message, ",%s,", out);
	if (!buf_ok(&s->auth_message))
		return scram_fail_no_memory(why);
	s->turn = SCRAM_TURN_FINAL;
	return 0;
}

/* Checks that c= has the client's gs2 header and, with PLUS, the hash of our certificate. */
static int
check_binding(const struct scram_server *s, struct scram_span binding, struct fail *why)
{
	char wanted[SCRAM_BINDING_TEXT_MAX];
	size_t wanted_len = scram_binding_text(s->gs2_flag, &s->channel, NULL, wanted);

	if (binding.len == wanted_len && CRYPTO_memcmp(binding.text, wanted, wanted_len) == 0)
		return 0;
	if (!s->is_plus)
		return fail_set(why, "08P01", "unexpected SCRAM channel-binding attribute in client-final-message");
	return fail_set(why, "28000", "SCRAM channel binding check failed");
}

/* Checks client-final, and takes its proof. Sets *without_proof_len to the length of client-final without the proof. */
static int
take_client_final(const struct scram_server *s, const char *in, size_t in_len, uint8_t proof[static SCRAM_KEY_LEN],
		  size_t *without_proof_len, struct fail *why)
{
	struct scram_span rest = { in, in_len }, binding, nonce, value;
	char name;

	if (scram_take(&rest, 'c', &binding, why) < 0 || check_binding(s, binding, why) < 0 ||
	    scram_take(&rest, 'r', &nonce, why) < 0)
		return -1;
	do {
		*without_proof_len = (size_t)(rest.text - in) - 1; /* without the comma before p= */
		if (scram_take_any(&rest, &name, &value, why) < 0)
			return -1;
	} while (name != 'p');
	if (scram_decode_key(value.text, value.len, proof) < 0)
		return scram_fail_malformed(why, "Malformed proof in client-final-message.");
	if (rest.len > 0)
		return scram_fail_malformed(why, "Garbage found at the end of client-final-message.");
	if (nonce.len != s->nonce_len || memcmp(nonce.text, s->nonce, nonce.len) != 0) {
		fail_set(why, "08P01", "invalid SCRAM response");
		return fail_detail(why, "Nonce does not match.");
	}
	return 0;
}

/* Turns a right proof into ClientKey, in place. Takes the same time for a mock verifier. */
static int
recover_client_key(const struct scram_server *s, uint8_t proof[static SCRAM_KEY_LEN], struct fail *why)
{
	uint8_t signature[SCRAM_KEY_LEN], stored_key[SCRAM_KEY_LEN];
	bool is_right;

	if (scram_hmac(s->verifier.stored_key, s->auth_message.bytes, s->auth_message.len, signature, why) < 0)
		return -1;
	scram_xor(proof, signature);
	if (scram_hash(proof, stored_key, why) < 0)
		return -1;
	is_right = CRYPTO_memcmp(stored_key, s->verifier.stored_key, SCRAM_KEY_LEN) == 0;
	OPENSSL_cleanse(signature, sizeof(signature));
	if (!is_right || s->is_mock)
		return fail_set(why, "28P01", "password authentication failed");
	return 0;
}

int
scram_server_final(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		   struct scram_keys *keys, struct fail *why)
{
	uint8_t proof[SCRAM_KEY_LEN], signature[SCRAM_KEY_LEN];
	size_t without_proof_len = 0;
	int result = -1;

	out[0] = '\0';
	if (keys != NULL)
		memset(keys, 0, sizeof(*keys));
	if (scram_take_turn(&s->turn, SCRAM_TURN_FINAL, why) < 0 || scram_check_text(in, in_len, why) < 0 ||
	    take_client_final(s, in, in_len, proof, &without_proof_len, why) < 0)
		return -1;
	buf_put(&s->auth_message, in, without_proof_len);
	if (!buf_ok(&s->auth_message))
		return scram_fail_no_memory(why);
	if (recover_client_key(s, proof, why) == 0 &&
	    scram_hmac(s->verifier.server_key, s->auth_message.bytes, s->auth_message.len, signature, why) == 0) {
		memcpy(out, "v=", 2);
		base64_encode(signature, SCRAM_KEY_LEN, out + 2);
		if (keys != NULL) {
			keys->is_set = true;
			keys->iterations = s->verifier.iterations;
			keys->salt_len = s->verifier.salt_len;
			memcpy(keys->salt, s->verifier.salt, s->verifier.salt_len);
			memcpy(keys->client_key, proof, SCRAM_KEY_LEN);
			memcpy(keys->server_key, s->verifier.server_key, SCRAM_KEY_LEN);
		}
		result = 0;
	}
	OPENSSL_cleanse(proof, sizeof(proof));
	return result;
}
