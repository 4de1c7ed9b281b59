/* tests/fuzz/fuzz_upstream.c - any connection string: it is refused, or its text reads back as the same upstream. */
#include "config/passfile.h"
#include "config/upstream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const struct upstream *up)
{
	char *text = upstream_text(up);
	struct upstream *again = upstream_parse(text, NULL), *copy = upstream_copy(up);

	/* The password is masked; but for it nothing may differ. */
	if (again == NULL || !upstream_equal(up, copy))
		abort();
	if (*up->password == '\0' && !upstream_equal(up, again))
		abort();
	upstream_free(again);
	upstream_free(copy);
	free(text);
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
	up = upstream_parse(text, &why);
	if ((up == NULL) != (why.text[0] != '\0'))
		abort();
	if (up != NULL)
		check_text(up);
	upstream_free(up);
	free(text);
	free(passfile_match((const char *)data, size, &query));
	return 0;
}
