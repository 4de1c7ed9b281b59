/*
 * tests/unit/test_scram.c - SCRAM-SHA-256 against the RFC's exchange, against PostgreSQL's secrets, against itself, and
 * against texts no honest peer sends. Links auth/scram*.c, auth/saslprep.c, auth/base64.c and base alone.
 */
#include "auth/encoding.h"
#include "auth/scram.h"
#include "unit.h"

/* RFC 7677, 3: user "user", password "pencil". */
#define RFC_CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_CLIENT_FIRST "n,,n=user,r=" RFC_CLIENT_NONCE
#define RFC_SERVER_FIRST "r=" RFC_CLIENT_NONCE RFC_SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_WITHOUT_PROOF "c=biws,r=" RFC_CLIENT_NONCE RFC_SERVER_NONCE
#define RFC_PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_CLIENT_FINAL RFC_WITHOUT_PROOF ",p=" RFC_PROOF
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define RFC_PASSWORD "pencil"

/* PostgreSQL 15's rolpassword. */
#define PG_PASSWORD "correct horse battery staple"
#define PG_SECRET                                                                                                      \
	"SCRAM-SHA-256$4096:MWvfBu93Wz2fLvvCUjFpiA==$7Lx42VGxN8p40UCg6U3sCZiCtT1nPthvmqhqlWypQQs=:"                    \
	"NTBlv7GP1T7hcnAaEMiziaIAtrTi+Y6d1LSd3nXeU6s="

static const struct scram_channel in_the_clear = { 0 };

/* A copy in memory of exactly its size, unterminated: a sanitizer sees a byte too far. Free with free_exact. */
static char *
exact(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	cr_assert_not_null(copy);
	memcpy(copy + 1, text, len);
	return copy + 1;
}

static void
free_exact(char *copy)
{
	free(copy - 1);
}

static struct scram_verifier
rfc_verifier(void)
{
	struct scram_verifier v;
	struct fail why;
	uint8_t salt[16];
	size_t salt_len;

	cr_assert_eq(base64_decode(BYTES("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof(salt), &salt_len), 0);
	cr_assert_eq(scram_verifier_from_password(RFC_PASSWORD, salt, salt_len, 4096, &v, &why), 0);
	return v;
}

static struct scram_verifier
pg_verifier(void)
{
	struct scram_verifier v;
	struct fail why;

	cr_assert_eq(scram_verifier_parse(PG_SECRET, &v, &why), 0);
	return v;
}

/* --- base64. --- */

static const struct {
	const char *rule, *text;
	int want_len; /* -1: refused */
} base64_rows[] = {
	{ "nothing", "", 0 },
	{ "one byte", "AA==", 1 },
	{ "two bytes", "AAA=", 2 },
	{ "three bytes", "AAAA", 3 },
	{ "the whole alphabet", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 48 },
	{ "no padding", "AA", -1 },
	{ "half the padding", "AA=", -1 },
	{ "padding too long", "A===", -1 },
	{ "padding alone", "====", -1 },
	{ "padding within", "AA==AAAA", -1 },
	{ "a digit after padding", "AA=A", -1 },
	{ "a last digit with bits no byte has", "AB==", -1 },
	{ "the same of three digits", "AAB=", -1 },
	{ "a blank", "AA A", -1 },
	{ "a newline at the end", "AAAA\n", -1 },
	{ "a newline for a digit", "AAA\n", -1 },
	{ "the alphabet of URLs", "-_-_", -1 },
	{ "a byte above ASCII", "AAA\xc1", -1 },
};

Test(scram, base64_is_strict)
{
	EACH(row, base64_rows) {
		char *text = exact(row->text, strlen(row->text)), again[BASE64_LEN(48) + 1];
		uint8_t out[48];
		size_t len = 999;
		int result = base64_decode(text, strlen(row->text), out, sizeof(out), &len);

		cr_expect_eq(result, row->want_len < 0 ? -1 : 0, "%s", row->rule);
		if (result == 0) {
			cr_expect_eq(len, (size_t)row->want_len, "%s", row->rule);
			base64_encode(out, len, again);
			cr_expect_str_eq(again, row->text, "%s", row->rule);
		}
		free_exact(text);
	}
}

Test(scram, base64_does_not_write_past_its_room)
{
	uint8_t out[3] = { 0, 0, 0xee };
	size_t len;

	cr_expect_eq(base64_decode(BYTES("AAAA"), out, 2, &len), -1);
	cr_expect_eq(out[2], 0xee);
	cr_expect_eq(base64_decode(BYTES("AAA="), out, 2, &len), 0);
}

/* --- Secrets. --- */

#define SALT64 "c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0" /* 48 bytes */
#define KEY "7Lx42VGxN8p40UCg6U3sCZiCtT1nPthvmqhqlWypQQs="

static const struct {
	const char *rule, *secret;
	bool is_good;
} secret_rows[] = {
	{ "PostgreSQL's", PG_SECRET, true },
	{ "one iteration", "SCRAM-SHA-256$1:c2FsdA==$" KEY ":" KEY, true },
	{ "the most iterations", "SCRAM-SHA-256$1000000:c2FsdA==$" KEY ":" KEY, true },
	{ "one more", "SCRAM-SHA-256$1000001:c2FsdA==$" KEY ":" KEY, false },
	{ "more than a number holds", "SCRAM-SHA-256$18446744073709551617:c2FsdA==$" KEY ":" KEY, false },
	{ "no iterations", "SCRAM-SHA-256$0:c2FsdA==$" KEY ":" KEY, false },
	{ "an empty count", "SCRAM-SHA-256$:c2FsdA==$" KEY ":" KEY, false },
	{ "a leading zero", "SCRAM-SHA-256$04096:c2FsdA==$" KEY ":" KEY, false },
	{ "a sign", "SCRAM-SHA-256$+4096:c2FsdA==$" KEY ":" KEY, false },
	{ "a blank", "SCRAM-SHA-256$ 4096:c2FsdA==$" KEY ":" KEY, false },
	{ "a long salt", "SCRAM-SHA-256$4096:" SALT64 SALT64 "$" KEY ":" KEY, true },
	{ "a salt longer than we hold", "SCRAM-SHA-256$4096:" SALT64 SALT64 SALT64 "$" KEY ":" KEY, false },
	{ "no salt", "SCRAM-SHA-256$4096:$" KEY ":" KEY, false },
	{ "a salt that is no base64", "SCRAM-SHA-256$4096:salt!$" KEY ":" KEY, false },
	{ "a short StoredKey", "SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:" KEY, false },
	{ "a long ServerKey", "SCRAM-SHA-256$4096:c2FsdA==$" KEY ":" SALT64, false },
	{ "no ServerKey", "SCRAM-SHA-256$4096:c2FsdA==$" KEY ":", false },
	{ "no colon before it", "SCRAM-SHA-256$4096:c2FsdA==$" KEY, false },
	{ "something behind it", "SCRAM-SHA-256$4096:c2FsdA==$" KEY ":" KEY "x", false },
	{ "nothing after the prefix", "SCRAM-SHA-256$", false },
	{ "no prefix", "4096:c2FsdA==$" KEY ":" KEY, false },
	{ "small letters", "scram-sha-256$4096:c2FsdA==$" KEY ":" KEY, false },
	{ "nothing", "", false },
};

Test(scram, secrets)
{
	EACH(row, secret_rows) {
		struct scram_verifier v;
		struct fail why;

		cr_expect_eq(scram_verifier_parse(row->secret, &v, &why), row->is_good ? 0 : -1, "%s", row->rule);
		if (!row->is_good)
			cr_expect_str_eq(why.sqlstate, "22023", "%s", row->rule);
	}
}

Test(scram, a_password_and_a_salt_make_postgresqls_secret)
{
	struct scram_verifier parsed = pg_verifier(), made;
	struct scram_keys keys;
	struct fail why;

	cr_assert_eq(parsed.iterations, 4096);
	cr_assert_eq(parsed.salt_len, 16);
	cr_assert_eq(scram_verifier_from_password(PG_PASSWORD, parsed.salt, parsed.salt_len, 4096, &made, &why), 0);
	cr_expect_arr_eq(made.stored_key, parsed.stored_key, SCRAM_KEY_LEN);
	cr_expect_arr_eq(made.server_key, parsed.server_key, SCRAM_KEY_LEN);
	cr_expect_arr_eq(made.salt, parsed.salt, 16);
	cr_assert_eq(scram_keys_from_password(PG_PASSWORD, parsed.salt, parsed.salt_len, 4096, &keys, &why), 0);
	cr_expect_arr_eq(keys.server_key, parsed.server_key, SCRAM_KEY_LEN);
	cr_expect(scram_keys_match(&keys, parsed.salt, 16, 4096));
	cr_expect_not(scram_keys_match(&keys, parsed.salt, 16, 4097));
	cr_expect_not(scram_keys_match(&keys, parsed.salt, 15, 4096));
	cr_expect_not(scram_keys_match(&keys, (const uint8_t *)"0123456789abcdef", 16, 4096));
	keys.is_set = false;
	cr_expect_not(scram_keys_match(&keys, parsed.salt, 16, 4096));
}

Test(scram, keys_are_not_made_of_what_no_server_may_ask)
{
	static const struct {
		size_t salt_len;
		uint32_t iterations;
	} rows[] = { { 0, 4096 }, { SCRAM_SALT_MAX + 1, 4096 }, { 16, 0 }, { 16, SCRAM_ITERATIONS_MAX + 1 } };
	const uint8_t salt[SCRAM_SALT_MAX + 1] = { 1 };

	EACH(row, rows) {
		struct scram_verifier v;
		struct scram_keys keys;
		struct fail why;

		cr_expect_eq(scram_keys_from_password("x", salt, row->salt_len, row->iterations, &keys, &why), -1);
		cr_expect_not(keys.is_set);
		cr_expect_eq(scram_verifier_from_password("x", salt, row->salt_len, row->iterations, &v, &why), -1);
	}
}

Test(scram, a_stranger_has_a_salt_of_his_own_that_stays)
{
	const uint8_t secret[32] = { 1, 2, 3 }, other_secret[32] = { 1, 2, 4 };
	struct scram_verifier ann, again, bob, elsewhere;
	struct fail why;

	cr_assert_eq(scram_verifier_mock("ann", secret, 4096, &ann, &why), 0);
	cr_assert_eq(scram_verifier_mock("ann", secret, 4096, &again, &why), 0);
	cr_assert_eq(scram_verifier_mock("bob", secret, 4096, &bob, &why), 0);
	cr_assert_eq(scram_verifier_mock("ann", other_secret, 4096, &elsewhere, &why), 0);
	cr_expect_eq(ann.iterations, 4096);
	cr_expect_eq(ann.salt_len, 16);
	cr_expect_arr_eq(ann.salt, again.salt, 16);
	cr_expect_arr_neq(ann.salt, bob.salt, 16);
	cr_expect_arr_neq(ann.salt, elsewhere.salt, 16);
}

/* --- The RFC's exchange, from either side. --- */

Test(scram, the_rfcs_exchange_as_the_server)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
	char out[SCRAM_TEXT_MAX];
	struct scram_keys keys;
	struct fail why;

	cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0, "%s", why.detail);
	cr_expect_str_eq(out, RFC_SERVER_FIRST);
	cr_assert_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, &keys, &why), 0, "%s", why.detail);
	cr_expect_str_eq(out, RFC_SERVER_FINAL);
	cr_expect(keys.is_set);
	scram_server_free(s);
}

