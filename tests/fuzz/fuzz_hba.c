/*
 * tests/fuzz/fuzz_hba.c - any bytes as an HBA file.
 *
 * Besides memory safety it checks: a refusal is reported with path and line; a file that is accepted answers every
 * question, always with the same rule, and a rule for "no TLS", "local", ... decides only for such connections.
 */
#include "fuzz.h"

#include "auth/hba.h"
#ifdef WITH_LDAP
#include "modules/ldap/ldap.h"
#endif

#include <netinet/in.h>

struct told {
	size_t error_count;
	unsigned line_count;
};

static void
on_problem(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	struct told *t = arg;

	must(strcmp(path, "f") == 0 && line <= t->line_count && text[0] != '\0' && strlen(text) < RULE_TEXT_MAX);
	t->error_count += is_error;
}

static bool
is_near(const struct sockaddr *address, bool is_net)
{
	return is_net || address->sa_family == AF_INET6;
}

static enum hba_fit
has_name(const char *word, void *unused)
{
	(void)unused;
	must(word[0] != '\0');
	return strlen(word) % 3 == 2 ? HBA_LATER : hba_host_fits(word, "web.example.com") ? HBA_YES : HBA_NO;
}

static enum hba_fit
is_member(const char *role, void *unused)
{
	(void)unused;
	return (enum hba_fit)(strlen(role) % 3);
}

#ifdef WITH_LDAP
static size_t
count_of(const struct buf *text, char c)
{
	size_t count = 0;

	for (size_t i = 0; i < text->len; i++)
		count += text->bytes[i] == (uint8_t)c;
	return count;
}

/* A user's name adds nothing that means anything to a filter or, where it is a value, to a distinguished name. */
static void
user_is_a_value(const struct ldap_settings *s, const char *user)
{
	const char *specials = "()*,+=\";";
	struct buf plain = { 0 }, filter = { 0 }, plain_name = { 0 }, name = { 0 };

	ldap_put_filter(s, "x", &plain);
	ldap_put_filter(s, user, &filter);
	ldap_put_name(s, "x", &plain_name);
	ldap_put_name(s, user, &name);
	for (const char *c = specials; *c != '\0'; c++) {
		must(c - specials >= 3 || count_of(&plain, *c) == count_of(&filter, *c));
		must(c - specials < 3 || s->prefix == NULL || strchr(s->prefix, '=') == NULL ||
		     count_of(&plain_name, *c) == count_of(&name, *c));
	}
	buf_fini(&plain);
	buf_fini(&filter);
	buf_fini(&plain_name);
	buf_fini(&name);
}
#endif

static void
question(const struct hba *hba, const struct hba_question *q, unsigned line_count)
{
	struct hba_answer a, again;

	if (hba_match(hba, q, &a) != HBA_YES)
		return;
	must(hba_match(hba, q, &again) == HBA_YES && again.line == a.line && again.method == a.method);
	must(strcmp(a.path, "f") == 0 && a.line >= 1 && a.line <= line_count);
	must(a.method != HBA_PEER || q->over == HBA_OVER_UNIX);
	must(a.method != HBA_CERT || (q->over == HBA_OVER_TLS && a.clientcert == HBA_CLIENTCERT_FULL));
	must(a.clientcert == HBA_CLIENTCERT_NONE || q->over == HBA_OVER_TLS);
	must(a.map == NULL || a.method == HBA_PEER || a.method == HBA_CERT);
	must((a.options != NULL) == (a.method >= HBA_MODULES));
	if (a.options != NULL)
		must(auth_modules[a.method - HBA_MODULES]->service_name(a.options, "own")[0] != '\0');
#ifdef WITH_LDAP
	if (a.method == HBA_MODULES + AUTH_MODULE_ldap)
		user_is_a_value(a.options, q->user);
#endif
}

static void
questions(const struct hba *hba, const char *database, const char *user, unsigned line_count)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memcpy(&v4.sin_addr, "\x0a\x01\x02\x03", 4);
	v6.sin6_addr = in6addr_loopback;
	for (unsigned i = 0; i < 12; i++) {
		const struct hba_question q = { .over = i / 2 % 3 == 0 ? HBA_OVER_UNIX
							: i / 6 == 1   ? HBA_OVER_TLS
								       : HBA_OVER_TCP,
						.is_physical = i % 2 == 1,
						.address =
						    i / 2 % 3 == 1 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
						.database = database,
						.user = user,
						.is_own_address = is_near,
						.has_name = i % 4 == 3 ? NULL : has_name,
						.is_member = i % 4 == 2 ? NULL : is_member };

		question(hba, &q, line_count);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(size > 0 ? size : 1, 1);
	struct told told = { 0, 1 };
	struct hba *hba;

	must(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	for (size_t i = 0; i < size; i++)
		told.line_count += text[i] == '\n';
	hba = hba_load(text, size, "f", on_problem, &told);
	must((hba == NULL) == (told.error_count > 0));
	if (hba != NULL) {
		char *name = string_of(text, size < 200 ? size : 200);

		must(name != NULL);
		questions(hba, "app", "web", told.line_count);
		questions(hba, name, name, told.line_count);
		questions(hba, "", "all", told.line_count);
		free(name);
	}
	hba_unref(hba);
	free(text);
	return 0;
}
