/* src/load/load_set.c - see load.h. */

#include "config/config_keys.h"
#include "load/file_format.h"

#include <stdio.h>
#include <string.h>

static int
fail_unknown(const char *name, struct fail *why)
{
	struct nearest nearest = nearest_to(name);
	const struct config_key *ours;

	for (size_t i = 0; (ours = config_key_at(i)) != NULL; i++)
		nearest_try(&nearest, ours->name, ours);
	for (size_t i = 0; file_formats[i] != NULL; i++)
		file_formats[i]->try_names(&nearest);
	fail_set(why, "42704", "unrecognized configuration parameter \"%.63s\"", name);
	if (nearest.what != NULL)
		return fail_hint(why, "Did you mean %s.%s?", ((const struct config_key *)nearest.what)->section,
				 nearest.name);
	if (nearest.name != NULL)
		return fail_hint(why, "Did you mean %s?", nearest.name);
	return fail_hint(why, "SHOW CONFIG lists the settings.");
}

int
load_fail_fixed(const char *name, struct fail *why)
{
	fail_set(why, "55P02", "parameter \"%.63s\" cannot be changed now", name);
	return fail_hint(why, "It takes a restart; SHOW CONFIG shows which settings do.");
}

bool
load_key_has_name(const struct config_key *key, const char *name)
{
	size_t len = strlen(key->section);

	return strcmp(key->name, name) == 0 || (key->scope_name != NULL && strcmp(key->scope_name, name) == 0) ||
	       (strncmp(name, key->section, len) == 0 && name[len] == '.' && strcmp(name + len + 1, key->name) == 0);
}

/* Returns the only setting that has this name; NULL if no setting or several settings have the name. */
static const struct config_key *
find_ours(const char *name)
{
	const struct config_key *key, *found = NULL;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		if (!load_key_has_name(key, name))
			continue;
		if (found != NULL)
			return NULL;
		found = key;
	}
	return found;
}

static int
take_ours(const struct config_key *key, const char *name, struct load_setting *out, struct fail *why)
{
	if (!key->is_reloadable || key->type == KEY_LISTENS || key->type == KEY_HTTP_LISTEN)
		return load_fail_fixed(name, why);
	snprintf(out->name, sizeof(out->name), "%s.%s", key->section, key->name);
	out->is_of_tls = strncmp(key->section, "tls_", 4) == 0;
	out->is_secret = key->type == KEY_SECRET;
	return 0;
}

int
load_find_setting(const struct config *config, const char *name, const char *value, struct load_setting *out,
		  struct fail *why)
{
	const struct config_key *ours = find_ours(name);
	const bool is_foreign = config->origins->source != NULL;
	int r = 1;

	*out = (struct load_setting){ 0 };
	for (size_t i = 0; file_formats[i] != NULL && r == 1; i++)
		r = file_formats[i]->find_setting(is_foreign, ours != NULL, name, value, out, why);
	if (r != 1)
		return r;
	if (ours == NULL || (is_foreign && strchr(name, '.') == NULL))
		return fail_unknown(name, why);
	return take_ours(ours, name, out, why);
}