Test(scram, the_rfcs_exchange_as_the_client)
{
	struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "user", RFC_CLIENT_NONCE);
	char out[SCRAM_TEXT_MAX];
	struct scram_keys keys;
	struct fail why;
	const uint8_t *salt;
	size_t salt_len;
	uint32_t iterations;

	cr_assert_eq(scram_client_first(c, out, &why), 0);
	cr_expect_str_eq(out, RFC_CLIENT_FIRST);
	cr_assert_eq(scram_client_challenge(c, BYTES(RFC_SERVER_FIRST), &salt, &salt_len, &iterations, &why), 0);
	cr_expect_eq(iterations, 4096);
	cr_expect_eq(salt_len, 16);
	cr_assert_eq(scram_keys_from_password(RFC_PASSWORD, salt, salt_len, iterations, &keys, &why), 0);
	cr_assert_eq(scram_client_final(c, &keys, out, &why), 0);
	cr_expect_str_eq(out, RFC_CLIENT_FINAL);
	cr_expect_eq(scram_client_verify(c, BYTES(RFC_SERVER_FINAL), &why), 0, "%s", why.text);
	scram_client_free(c);
}

/* --- Our two sides against each other. --- */

/* Reads the server's first message, and makes the keys of a password for it; NULL: makes none. */
static int
take_challenge(struct scram_client *c, const char *in, size_t len, const char *password, struct scram_keys *keys,
	       struct fail *why)
{
	const uint8_t *salt;
	size_t salt_len;
	uint32_t iterations;

	if (scram_client_challenge(c, in, len, &salt, &salt_len, &iterations, why) != 0)
		return -1;
	return password != NULL ? scram_keys_from_password(password, salt, salt_len, iterations, keys, why) : 0;
}

/* A login with a password, or with keys. 0, or what either side said; learnt may be NULL. */
static int
login(const struct scram_verifier *v, bool is_mock, const char *password, const struct scram_keys *own_keys,
      struct scram_keys *learnt, struct fail *why)
{
	struct scram_server *s = scram_server_new(v, is_mock, &in_the_clear, NULL);
	struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
	char to_server[SCRAM_TEXT_MAX], to_client[SCRAM_TEXT_MAX];
	struct scram_keys keys;
	int result;

	cr_assert_eq(scram_client_first(c, to_server, why), 0);
	cr_assert_eq(scram_server_first(s, to_server, strlen(to_server), to_client, why), 0);
	cr_assert_eq(take_challenge(c, to_client, strlen(to_client), own_keys == NULL ? password : NULL, &keys, why),
		     0);
	result = scram_client_final(c, own_keys ? own_keys : &keys, to_server, why);
	if (result == 0)
		result = scram_server_final(s, to_server, strlen(to_server), to_client, learnt, why);
	if (result == 0)
		result = scram_client_verify(c, to_client, strlen(to_client), why);
	scram_server_free(s);
	scram_client_free(c);
	return result;
}

Test(scram, the_right_password_logs_in_and_leaves_keys_that_do)
{
	struct scram_verifier v = pg_verifier();
	struct scram_keys from_password, learnt, again;
	struct fail why;

	cr_assert_eq(login(&v, false, PG_PASSWORD, NULL, &learnt, &why), 0, "%s", why.text);
	cr_assert_eq(scram_keys_from_password(PG_PASSWORD, v.salt, v.salt_len, v.iterations, &from_password, &why), 0);
	cr_expect(learnt.is_set);
	cr_expect_arr_eq(learnt.client_key, from_password.client_key, SCRAM_KEY_LEN);
	cr_expect_arr_eq(learnt.server_key, from_password.server_key, SCRAM_KEY_LEN);
	cr_expect(scram_keys_match(&learnt, v.salt, v.salt_len, v.iterations));
	cr_expect_eq(login(&v, false, NULL, &learnt, &again, &why), 0, "%s", why.text);
	cr_expect_eq(login(&v, false, PG_PASSWORD, NULL, NULL, &why), 0, "nobody has to want the keys");
}

Test(scram, the_wrong_password_does_not_and_leaves_none)
{
	static const char *const wrong[] = { "", "correct horse battery stapl", "correct horse battery staple ",
					     "Correct horse battery staple" };
	struct scram_verifier v = pg_verifier();

	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct scram_keys learnt;
		struct fail why;

		memset(&learnt, 0xaa, sizeof(learnt));
		cr_expect_eq(login(&v, false, wrong[i], NULL, &learnt, &why), -1);
		cr_expect_str_eq(why.sqlstate, "28P01");
		cr_expect_not(learnt.is_set);
		for (size_t k = 0; k < SCRAM_KEY_LEN; k++)
			cr_expect_eq(learnt.client_key[k], 0);
	}
}

