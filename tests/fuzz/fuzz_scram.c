/*
 * tests/fuzz/fuzz_scram.c - both sides of SCRAM against any messages.
 *
 * The input is lines: a secret (if it is invalid, the RFC's is used), client-first, client-final for our server;
 * server-first, server-final for our client; and, if there is one more, what a server offers it, with blanks between.
 * Both run in the clear and over TLS, where client-first chooses the mechanism by its flag. Nonces and keys are the
 * RFC's, so that the seed is a login that succeeds, and changes of it come near.
 *
 * The secret is prepared as a password too (SASLprep).
 *
 * Besides memory safety it checks: a mock lets nobody in; a login that succeeds yields keys whose hash is the
 * StoredKey; base64 has one spelling.
 */
#include "fuzz.h"

#include "auth/encoding.h"
#include "auth/scram.h"
#include "base/text.h"

#include <openssl/sha.h>

#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SECRET                                                                                                         \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                    \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define CLIENT_KEY "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos="
#define SERVER_KEY "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

struct text {
	char *bytes; /* of exactly len bytes */
	size_t len;
};

static struct text
take_line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size > 0 ? memchr(*data, '\n', *size) : NULL;
	struct text t = { NULL, end != NULL ? (size_t)(end - *data) : *size };
	size_t taken = t.len + (end != NULL);

	t.bytes = malloc(t.len > 0 ? t.len : 1);
	must(t.bytes != NULL);
	if (t.len > 0)
		memcpy(t.bytes, *data, t.len);
	*data += taken;
	*size -= taken;
	return t;
}

static void
check_refusal(const struct fail *why)
{
	must(strlen(why->sqlstate) == 5 && why->text[0] != '\0');
	for (const char *c = why->text; *c != '\0'; c++)
		must(*c >= 0x20 && *c <= 0x7e);
	for (const char *c = why->detail; *c != '\0'; c++)
		must(*c >= 0x20 && *c <= 0x7e);
}

static void
run_server(const struct scram_verifier *v, bool is_mock, const struct scram_channel *channel, struct text first,
	   struct text final)
{
	struct scram_server *s = scram_server_new(v, is_mock, channel, SERVER_NONCE);
	bool is_bound = channel->end_point_len > 0 && first.len > 0 && first.bytes[0] == 'p';
	char out[SCRAM_TEXT_MAX];
	uint8_t stored_key[SCRAM_KEY_LEN];
	struct scram_keys keys;
	struct fail why = { 0 };

	must(s != NULL);
	must(scram_server_select(s, is_bound ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256", &why) == 0);
	if (scram_server_first(s, first.bytes, first.len, out, &why) < 0) {
		check_refusal(&why);
	} else if (scram_server_final(s, final.bytes, final.len, out, &keys, &why) < 0) {
		check_refusal(&why);
		must(!keys.is_set && out[0] == '\0');
	} else {
		SHA256(keys.client_key, SCRAM_KEY_LEN, stored_key);
		must(!is_mock && memcmp(stored_key, v->stored_key, SCRAM_KEY_LEN) == 0);
		must(strlen(out) == 2 + BASE64_LEN(SCRAM_KEY_LEN));
	}
	scram_server_free(s);
}

static void
run_client(const struct scram_channel *channel, enum scram_binding policy, struct text offer, struct text first,
	   struct text final)
{
	struct scram_client *c = scram_client_new(channel, policy, "user", CLIENT_NONCE);
	struct scram_keys keys = { .is_set = true };
	struct fail why = { 0 };
	char out[SCRAM_TEXT_MAX];
	const uint8_t *salt;
	size_t len;

	must(c != NULL);
	if (offer.len > 0 && scram_client_select(c, (const uint8_t *)offer.bytes, offer.len, &why) == NULL) {
		check_refusal(&why);
		must(!scram_client_is_bound(c) && scram_client_first(c, out, &why) < 0);
		scram_client_free(c);
		return;
	}
	must(policy != SCRAM_BINDING_REQUIRE || offer.len == 0 || scram_client_is_bound(c));
	must(scram_client_first(c, out, &why) == 0);
	must(base64_decode(CLIENT_KEY, strlen(CLIENT_KEY), keys.client_key, SCRAM_KEY_LEN, &len) == 0);
	must(base64_decode(SERVER_KEY, strlen(SERVER_KEY), keys.server_key, SCRAM_KEY_LEN, &len) == 0);
	if (scram_client_challenge(c, first.bytes, first.len, &salt, &keys.salt_len, &keys.iterations, &why) < 0) {
		check_refusal(&why);
	} else {
		must(keys.salt_len > 0 && keys.salt_len <= SCRAM_SALT_MAX);
		must(keys.iterations > 0 && keys.iterations <= SCRAM_ITERATIONS_MAX);
		memcpy(keys.salt, salt, keys.salt_len);
		must(scram_client_final(c, &keys, out, &why) == 0);
		if (scram_client_verify(c, final.bytes, final.len, &why) < 0)
			check_refusal(&why);
	}
	scram_client_free(c);
}

static void
run_base64(struct text t)
{
	uint8_t *out = malloc(t.len + 1);
	char *again = malloc(BASE64_LEN(t.len) + 1);
	size_t len;

	must(out != NULL && again != NULL);
	if (base64_decode(t.bytes, t.len, out, t.len, &len) == 0) {
		base64_encode(out, len, again);
		must(strlen(again) == t.len && memcmp(again, t.bytes, t.len) == 0);
	}
	free(out);
	free(again);
}

static void
run_saslprep(const char *password)
{
	char *once, *twice;

	must(saslprep(password, &once) == 0);
	if (once == NULL)
		return;
	must(once[0] != '\0');
	/* What is prepared stays as it is, unless normalising made something prohibited of it, which is taken as it is.
	 */
	must(saslprep(once, &twice) == 0);
	must(twice == NULL || strcmp(once, twice) == 0);
	secret_free(twice);
	secret_free(once);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct scram_channel channels[] = { { .is_tls = false }, { .is_tls = true, .end_point_len = 32 } };
	struct text lines[6];
	struct scram_verifier v;
	char *secret;

	for (int i = 0; i < 6; i++)
		lines[i] = take_line(&data, &size);
	for (size_t i = 0; i < lines[5].len; i++)
		if (lines[5].bytes[i] == ' ')
			lines[5].bytes[i] = '\0';
	secret = string_of(lines[0].bytes, lines[0].len);
	must(secret != NULL);
	if (scram_verifier_parse(secret, &v, NULL) < 0)
		must(scram_verifier_parse(SECRET, &v, NULL) == 0);
	for (int i = 0; i < 2; i++) {
		run_server(&v, false, &channels[i], lines[1], lines[2]);
		run_server(&v, true, &channels[i], lines[1], lines[2]);
		for (int policy = 0; policy <= SCRAM_BINDING_REQUIRE; policy++)
			run_client(&channels[i], (enum scram_binding)policy, lines[5], lines[3], lines[4]);
	}
	run_base64(lines[0]);
	run_saslprep(secret);
	for (int i = 0; i < 6; i++)
		free(lines[i].bytes);
	free(secret);
	return 0;
}
