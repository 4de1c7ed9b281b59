/*
 * src/load/load_secrets.c - the files that have a configuration's passwords.
 *
 * The source of a password is found by parsing the upstream again with placeholders for its references, since quotes,
 * escapes and URIs can write a password in many ways.
 */
#include "load/load_state.h"

#include "base/alloc.h"
#include "base/text.h"

#include <string.h>

#define PLACEHOLDER "1" /* may be a host, a port and a name */
#define FILE_REFERENCE "${file:"

/* NULL: none that could be read. */
static struct upstream *
parse_with_placeholders(const char *raw, enum expand_placeholders which, bool is_of_tenant)
{
	struct fail why;
	char *value = expand(raw, which, PLACEHOLDER, &why);
	struct upstream *up = NULL;

	if (value != NULL)
		up = upstream_parse(value, is_of_tenant, &why);
	secret_free(value);
	return up;
}

/* Returns true if there is still a password without the variables and files. */
static bool
is_written_out(const char *raw, bool is_of_tenant)
{
	struct upstream *bare;
	bool is;

	if (strchr(raw, '$') == NULL)
		return true;
	bare = parse_with_placeholders(raw, EXPAND_NONE, is_of_tenant);
	is = bare != NULL && bare->password[strspn(bare->password, PLACEHOLDER)] != '\0';
	upstream_free(bare);
	return is;
}

/* Returns true if the password differs without the files. */
static bool
is_from_file(const char *raw, const struct upstream *up)
{
	struct upstream *other;
	bool is;

	if (strstr(raw, FILE_REFERENCE) == NULL)
		return false;
	other = parse_with_placeholders(raw, EXPAND_VARIABLES, up->is_of_tenant);
	is = other != NULL && strcmp(other->password, up->password) != 0;
	upstream_free(other);
	return is;
}

/* Sections of one file stand together, mostly: it is listed once for them. */
static void
secret_add(struct config *config, const char *path, size_t len)
{
	size_t count = config->secret_file_count;
	char **list = config->secret_files;

	if (count > 0 && strncmp(list[count - 1], path, len) == 0 && list[count - 1][len] == '\0')
		return;
	config->secret_files = xreallocarray(list, count + 1, sizeof(*list));
	config->secret_files[count] = xstrndup(path, len);
	config->secret_file_count++;
}

void
load_note_password(struct config *config, const char *raw, const struct upstream *up)
{
	if (up->password[0] == '\0')
		return;
	if (is_written_out(raw, up->is_of_tenant))
		config->has_password = true;
	if (is_from_file(raw, up)) {
		const char *at = raw, *end;

		while ((at = strstr(at, FILE_REFERENCE)) != NULL) {
			at += strlen(FILE_REFERENCE);
			end = strchr(at, '}');
			if (end == NULL)
				break;
			secret_add(config, at, (size_t)(end - at));
		}
	}
}