Test(scram, a_password_of_64_kb)
{
	char *password = calloc(1, 65536);
	struct scram_verifier v;
	struct fail why;

	memset(password, 'x', 65535);
	cr_assert_eq(scram_verifier_from_password(password, (const uint8_t *)"salt", 4, 2, &v, &why), 0);
	cr_expect_eq(login(&v, false, password, NULL, NULL, &why), 0);
	password[65534] = '\0';
	cr_expect_eq(login(&v, false, password, NULL, NULL, &why), -1);
	free(password);
}

Test(scram, the_longest_salt_and_the_most_iterations_fit_the_messages)
{
	struct scram_verifier v = { .iterations = SCRAM_ITERATIONS_MAX, .salt_len = SCRAM_SALT_MAX };
	struct scram_keys keys = { .is_set = true, .iterations = SCRAM_ITERATIONS_MAX, .salt_len = SCRAM_SALT_MAX };
	struct fail why;

	memset(v.salt, 0xff, sizeof(v.salt));
	memset(keys.salt, 0xff, sizeof(keys.salt));
	cr_expect_eq(login(&v, false, NULL, &keys, NULL, &why), -1);
	cr_expect_str_eq(why.sqlstate, "28P01", "refused for its proof and for nothing before: %s", why.text);
}

Test(scram, a_mock_refuses_the_right_password_in_the_same_words)
{
	struct scram_verifier v = pg_verifier();
	struct scram_keys learnt;
	struct fail wrong, mock;

	cr_assert_eq(login(&v, false, "wrong", NULL, NULL, &wrong), -1);
	cr_assert_eq(login(&v, true, PG_PASSWORD, NULL, &learnt, &mock), -1);
	cr_expect_not(learnt.is_set);
	cr_expect_str_eq(mock.sqlstate, wrong.sqlstate);
	cr_expect_str_eq(mock.text, wrong.text);
	cr_expect_str_eq(mock.detail, wrong.detail);
}

Test(scram, even_forgotten_to_be_one_a_mock_lets_nobody_in)
{
	const uint8_t secret[32] = { 9 };
	struct scram_keys keys = { .is_set = true };
	struct scram_verifier v;
	struct fail why;

	cr_assert_eq(scram_verifier_mock("ann", secret, 4096, &v, &why), 0);
	keys.iterations = v.iterations;
	keys.salt_len = v.salt_len;
	memcpy(keys.salt, v.salt, v.salt_len);
	cr_expect_eq(login(&v, false, NULL, &keys, NULL, &why), -1, "keys of zeroes");
	cr_expect_eq(login(&v, false, "", NULL, NULL, &why), -1);
}

Test(scram, keys_for_another_salt_are_not_used)
{
	struct scram_verifier v = pg_verifier();
	struct scram_keys keys;
	struct fail why;

	cr_assert_eq(scram_keys_from_password(PG_PASSWORD, (const uint8_t *)"another", 7, 4096, &keys, &why), 0);
	cr_expect_eq(login(&v, false, NULL, &keys, NULL, &why), -1);
	cr_expect_str_eq(why.sqlstate, "28P01");
	cr_expect_not_null(strstr(why.text, "another salt"));
}

Test(scram, nonces_are_not_used_twice)
{
	char first[SCRAM_TEXT_MAX], second[SCRAM_TEXT_MAX], answer[2][SCRAM_TEXT_MAX];
	struct scram_verifier v = pg_verifier();
	struct fail why;

	for (int i = 0; i < 2; i++) {
		struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, NULL);

		cr_assert_eq(scram_client_first(c, i ? second : first, &why), 0);
		cr_assert_eq(scram_server_first(s, BYTES("n,,n=,r=x"), answer[i], &why), 0);
		scram_client_free(c);
		scram_server_free(s);
	}
	cr_expect_eq(strlen(first), strlen("n,,n=,r=") + 24);
	cr_expect_str_neq(first, second);
	cr_expect_str_neq(answer[0], answer[1]);
}

/* --- What a hostile client may send. --- */

static const struct {
	const char *rule, *in;
	size_t len;
	const char *sqlstate, *said; /* NULL: taken. said is the detail, or the text where there is none */
} client_first_rows[] = {
	{ "libpq's", BYTES("n,,n=,r=abc"), NULL, NULL },
	{ "libpq's over TLS, where we offered no binding", BYTES("y,,n=,r=abc"), NULL, NULL },
	{ "a user, which is ignored", BYTES("n,,n=who=2Cever,r=abc"), NULL, NULL },
	{ "every printable character in a nonce", BYTES("n,,n=,r=!\"#$%&'()*+-./0123456789:;<=>?@AZ[\\]^_`az{|}~"),
	  NULL, NULL },
	{ "an extension", BYTES("n,,n=,r=abc,x=y,Z="), NULL, NULL },
	{ "nothing", BYTES(""), "08P01", "The message is empty." },
	{ "a zero byte", BYTES("n,,n=,r=abc\0def"), "08P01", "Message length does not match input length." },
	{ "a zero byte at the end", BYTES("n,,n=,r=abc\0"), "08P01", "Message length does not match input length." },
	{ "a zero byte alone", BYTES("\0"), "08P01", "Message length does not match input length." },
	{ "channel binding", BYTES("p=tls-server-end-point,,n=,r=abc"), "08P01",
	  "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding "
	  "data." },
	{ "another flag", BYTES("x,,n=,r=abc"), "08P01", "Unexpected channel-binding flag \"'x'\"." },
	{ "a flag that can't be shown", BYTES("\xff,,n=,r=abc"), "08P01", "Unexpected channel-binding flag \"0xff\"." },
	{ "a flag alone", BYTES("n"), "08P01", "Comma expected, but found end of string." },
	{ "a flag that goes on", BYTES("nn,,n=,r=abc"), "08P01", "Comma expected, but found 'n'." },
	{ "half a header", BYTES("n,"), "08P01", "Unexpected attribute \"\" in client-first-message." },
	{ "another identity", BYTES("n,a=admin,n=,r=abc"), "0A000",
	  "client uses authorization identity, but it is not supported" },
	{ "something else in its place", BYTES("n,b=x,n=,r=abc"), "08P01",
	  "Unexpected attribute \"'b'\" in client-first-message." },
	{ "a header alone", BYTES("n,,"), "08P01", "Expected attribute \"n\" but found end of string." },
	{ "a mandatory extension", BYTES("n,,m=x,n=,r=abc"), "0A000",
	  "client requires an unsupported SCRAM extension" },
	{ "no user", BYTES("n,,r=abc"), "08P01", "Expected attribute \"n\" but found \"'r'\"." },
	{ "a user without =", BYTES("n,,n,r=abc"), "08P01", "Expected character \"=\" for attribute \"n\"." },
	{ "a user's name alone", BYTES("n,,n"), "08P01", "Expected character \"=\" for attribute \"n\"." },
	{ "no nonce", BYTES("n,,n="), "08P01", "Expected attribute \"r\" but found end of string." },
	{ "no nonce, but a comma", BYTES("n,,n=,"), "08P01", "Attribute expected, but found end of string." },
	{ "something for a nonce", BYTES("n,,n=,s=abc"), "08P01", "Expected attribute \"r\" but found \"'s'\"." },
	{ "an empty nonce", BYTES("n,,n=,r="), "08P01", "non-printable characters in SCRAM nonce" },
	{ "a nonce with a blank", BYTES("n,,n=,r=a b"), "08P01", "non-printable characters in SCRAM nonce" },
	{ "a nonce with a DEL", BYTES("n,,n=,r=a\x7f"), "08P01", "non-printable characters in SCRAM nonce" },
	{ "a nonce above ASCII", BYTES("n,,n=,r=\xc3\xa4"), "08P01", "non-printable characters in SCRAM nonce" },
	{ "an extension without a name", BYTES("n,,n=,r=abc,=x"), "08P01",
	  "Attribute expected, but found invalid character \"'='\"." },
	{ "an extension without =", BYTES("n,,n=,r=abc,x"), "08P01", "Expected character \"=\" for attribute \"x\"." },
	{ "a comma at the end", BYTES("n,,n=,r=abc,"), "08P01", "Attribute expected, but found end of string." },
};

