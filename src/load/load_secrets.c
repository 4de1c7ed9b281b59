/*
 * src/load/load_secrets.c - finds the files that contain a configuration's passwords.
 *
 * A password can be written in many ways: with quotes, with escapes, in a URI. So the upstream is parsed again, with
 * placeholders in place of its references. If this changes the password, the password came from a reference.
 */
#include "load/load_state.h"
#include "base/alloc.h"
#include "base/text.h"

#define PLACEHOLDER "1" /* valid as a host, a port and a name */
#define FILE_REFERENCE "${file:"

/* Returns the password that the upstream has if `which` references are expanded, and the others replaced by their
 * defaults or placeholders. Returns NULL if raw has no references, or if the result can't be parsed. */
static char *
password_with_placeholders(const char *raw, enum expand_references which, bool is_of_tenant)
{
	struct fail why;
	char *value = strchr(raw, '$') == NULL ? NULL : expand(raw, which, PLACEHOLDER, &why), *password;
	struct upstream *up = value == NULL ? NULL : upstream_parse(value, is_of_tenant, &why);

	secret_free(value);
	password = up == NULL ? NULL : xstrdup(up->password);
	upstream_free(up);
	return password;
}

/* Adds a file, unless it is the file that was added last. Sections that share a file are mostly adjacent, so the list
 * seldom has a file twice. */
static void
secret_file_add(struct config *config, const char *path, size_t len)
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
	char *bare, *other;

	if (up->password[0] == '\0')
		return;
	bare = password_with_placeholders(raw, EXPAND_NONE, up->is_of_tenant);
	other = password_with_placeholders(raw, EXPAND_VARIABLES, up->is_of_tenant);
	/* If more than placeholders is left, the configuration contains the password or a part of the password. */
	if (strchr(raw, '$') == NULL || (bare != NULL && bare[strspn(bare, PLACEHOLDER)] != '\0'))
		config->has_password = true;
	/* If placeholders for the files change the password, at least a part of the password comes from a file. */
	if (other != NULL && strcmp(other, up->password) != 0) {
		const char *at = raw, *end;

		while ((at = strstr(at, FILE_REFERENCE)) != NULL) {
			at += strlen(FILE_REFERENCE);
			end = strchr(at, '}');
			if (end == NULL)
				break;
			secret_file_add(config, at, (size_t)(end - at));
		}
	}
	secret_free(bare);
	secret_free(other);
}
