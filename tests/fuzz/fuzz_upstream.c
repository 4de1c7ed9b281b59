/*
 * tests/fuzz/fuzz_upstream.c - any connection string: it is refused, or its text reads back as the same upstream. As a
 * tenant's: the upstream made from it for a client is refused or fits, and its host depends on nothing that clients
 * choose.
 */
#include "config/upstream.h"
#include "fuzz.h"

static void
check_text(const struct upstream *up)
{
	char *text = upstream_text(up, false);
	struct upstream *again = upstream_parse(text, false, NULL), *copy = upstream_copy(up);

	/* The password is masked; but for it nothing may differ. */
	if (again == NULL || !upstream_equal(up, copy))
		abort();
	if (*up->password == '\0' && !upstream_equal(up, again))
		abort();
	upstream_free(again);
	upstream_free(copy);
	free(text);
}

static struct upstream *
made_for(const struct upstream *up, const char *database, const char *role)
{
	struct fail why = { 0 };
	struct upstream *made = upstream_fill_in(up, database, role, &why);

	if ((made == NULL) != (why.text[0] != '\0'))
		abort();
	return made;
}

static void
check_tenant(const char *text)
{
	static const char odd[] = "acme/%{user}/../@:,=' ", user[] = "%{tenant}' host=x";
	struct upstream *up = upstream_parse(text, true, NULL), *plain, *other;
	char server_user[64];

	if (up == NULL)
		return;
	plain = made_for(up, "acme/app", "web");
	other = made_for(up, odd, user);
	for (size_t i = 0; plain != NULL && i < plain->host_count; i++)
		if (upstream_check_host(plain->hosts[i].host, NULL) < 0 ||
		    (other != NULL && strcmp(plain->hosts[i].host, other->hosts[i].host) != 0))
			abort();
	for (char **s = plain == NULL || other == NULL ? NULL : plain->settings,
		  **o = s == NULL ? NULL : other->settings;
	     s != NULL && *s != NULL; s++, o++)
		if (strcmp(*s, *o) != 0)
			abort();
	if (plain != NULL && (strlen(plain->dbname) > 63 || strlen(plain->user) > 63 || plain->is_of_tenant))
		abort();
	if (upstream_compute_user(up, "acme/app", "web.acme", server_user, NULL) == 0 && strlen(server_user) > 63)
		abort();
	upstream_free(plain);
	upstream_free(other);
	upstream_free(up);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct passfile_query query = { .host = "h", .port = "5432", .dbname = "d", .user = "u" };
	char *text = malloc(size + 1);
	struct upstream *up;
	struct fail why = { 0 };

	memcpy(text, data, size);
	text[size] = '\0';
	up = upstream_parse(text, false, &why);
	if ((up == NULL) != (why.text[0] != '\0'))
		abort();
	if (up != NULL)
		check_text(up);
	upstream_free(up);
	check_tenant(text);
	free(text);
	free(passfile_match((const char *)data, size, &query));
	return 0;
}