static void
expect_refusal(const struct fail *why, const char *sqlstate, const char *said, const char *rule)
{
	cr_expect_str_eq(why->sqlstate, sqlstate, "%s", rule);
	cr_expect_str_eq(why->detail[0] ? why->detail : why->text, said, "%s", rule);
}

Test(scram, first_messages_of_clients)
{
	struct scram_verifier v = pg_verifier();

	EACH(row, client_first_rows) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, "OURS");
		char *in = exact(row->in, row->len), out[SCRAM_TEXT_MAX];
		struct fail why = { 0 };
		int result = scram_server_first(s, in, row->len, out, &why);

		cr_expect_eq(result, row->sqlstate ? -1 : 0, "%s", row->rule);
		if (result < 0) {
			expect_refusal(&why, row->sqlstate, row->said, row->rule);
			cr_expect_str_eq(out, "", "%s", row->rule);
		}
		free_exact(in);
		scram_server_free(s);
	}
}

#define FINAL_NONCE "abcOURS"
#define A_PROOF "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" /* 32 bytes, and nobody's */

static const struct {
	const char *rule, *first, *in;
	size_t len;
	const char *sqlstate, *said;
} client_final_rows[] = {
	{ "well-formed, so the proof is looked at", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF),
	  "28P01", "password authentication failed" },
	{ "the same after y", "y,,n=,r=abc", BYTES("c=eSws,r=" FINAL_NONCE ",p=" A_PROOF), "28P01",
	  "password authentication failed" },
	{ "with an extension", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",x=y,p=" A_PROOF), "28P01",
	  "password authentication failed" },
	{ "y's binding after n", "n,,n=,r=abc", BYTES("c=eSws,r=" FINAL_NONCE ",p=" A_PROOF), "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
	{ "n's binding after y: someone changed the flag on its way", "y,,n=,r=abc",
	  BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF), "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
	{ "a longer binding", "n,,n=,r=abc", BYTES("c=biwsAAAA,r=" FINAL_NONCE ",p=" A_PROOF), "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
	{ "an empty binding", "n,,n=,r=abc", BYTES("c=,r=" FINAL_NONCE ",p=" A_PROOF), "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
	{ "no binding", "n,,n=,r=abc", BYTES("r=" FINAL_NONCE ",p=" A_PROOF), "08P01",
	  "Expected attribute \"c\" but found \"'r'\"." },
	{ "no nonce", "n,,n=,r=abc", BYTES("c=biws,p=" A_PROOF), "08P01",
	  "Expected attribute \"r\" but found \"'p'\"." },
	{ "another nonce", "n,,n=,r=abc", BYTES("c=biws,r=abcOURT,p=" A_PROOF), "08P01", "Nonce does not match." },
	{ "a shorter nonce", "n,,n=,r=abc", BYTES("c=biws,r=abcOUR,p=" A_PROOF), "08P01", "Nonce does not match." },
	{ "a longer nonce", "n,,n=,r=abc", BYTES("c=biws,r=abcOURS1,p=" A_PROOF), "08P01", "Nonce does not match." },
	{ "the client's nonce alone", "n,,n=,r=abc", BYTES("c=biws,r=abc,p=" A_PROOF), "08P01",
	  "Nonce does not match." },
	{ "an empty nonce", "n,,n=,r=abc", BYTES("c=biws,r=,p=" A_PROOF), "08P01", "Nonce does not match." },
	{ "no proof", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE), "08P01",
	  "Attribute expected, but found end of string." },
	{ "no proof, but a comma", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ","), "08P01",
	  "Attribute expected, but found end of string." },
	{ "no proof, but an extension", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",x=y"), "08P01",
	  "Attribute expected, but found end of string." },
	{ "an empty proof", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p="), "08P01",
	  "Malformed proof in client-final-message." },
	{ "a short proof", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=AAAA"), "08P01",
	  "Malformed proof in client-final-message." },
	{ "a proof of 33 bytes", "n,,n=,r=abc",
	  BYTES("c=biws,r=" FINAL_NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "08P01",
	  "Malformed proof in client-final-message." },
	{ "a proof without padding", "n,,n=,r=abc",
	  BYTES("c=biws,r=" FINAL_NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "08P01",
	  "Malformed proof in client-final-message." },
	{ "a proof spelt another way", "n,,n=,r=abc",
	  BYTES("c=biws,r=" FINAL_NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="), "08P01",
	  "Malformed proof in client-final-message." },
	{ "something after the proof", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF ",x=y"), "08P01",
	  "Garbage found at the end of client-final-message." },
	{ "two proofs", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF ",p=" A_PROOF), "08P01",
	  "Garbage found at the end of client-final-message." },
	{ "a newline at the end", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF "\n"), "08P01",
	  "Malformed proof in client-final-message." },
	{ "a zero byte at the end", "n,,n=,r=abc", BYTES("c=biws,r=" FINAL_NONCE ",p=" A_PROOF "\0"), "08P01",
	  "Message length does not match input length." },
	{ "nothing", "n,,n=,r=abc", BYTES(""), "08P01", "The message is empty." },
};

Test(scram, final_messages_of_clients)
{
	struct scram_verifier v = pg_verifier();

	EACH(row, client_final_rows) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, "OURS");
		char *in = exact(row->in, row->len), out[SCRAM_TEXT_MAX];
		struct scram_keys keys;
		struct fail why = { 0 };

		cr_assert_eq(scram_server_first(s, row->first, strlen(row->first), out, &why), 0);
		cr_expect_eq(scram_server_final(s, in, row->len, out, &keys, &why), -1, "%s", row->rule);
		expect_refusal(&why, row->sqlstate, row->said, row->rule);
		cr_expect_str_eq(out, "", "%s", row->rule);
		cr_expect_not(keys.is_set, "%s", row->rule);
		free_exact(in);
		scram_server_free(s);
	}
}

Test(scram, the_proof_covers_every_byte_both_said)
{
	static const struct {
		const char *rule, *first, *final;
	} rows[] = {
		{ "the user's name", "n,,n=User,r=" RFC_CLIENT_NONCE, RFC_CLIENT_FINAL },
		{ "an extension of the first message", RFC_CLIENT_FIRST ",x=y", RFC_CLIENT_FINAL },
		{ "an extension of the last", RFC_CLIENT_FIRST, RFC_WITHOUT_PROOF ",x=y,p=" RFC_PROOF },
	};
	struct scram_verifier v = rfc_verifier();

	EACH(row, rows) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
		char out[SCRAM_TEXT_MAX];
		struct fail why;

		cr_assert_eq(scram_server_first(s, row->first, strlen(row->first), out, &why), 0);
		cr_expect_eq(scram_server_final(s, row->final, strlen(row->final), out, NULL, &why), -1);
		cr_expect_str_eq(why.sqlstate, "28P01", "%s", row->rule);
		scram_server_free(s);
	}
}

Test(scram, every_single_bit_of_the_proof_counts)
{
	struct scram_verifier v = rfc_verifier();
	uint8_t proof[SCRAM_KEY_LEN];
	size_t proof_len;

	cr_assert_eq(base64_decode(BYTES(RFC_PROOF), proof, sizeof(proof), &proof_len), 0);
	for (size_t bit = 0; bit < SCRAM_KEY_LEN * 8; bit++) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
		char out[SCRAM_TEXT_MAX], text[BASE64_LEN(SCRAM_KEY_LEN) + 1], final[256];
		struct fail why;

		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		base64_encode(proof, sizeof(proof), text);
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		snprintf(final, sizeof(final), "%s,p=%s", RFC_WITHOUT_PROOF, text);
		cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0);
		cr_expect_eq(scram_server_final(s, final, strlen(final), out, NULL, &why), -1, "bit %zu", bit);
		scram_server_free(s);
	}
}

