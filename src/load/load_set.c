/* src/load/load_set.c - see load.h. */
#include "load/load.h"

#include "bouncer/bouncer_state.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include <stdio.h>
#include <string.h>

static int
unknown(const char *name, struct fail *why)
{
	struct nearest nearest = nearest_to(name);
	const struct bouncer_key *theirs;
	const struct config_key *ours;

	for (size_t i = 0; (ours = config_key(i)) != NULL; i++)
		nearest_try(&nearest, ours->name, ours);
	for (size_t i = 0; (theirs = bouncer_key(i)) != NULL; i++)
		nearest_try(&nearest, theirs->name, NULL);
	fail_set(why, "42704", "unrecognized configuration parameter \"%.63s\"", name);
	if (nearest.what != NULL)
		return fail_hint(why, "did you mean %s.%s?", ((const struct config_key *)nearest.what)->section,
				 nearest.name);
	if (nearest.name != NULL)
		return fail_hint(why, "did you mean %s?", nearest.name);
	return fail_hint(why, "SHOW CONFIG lists the settings.");
}

static int
fixed(const char *name, struct fail *why)
{
	fail_set(why, "55P02", "parameter \"%.63s\" cannot be changed now", name);
	return fail_hint(why, "It takes a restart; SHOW CONFIG shows which settings do.");
}

/* "pool.pool_size", or a name that no other has. */
static const struct config_key *
find_ours(const char *name)
{
	const char *dot = strchr(name, '.');
	const struct config_key *key, *found = NULL;
	char section[LOAD_SETTING_NAME_MAX + 1];

	if (dot != NULL) {
		snprintf(section, sizeof(section), "%.*s", (int)(dot - name), name);
		return config_key_find(section, dot + 1);
	}
	for (size_t i = 0; (key = config_key(i)) != NULL; i++) {
		if (strcmp(key->name, name) != 0 && (key->scope_name == NULL || strcmp(key->scope_name, name) != 0))
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
		return fixed(name, why);
	snprintf(out->name, sizeof(out->name), "%s.%s", key->section, key->name);
	out->is_of_tls = strncmp(key->section, "tls_", 4) == 0;
	out->is_secret = key->type == KEY_SECRET;
	return 0;
}

static int
take_theirs(const struct bouncer_key *theirs, struct load_setting *out, struct fail *why)
{
	const struct config_key *ours = bouncer_key_ours(theirs);

	if (!bouncer_key_is_changeable(theirs))
		return fixed(theirs->name, why);
	snprintf(out->name, sizeof(out->name), "%s", theirs->name);
	out->is_of_tls = strstr(theirs->name, "_tls") != NULL;
	if (ours == NULL)
		out->reason = theirs->note;
	return 0;
}

/* A name that both have: is this a value in PgBouncer's units? */
static bool
is_their_value(const struct bouncer_key *theirs, const char *value)
{
	struct buf converted = { 0 };
	struct fail why;
	bool is;

	if (theirs->fate > BOUNCER_OWN)
		return false;
	if (value == NULL)
		return true;
	is = bouncer_convert(theirs, value, &converted, &why) >= 0;
	buf_fini(&converted);
	return is;
}

/* A name of PgBouncer's in a file of pgweir's. */
static int
take_foreign(const struct bouncer_key *theirs, struct load_setting *out, struct fail *why)
{
	const struct config_key *ours = bouncer_key_ours(theirs);

	if (theirs->fate <= BOUNCER_OWN || !bouncer_key_is_changeable(theirs))
		return take_theirs(theirs, out, why);
	fail_set(why, "0A000", "%.63s is PgBouncer's; no single setting here corresponds to it", theirs->name);
	if (ours != NULL)
		return fail_hint(why, "See %s.%s.", ours->section, ours->name);
	return fail_hint(why, "Not needed here: %s.", theirs->note);
}

int
load_find_setting(const struct config *config, const char *name, const char *value, struct load_setting *out,
		  struct fail *why)
{
	const struct bouncer_key *theirs = bouncer_key_find(name);
	const struct config_key *ours = find_ours(name);

	*out = (struct load_setting){ 0 };
	if (config->origins->source != NULL && (theirs != NULL || strchr(name, '.') == NULL))
		return theirs != NULL ? take_theirs(theirs, out, why) : unknown(name, why);
	if (theirs != NULL && (ours == NULL || is_their_value(theirs, value)))
		return take_foreign(theirs, out, why);
	return ours != NULL ? take_ours(ours, name, out, why) : unknown(name, why);
}
