/*
 * src/config/config_secrets.c - see config_secrets.h.
 *
 * Where a password is from is found out by reading the upstream again with something else in place of its references:
 * quotes, escapes and URIs have many ways to write one.
 */
#include "config/config_secrets.h"

#include "base/alloc.h"
#include "config/config_state.h"

#include <stdlib.h>
#include <string.h>

#define STAND_IN "1" /* may be a host, a port and a name */
#define FILE_REFERENCE "${file:"

/* NULL: none that could be read. */
static struct upstream *
parse_with_stand_ins(const char *raw, enum expand_stand_ins which, bool is_of_tenant)
{
	struct fail why;
	char *value = expand_with(raw, which, STAND_IN, &why);
	struct upstream *up = NULL;

	if (value != NULL)
		up = is_of_tenant ? upstream_parse_tenant(value, &why) : upstream_parse(value, &why);
	expand_free(value);
	return up;
}

/* With its variables and files gone, is there still a password? */
static bool
is_written_out(const char *raw, bool is_of_tenant)
{
	struct upstream *bare;
	bool is;

	if (strchr(raw, '$') == NULL)
		return true;
	bare = parse_with_stand_ins(raw, EXPAND_NONE, is_of_tenant);
	is = bare != NULL && bare->password[strspn(bare->password, STAND_IN)] != '\0';
	upstream_free(bare);
	return is;
}

/* Is it another one without the files? */
static bool
is_from_file(const char *raw, const struct upstream *up)
{
	struct upstream *other;
	bool is;

	if (strstr(raw, FILE_REFERENCE) == NULL)
		return false;
	other = parse_with_stand_ins(raw, EXPAND_VARIABLES, up->is_of_tenant);
	is = other != NULL && strcmp(other->password, up->password) != 0;
	upstream_free(other);
	return is;
}

/* Sections of one file stand together, mostly: it is listed once for them. */
static void
add(struct config *config, const char *path, size_t len)
{
	size_t count = config->secret_file_count;
	char **list = config->secret_files;

	if (count > 0 && strncmp(list[count - 1], path, len) == 0 && list[count - 1][len] == '\0')
		return;
	config->secret_files = xreallocarray(list, count + 1, sizeof(*list));
	config->secret_files[count] = xstrndup(path, len);
	config->secret_file_count++;
}

static void
add_files(struct config *config, const char *raw)
{
	const char *at = raw, *end;

	while ((at = strstr(at, FILE_REFERENCE)) != NULL) {
		at += strlen(FILE_REFERENCE);
		end = strchr(at, '}');
		if (end == NULL)
			break;
		add(config, at, (size_t)(end - at));
	}
}

void
config_note_password(struct config *config, const char *raw, const struct upstream *up)
{
	if (up->password[0] == '\0')
		return;
	if (is_written_out(raw, up->is_of_tenant))
		config->has_password = true;
	if (is_from_file(raw, up))
		add_files(config, raw);
}

void
config_free_secret_files(struct config *config)
{
	for (size_t i = 0; i < config->secret_file_count; i++)
		free(config->secret_files[i]);
	free(config->secret_files);
}