Test(scram, messages_cut_anywhere_are_refused)
{
	struct scram_verifier v = rfc_verifier();
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	/* From the nonce's first character on, less is still a message. */
	for (size_t len = 0; len <= strlen("n,,n=user,r="); len++) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
		char *in = exact(RFC_CLIENT_FIRST, len);

		cr_expect_eq(scram_server_first(s, in, len, out, &why), -1, "%zu bytes of client-first", len);
		free_exact(in);
		scram_server_free(s);
	}
	for (size_t len = 0; len < sizeof(RFC_CLIENT_FINAL) - 1; len++) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
		char *in = exact(RFC_CLIENT_FINAL, len);

		cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0);
		cr_expect_eq(scram_server_final(s, in, len, out, NULL, &why), -1, "%zu bytes of client-final", len);
		cr_expect_str_eq(why.sqlstate, "08P01", "%zu bytes of client-final", len);
		free_exact(in);
		scram_server_free(s);
	}
}

/* As a length word of a hostile message may have it: refused before a byte is read. */
Test(scram, no_length_is_believed)
{
	static const size_t lens[] = { SCRAM_TEXT_MAX, 65536, 0x7fffffff, 0xffffffff, SIZE_MAX };
	struct scram_verifier v = pg_verifier();

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, NULL);
		struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
		char *in = exact("n", 1), out[SCRAM_TEXT_MAX];
		struct fail why;

		cr_expect_eq(scram_server_first(s, in, lens[i], out, &why), -1);
		expect_refusal(&why, "08P01", "The message is longer than 2047 bytes.", "client-first");
		cr_assert_eq(scram_client_first(c, out, &why), 0);
		cr_expect_eq(take_challenge(c, in, lens[i], NULL, NULL, &why), -1);
		expect_refusal(&why, "08P01", "The message is longer than 2047 bytes.", "server-first");
		free_exact(in);
		scram_server_free(s);
		scram_client_free(c);
	}
}

Test(scram, an_initial_response_may_be_missing)
{
	struct scram_verifier v = pg_verifier();
	struct scram_server *s = scram_server_new(&v, false, &in_the_clear, NULL);
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	cr_expect_eq(scram_server_first(s, NULL, 0, out, &why), -1);
	expect_refusal(&why, "08P01", "The message is empty.", "a length of -1");
	scram_server_free(s);
}

Test(scram, a_clients_nonce_has_a_limit)
{
	struct scram_verifier v = pg_verifier();

	for (size_t len = SCRAM_NONCE_MAX - 24; len <= SCRAM_NONCE_MAX - 23; len++) {
		struct scram_server *s = scram_server_new(&v, false, &in_the_clear, NULL);
		char in[SCRAM_TEXT_MAX] = "n,,n=,r=", out[SCRAM_TEXT_MAX];
		struct fail why;
		int result;

		memset(in + 8, 'x', len);
		result = scram_server_first(s, in, 8 + len, out, &why);
		cr_expect_eq(result, len > SCRAM_NONCE_MAX - 24 ? -1 : 0);
		if (result < 0)
			expect_refusal(&why, "08P01", "The nonce is longer than 488 characters.", "a long nonce");
		scram_server_free(s);
	}
}

Test(scram, a_server_takes_its_messages_once_and_in_order)
{
	struct scram_verifier v = rfc_verifier();
	struct scram_server *s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	cr_expect_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, NULL, &why), -1, "before the first");
	cr_expect_str_eq(why.sqlstate, "08P01");
	cr_expect_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), -1, "nothing goes after a failure");
	scram_server_free(s);

	s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
	cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0);
	cr_expect_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), -1, "twice the first");
	cr_expect_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, NULL, &why), -1);
	scram_server_free(s);

	s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
	cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0);
	cr_expect_eq(scram_server_final(s, BYTES("c=biws"), out, NULL, &why), -1);
	cr_expect_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, NULL, &why), -1, "there is no second guess");
	scram_server_free(s);

	s = scram_server_new(&v, false, &in_the_clear, RFC_SERVER_NONCE);
	cr_assert_eq(scram_server_first(s, BYTES(RFC_CLIENT_FIRST), out, &why), 0);
	cr_assert_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, NULL, &why), 0);
	cr_expect_eq(scram_server_final(s, BYTES(RFC_CLIENT_FINAL), out, NULL, &why), -1, "twice the last");
	scram_server_free(s);
}

/* --- What a hostile server may send. --- */

static const struct {
	const char *rule, *in;
	size_t len;
	const char *sqlstate, *said;
} server_first_rows[] = {
	{ "PostgreSQL's", BYTES("r=mineTHEIRS,s=MWvfBu93Wz2fLvvCUjFpiA==,i=4096"), NULL, NULL },
	{ "an extension", BYTES("r=mineTHEIRS,s=c2FsdA==,i=4096,x=y"), NULL, NULL },
	{ "the most iterations", BYTES("r=mineT,s=c2FsdA==,i=1000000"), NULL, NULL },
	{ "one more would keep us busy", BYTES("r=mineT,s=c2FsdA==,i=1000001"), "08P01", "Invalid iteration count." },
	{ "2^32 + 1 iterations", BYTES("r=mineT,s=c2FsdA==,i=4294967297"), "08P01", "Invalid iteration count." },
	{ "no iterations", BYTES("r=mineT,s=c2FsdA==,i=0"), "08P01", "Invalid iteration count." },
	{ "a negative count", BYTES("r=mineT,s=c2FsdA==,i=-1"), "08P01", "Invalid iteration count." },
	{ "an empty count", BYTES("r=mineT,s=c2FsdA==,i="), "08P01", "Invalid iteration count." },
	{ "a count and more", BYTES("r=mineT,s=c2FsdA==,i=4096x"), "08P01", "Invalid iteration count." },
	{ "no count", BYTES("r=mineT,s=c2FsdA=="), "08P01", "Expected attribute \"i\" but found end of string." },
	{ "an empty salt", BYTES("r=mineT,s=,i=4096"), "08P01", "Invalid salt." },
	{ "a salt that is no base64", BYTES("r=mineT,s=salt!,i=4096"), "08P01", "Invalid salt." },
	{ "a salt longer than we hold", BYTES("r=mineT,s=" SALT64 SALT64 SALT64 ",i=4096"), "08P01", "Invalid salt." },
	{ "no salt", BYTES("r=mineT,i=4096"), "08P01", "Expected attribute \"s\" but found \"'i'\"." },
	{ "our nonce alone", BYTES("r=mine,s=c2FsdA==,i=4096"), "08P01", "Nonce does not match." },
	{ "another nonce", BYTES("r=yoursTHEIRS,s=c2FsdA==,i=4096"), "08P01", "Nonce does not match." },
	{ "a part of our nonce", BYTES("r=min,s=c2FsdA==,i=4096"), "08P01", "Nonce does not match." },
	{ "a nonce with a tab", BYTES("r=mine\t,s=c2FsdA==,i=4096"), "08P01",
	  "non-printable characters in SCRAM nonce" },
	{ "an empty nonce", BYTES("r=,s=c2FsdA==,i=4096"), "08P01", "non-printable characters in SCRAM nonce" },
	{ "no nonce", BYTES("s=c2FsdA==,i=4096"), "08P01", "Expected attribute \"r\" but found \"'s'\"." },
	{ "a mandatory extension", BYTES("m=x,r=mineT,s=c2FsdA==,i=4096"), "0A000",
	  "server requires an unsupported SCRAM extension" },
	{ "an error already", BYTES("e=other-error"), "08P01", "Expected attribute \"r\" but found \"'e'\"." },
	{ "garbage at the end", BYTES("r=mineT,s=c2FsdA==,i=4096,"), "08P01",
	  "Attribute expected, but found end of string." },
	{ "a zero byte", BYTES("r=mineT,s=c2FsdA==,i=4096\0"), "08P01", "Message length does not match input length." },
	{ "nothing", BYTES(""), "08P01", "The message is empty." },
};

Test(scram, first_messages_of_servers)
{
	EACH(row, server_first_rows) {
		struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", "mine");
		char *in = exact(row->in, row->len), out[SCRAM_TEXT_MAX];
		struct fail why = { 0 };
		int result;

		cr_assert_eq(scram_client_first(c, out, &why), 0);
		result = take_challenge(c, in, row->len, NULL, NULL, &why);
		cr_expect_eq(result, row->sqlstate ? -1 : 0, "%s", row->rule);
		if (result < 0)
			expect_refusal(&why, row->sqlstate, row->said, row->rule);
		free_exact(in);
		scram_client_free(c);
	}
}

/* A pooler once copied a server's nonce to a buffer of its own choice (CVE-2026-6665). */
Test(scram, a_servers_nonce_may_have_any_length_and_does_no_harm)
{
	static const size_t lens[] = { 511, 512, 513, 1024, 2000, 2030, 60000 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", "mine");
		struct scram_keys keys = { .is_set = true, .iterations = 4096, .salt_len = 4 };
		char *in = calloc(1, lens[i] + 64);
		char out[SCRAM_TEXT_MAX];
		struct fail why;
		int result;

		memcpy(keys.salt, "salt", 4);
		memcpy(in, "r=mine", 6);
		memset(in + 6, 'N', lens[i] - 4);
		strcpy(in + 2 + lens[i], ",s=c2FsdA==,i=4096");
		cr_assert_eq(scram_client_first(c, out, &why), 0);
		result = take_challenge(c, in, strlen(in), NULL, NULL, &why);
		cr_expect_eq(result, lens[i] > SCRAM_NONCE_MAX ? -1 : 0, "%zu", lens[i]);
		if (result == 0) {
			cr_expect_eq(scram_client_final(c, &keys, out, &why), 0);
			cr_expect_eq(strlen(out), strlen("c=biws,r=,p=") + lens[i] + 44, "%zu", lens[i]);
		}
		free(in);
		scram_client_free(c);
	}
}

static const struct {
	const char *rule, *in;
	size_t len;
	const char *sqlstate, *said;
} server_final_rows[] = {
	{ "the right signature", BYTES(RFC_SERVER_FINAL), NULL, NULL },
	{ "and an extension", BYTES(RFC_SERVER_FINAL ",x=y"), NULL, NULL },
	{ "another signature", BYTES("v=" A_PROOF), "28000",
	  "incorrect server signature: the server does not know this user's keys" },
	{ "the signature with its last bit changed", BYTES("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8="), "28000",
	  "incorrect server signature: the server does not know this user's keys" },
	{ "our own proof sent back", BYTES("v=" RFC_PROOF), "28000",
	  "incorrect server signature: the server does not know this user's keys" },
	{ "a short signature", BYTES("v=6rriTRBi"), "08P01", "Invalid server signature." },
	{ "no base64", BYTES("v=!"), "08P01", "Invalid server signature." },
	{ "an empty signature", BYTES("v="), "08P01", "Invalid server signature." },
	{ "garbage after it", BYTES(RFC_SERVER_FINAL ",1=2"), "08P01",
	  "Attribute expected, but found invalid character \"'1'\"." },
	{ "an error", BYTES("e=invalid-proof"), "28P01", "the server refused the SCRAM login: invalid-proof" },
	{ "an error nobody should see as it is", BYTES("e=a\nb\x1b[2J\xff"), "28P01",
	  "the server refused the SCRAM login: a?b?[2J?" },
	{ "a long error", BYTES("e=" SALT64 SALT64), "28P01",
	  "the server refused the SCRAM login: c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx" },
	{ "an error without =", BYTES("e"), "08P01", "Expected character \"=\" for attribute \"e\"." },
	{ "neither", BYTES("x=y"), "08P01", "Expected attribute \"v\" but found \"'x'\"." },
	{ "nothing", BYTES(""), "08P01", "The message is empty." },
	{ "a zero byte", BYTES(RFC_SERVER_FINAL "\0"), "08P01", "Message length does not match input length." },
};

/* A client that has sent its proof. */
static struct scram_client *
proven_client(void)
{
	struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "user", RFC_CLIENT_NONCE);
	char out[SCRAM_TEXT_MAX];
	struct scram_keys keys;
	struct fail why;

	cr_assert_eq(scram_client_first(c, out, &why), 0);
	cr_assert_eq(take_challenge(c, BYTES(RFC_SERVER_FIRST), RFC_PASSWORD, &keys, &why), 0);
	cr_assert_eq(scram_client_final(c, &keys, out, &why), 0);
	return c;
}

Test(scram, final_messages_of_servers)
{
	EACH(row, server_final_rows) {
		struct scram_client *c = proven_client();
		char *in = exact(row->in, row->len);
		struct fail why = { 0 };
		int result = scram_client_verify(c, in, row->len, &why);

		cr_expect_eq(result, row->sqlstate ? -1 : 0, "%s", row->rule);
		if (result < 0)
			expect_refusal(&why, row->sqlstate, row->said, row->rule);
		free_exact(in);
		scram_client_free(c);
	}
}

Test(scram, a_client_takes_its_messages_once_and_in_order)
{
	struct scram_keys keys = { .is_set = true };
	struct scram_client *c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	cr_expect_eq(take_challenge(c, BYTES(RFC_SERVER_FIRST), NULL, NULL, &why), -1);
	cr_expect_eq(scram_client_first(c, out, &why), -1, "nothing goes after a failure");
	scram_client_free(c);

	c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
	cr_expect_eq(scram_client_final(c, &keys, out, &why), -1, "a proof before the challenge");
	cr_expect_str_eq(out, "");
	scram_client_free(c);

	/* A server that skips the challenge, hoping that a signature of zeroes is what we expect so far. */
	c = scram_client_new(&in_the_clear, SCRAM_BINDING_PREFER, "", NULL);
	cr_assert_eq(scram_client_first(c, out, &why), 0);
	cr_expect_eq(scram_client_verify(c, BYTES("v=" A_PROOF), &why), -1);
	cr_expect_str_eq(why.sqlstate, "08P01");
	scram_client_free(c);

	c = proven_client();
	cr_expect_eq(scram_client_verify(c, BYTES("v=" A_PROOF), &why), -1);
	cr_expect_eq(scram_client_verify(c, BYTES(RFC_SERVER_FINAL), &why), -1, "there is no second guess");
	scram_client_free(c);
}

/* --- Channel binding. --- */

#define END_POINT "0123456789abcdef0123456789abcdef" /* 32 bytes: as long as a SHA-256 */
#define BOUND64                                                                                                        \
	"cD10bHMtc2VydmVyLWVuZC1wb2ludCwsMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" /* header and END_POINT */

static struct scram_channel
tls(const char *end_point)
{
	struct scram_channel channel = { .is_tls = true, .end_point_len = strlen(end_point) };

	memcpy(channel.end_point, end_point, channel.end_point_len);
	return channel;
}

Test(scram, plus_is_offered_over_tls_and_only_there)
{
	struct scram_verifier v = pg_verifier();
	struct scram_channel bound = tls(END_POINT), without_hash = tls("");
	const struct {
		const char *rule;
		const struct scram_channel *channel;
		const char *want;
		size_t want_len;
	} rows[] = {
		{ "in the clear", &in_the_clear, BYTES("SCRAM-SHA-256\0\0") },
		{ "TLS", &bound, BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0") },
		{ "TLS with a certificate that has no hash", &without_hash, BYTES("SCRAM-SHA-256\0\0") },
	};

	EACH(row, rows) {
		struct scram_server *s = scram_server_new(&v, false, row->channel, NULL);
		char offer[SCRAM_OFFER_MAX];

		cr_expect_eq(scram_server_offer(s, offer), row->want_len, "%s", row->rule);
		cr_expect_arr_eq(offer, row->want, row->want_len, "%s", row->rule);
		scram_server_free(s);
	}
}

/* How far a client gets that chose this mechanism and says this at first, then this of the channel. */
static const struct {
	const char *rule;
	const char *end_point; /* ours; NULL: in the clear */
	const char *mechanism, *first;
	const char *binding; /* c= of client-final; NULL: it does not come to that */
	const char *sqlstate, *said; /* NULL: the proof was looked at */
} binding_rows[] = {
	{ "PLUS", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", BOUND64, NULL, NULL },
	{ "TLS without PLUS: the client can't", END_POINT, "SCRAM-SHA-256", "n,,n=,r=abc", "biws", NULL, NULL },
	{ "a client that could, and was not offered it", "", "SCRAM-SHA-256", "y,,n=,r=abc", "eSws", NULL, NULL },
	{ "the same in the clear", NULL, "SCRAM-SHA-256", "y,,n=,r=abc", "eSws", NULL, NULL },
	{ "a client that thinks we did not offer it: somebody took it off", END_POINT, "SCRAM-SHA-256", "y,,n=,r=abc",
	  NULL, "28000",
	  "The client supports SCRAM channel binding but thinks the server does not.  However, this server does "
	  "support channel binding." },
	{ "PLUS in the clear", NULL, "SCRAM-SHA-256-PLUS", NULL, NULL, "08P01",
	  "client selected an invalid SASL authentication mechanism" },
	{ "PLUS without a hash", "", "SCRAM-SHA-256-PLUS", NULL, NULL, "08P01",
	  "client selected an invalid SASL authentication mechanism" },
	{ "another mechanism", END_POINT, "SCRAM-SHA-1-PLUS", NULL, NULL, "08P01",
	  "client selected an invalid SASL authentication mechanism" },
	{ "an empty mechanism", END_POINT, "", NULL, NULL, "08P01",
	  "client selected an invalid SASL authentication mechanism" },
	{ "p without PLUS", END_POINT, "SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", NULL, "08P01",
	  "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding "
	  "data." },
	{ "PLUS without p", END_POINT, "SCRAM-SHA-256-PLUS", "n,,n=,r=abc", NULL, "08P01",
	  "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data." },
	{ "PLUS with y", END_POINT, "SCRAM-SHA-256-PLUS", "y,,n=,r=abc", NULL, "08P01",
	  "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data." },
	{ "another type", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc", NULL, "08P01",
	  "unsupported SCRAM channel-binding type \"tls-unique\"" },
	{ "a type that begins like ours", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point2,,n=,r=abc", NULL,
	  "08P01", "unsupported SCRAM channel-binding type \"tls-server-end-point2\"" },
	{ "a type that can't be shown, and is long", END_POINT, "SCRAM-SHA-256-PLUS",
	  "p=\x1b[2J\xff aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,,n=,r=abc", NULL, "08P01",
	  "unsupported SCRAM channel-binding type \"?[2J??aaaaaaaaaaaaaaaaaaaaaaaa\"" },
	{ "an empty type", END_POINT, "SCRAM-SHA-256-PLUS", "p=,,n=,r=abc", NULL, "08P01",
	  "unsupported SCRAM channel-binding type \"\"" },
	{ "no type", END_POINT, "SCRAM-SHA-256-PLUS", "p,,n=,r=abc", NULL, "08P01",
	  "Expected character \"=\" for attribute \"p\"." },
	{ "a type alone", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point", NULL, "08P01",
	  "Unexpected attribute \"\" in client-first-message." },
	{ "another identity", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,a=admin,n=,r=abc", NULL, "0A000",
	  "client uses authorization identity, but it is not supported" },
	{ "the certificate of a man in the middle", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc",
	  "cD10bHMtc2VydmVyLWVuZC1wb2ludCwsMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWc=", "28000",
	  "SCRAM channel binding check failed" },
	{ "no certificate", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc",
	  "cD10bHMtc2VydmVyLWVuZC1wb2ludCws", "28000", "SCRAM channel binding check failed" },
	{ "a binding of nothing", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", "biws", "28000",
	  "SCRAM channel binding check failed" },
	{ "a longer one", END_POINT, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", BOUND64 "AAAA", "28000",
	  "SCRAM channel binding check failed" },
	{ "a binding that nobody announced", END_POINT, "SCRAM-SHA-256", "n,,n=,r=abc", BOUND64, "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
	{ "y, with n's header behind it", "", "SCRAM-SHA-256", "y,,n=,r=abc", "biws", "08P01",
	  "unexpected SCRAM channel-binding attribute in client-final-message" },
};

Test(scram, what_clients_say_of_the_channel)
{
	struct scram_verifier v = pg_verifier();

	EACH(row, binding_rows) {
		struct scram_channel channel = row->end_point == NULL ? in_the_clear : tls(row->end_point);
		struct scram_server *s = scram_server_new(&v, false, &channel, "OURS");
		const char *first = row->first, *binding = row->binding;
		char out[SCRAM_TEXT_MAX], final[512];
		struct fail why = { 0 };
		int result = scram_server_select(s, row->mechanism, &why);

		cr_expect_eq(result, first == NULL ? -1 : 0, "%s", row->rule);
		if (first != NULL) {
			result = scram_server_first(s, first, strlen(first), out, &why);
			cr_expect_eq(result, binding == NULL ? -1 : 0, "%s: %s", row->rule, why.detail);
		} else
			cr_expect_eq(scram_server_first(s, BYTES("n,,n=,r=abc"), out, &(struct fail){ 0 }), -1,
				     "nothing goes on: %s", row->rule);
		if (result == 0) {
			snprintf(final, sizeof(final), "c=%s,r=%s,p=%s", binding, FINAL_NONCE, A_PROOF);
			cr_expect_eq(scram_server_final(s, final, strlen(final), out, NULL, &why), -1, "%s", row->rule);
		}
		expect_refusal(&why, row->sqlstate ? row->sqlstate : "28P01",
			       row->said ? row->said : "password authentication failed", row->rule);
		scram_server_free(s);
	}
}

Test(scram, a_mechanism_is_chosen_before_the_first_message)
{
	struct scram_verifier v = pg_verifier();
	struct scram_channel channel = tls(END_POINT);
	struct scram_server *s = scram_server_new(&v, false, &channel, "OURS");
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	cr_assert_eq(scram_server_first(s, BYTES("n,,n=,r=abc"), out, &why), 0);
	cr_expect_eq(scram_server_select(s, "SCRAM-SHA-256-PLUS", &why), -1);
	scram_server_free(s);
}

/* Both sides of a login over these two ends of a channel; what either said in why. */
static int
bound_login(const struct scram_channel *server_end, const struct scram_channel *client_end, enum scram_binding policy,
	    bool *is_bound, struct fail *why)
{
	struct scram_verifier v = pg_verifier();
	struct scram_server *s = scram_server_new(&v, false, server_end, NULL);
	struct scram_client *c = scram_client_new(client_end, policy, "", NULL);
	char to_server[SCRAM_TEXT_MAX], to_client[SCRAM_TEXT_MAX], offer[SCRAM_OFFER_MAX];
	const char *mechanism = scram_client_select(c, (const uint8_t *)offer, scram_server_offer(s, offer), why);
	struct scram_keys keys;
	int result = -1;

	if (mechanism != NULL && scram_server_select(s, mechanism, why) == 0 &&
	    scram_client_first(c, to_server, why) == 0 &&
	    scram_server_first(s, to_server, strlen(to_server), to_client, why) == 0 &&
	    take_challenge(c, to_client, strlen(to_client), PG_PASSWORD, &keys, why) == 0 &&
	    scram_client_final(c, &keys, to_server, why) == 0 &&
	    scram_server_final(s, to_server, strlen(to_server), to_client, NULL, why) == 0)
		result = scram_client_verify(c, to_client, strlen(to_client), why);
	*is_bound = scram_client_is_bound(c);
	scram_server_free(s);
	scram_client_free(c);
	return result;
}

Test(scram, our_two_sides_bind_when_both_can)
{
	struct scram_channel ends[] = { in_the_clear, tls(""), tls(END_POINT), tls("another certificate's") };
	enum { CLEAR, NO_HASH, OURS, OTHER };
	static const struct {
		const char *rule;
		int server, client;
		enum scram_binding policy;
		bool is_right, is_bound;
		const char *sqlstate;
	} rows[] = {
		{ "in the clear", CLEAR, CLEAR, SCRAM_BINDING_PREFER, true, false, NULL },
		{ "TLS", OURS, OURS, SCRAM_BINDING_PREFER, true, true, NULL },
		{ "TLS, required", OURS, OURS, SCRAM_BINDING_REQUIRE, true, true, NULL },
		{ "TLS, not wanted", OURS, OURS, SCRAM_BINDING_DISABLE, true, false, NULL },
		{ "a server that can't", NO_HASH, OURS, SCRAM_BINDING_PREFER, true, false, NULL },
		{ "a client that can't is no downgrade", OURS, NO_HASH, SCRAM_BINDING_PREFER, true, false, NULL },
		{ "a client that must and can't", OURS, NO_HASH, SCRAM_BINDING_REQUIRE, false, false, "28000" },
		{ "a server that can't and must", NO_HASH, OURS, SCRAM_BINDING_REQUIRE, false, false, "28000" },
		{ "in the clear, required", CLEAR, CLEAR, SCRAM_BINDING_REQUIRE, false, false, "28000" },
		{ "a man in the middle", OURS, OTHER, SCRAM_BINDING_PREFER, false, true, "28000" },
		{ "somebody ends TLS on the way", OURS, CLEAR, SCRAM_BINDING_PREFER, false, false, "28000" },
	};

	EACH(row, rows) {
		struct fail why = { 0 };
		bool is_bound;

		cr_expect_eq(bound_login(&ends[row->server], &ends[row->client], row->policy, &is_bound, &why),
			     row->is_right ? 0 : -1, "%s: %s", row->rule, why.text);
		cr_expect_eq(is_bound, row->is_bound, "%s", row->rule);
		if (row->sqlstate != NULL)
			cr_expect_str_eq(why.sqlstate, row->sqlstate, "%s: %s", row->rule, why.text);
	}
}

/* What a hostile server may offer: which mechanism, and what the first message begins with. */
Test(scram, what_servers_offer)
{
	struct scram_channel bound = tls(END_POINT), without_hash = tls("");
	const struct {
		const char *rule;
		const struct scram_channel *channel;
		enum scram_binding policy;
		const char *offer;
		size_t offer_len;
		const char *want, *header; /* want NULL: refused */
	} rows[] = {
		{ "both", &bound, SCRAM_BINDING_PREFER, BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
		  "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=" },
		{ "the other way round", &bound, SCRAM_BINDING_PREFER, BYTES("SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0"),
		  "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=" },
		{ "PLUS taken off on the way: the server will see the y", &bound, SCRAM_BINDING_PREFER,
		  BYTES("SCRAM-SHA-256\0\0"), "SCRAM-SHA-256", "y,,n=,r=" },
		{ "the same, and PLUS is required", &bound, SCRAM_BINDING_REQUIRE, BYTES("SCRAM-SHA-256\0\0"), NULL,
		  NULL },
		{ "PLUS is not wanted", &bound, SCRAM_BINDING_DISABLE, BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
		  "SCRAM-SHA-256", "n,,n=,r=" },
		{ "PLUS alone, and it is not wanted", &bound, SCRAM_BINDING_DISABLE, BYTES("SCRAM-SHA-256-PLUS\0\0"),
		  NULL, NULL },
		{ "nothing to bind to", &without_hash, SCRAM_BINDING_PREFER,
		  BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), "SCRAM-SHA-256", "n,,n=,r=" },
		{ "PLUS in the clear", &in_the_clear, SCRAM_BINDING_PREFER,
		  BYTES("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), NULL, NULL },
		{ "others before ours", &in_the_clear, SCRAM_BINDING_PREFER,
		  BYTES("OAUTHBEARER\0SCRAM-SHA-1\0SCRAM-SHA-256\0\0"), "SCRAM-SHA-256", "n,,n=,r=" },
		{ "others only", &in_the_clear, SCRAM_BINDING_PREFER, BYTES("OAUTHBEARER\0SCRAM-SHA-1\0\0"), NULL,
		  NULL },
		{ "no list", &in_the_clear, SCRAM_BINDING_PREFER, BYTES(""), NULL, NULL },
		{ "an empty list", &in_the_clear, SCRAM_BINDING_PREFER, BYTES("\0"), NULL, NULL },
		{ "a name without end", &in_the_clear, SCRAM_BINDING_PREFER, BYTES("SCRAM-SHA-256"), NULL, NULL },
		{ "behind the end", &in_the_clear, SCRAM_BINDING_PREFER, BYTES("X\0\0SCRAM-SHA-256\0\0"), NULL, NULL },
	};

	EACH(row, rows) {
		struct scram_client *c = scram_client_new(row->channel, row->policy, "", NULL);
		char *offer = exact(row->offer, row->offer_len), out[SCRAM_TEXT_MAX];
		struct fail why = { 0 };
		const char *chosen = scram_client_select(c, (const uint8_t *)offer, row->offer_len, &why);

		cr_assert_eq(chosen == NULL, row->want == NULL, "%s", row->rule);
		if (chosen != NULL) {
			cr_expect_str_eq(chosen, row->want, "%s", row->rule);
			cr_expect_eq(scram_client_first(c, out, &why), 0, "%s", row->rule);
			cr_expect_eq(strncmp(out, row->header, strlen(row->header)), 0, "%s: %s", row->rule, out);
		} else {
			cr_expect_str_eq(why.sqlstate, "28000", "%s", row->rule);
			cr_expect_eq(scram_client_first(c, out, &why), -1, "nothing is sent: %s", row->rule);
		}
		free_exact(offer);
		scram_client_free(c);
	}
}

Test(scram, the_longest_binding_and_nonce_fit_the_messages)
{
	struct scram_channel channel = { .is_tls = true, .end_point_len = SCRAM_BINDING_MAX };
	struct scram_verifier v = pg_verifier();
	struct scram_server *s = scram_server_new(&v, false, &channel, NULL);
	struct scram_client *c;
	char nonce[SCRAM_NONCE_MAX - 24 + 1], to_server[SCRAM_TEXT_MAX], to_client[SCRAM_TEXT_MAX];
	struct scram_keys keys;
	struct fail why;

	memset(nonce, 'x', sizeof(nonce) - 1);
	nonce[sizeof(nonce) - 1] = '\0';
	c = scram_client_new(&channel, SCRAM_BINDING_REQUIRE, "", nonce);
	cr_assert_not_null(scram_client_select(c, (const uint8_t *)BYTES("SCRAM-SHA-256-PLUS\0\0"), &why));
	cr_assert_eq(scram_server_select(s, "SCRAM-SHA-256-PLUS", &why), 0);
	cr_assert_eq(scram_client_first(c, to_server, &why), 0);
	cr_assert_eq(scram_server_first(s, to_server, strlen(to_server), to_client, &why), 0, "%s", why.detail);
	cr_assert_eq(take_challenge(c, to_client, strlen(to_client), PG_PASSWORD, &keys, &why), 0);
	cr_assert_eq(scram_client_final(c, &keys, to_server, &why), 0);
	cr_assert_eq(scram_server_final(s, to_server, strlen(to_server), to_client, NULL, &why), 0, "%s", why.text);
	cr_expect_eq(scram_client_verify(c, to_client, strlen(to_client), &why), 0);
	scram_server_free(s);
	scram_client_free(c);
}

Test(scram, nothing_may_be_freed)
{
	scram_server_free(NULL);
	scram_client_free(NULL);
}
