#include "config/config.h"
#include "base/alloc.h"
#include "base/own_settings.h"
#include "base/text.h"
#include "config/config_keys.h"
#include "config/config_state.h"
#include "config/config_value.h"

#include <assert.h>

struct config *
config_new(const char *path)
{
	struct config *config = xcalloc(1, sizeof(*config));
	const struct config_key *key;
	struct fail why;

	atomic_init(&config->refs, 1);
	config->path = xstrdup(path);
	config->single_user = xstrdup("");
	config->single_password = xstrdup("");
	config->origins = xcalloc(1, sizeof(*config->origins));
	config->origins->file = xstrdup(path);
	assert(config_scope_key(CONFIG_SCOPE_MAX) == NULL);
	/* A failure would mean that a row refuses its own default, which is a bug. */
	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++)
		if (key_store(key, key_base(key, config), key->default_value, "/", &why) < 0)
			abort();
	return config;
}

static void
scope_fini(struct config_scope *scope)
{
	const struct config_key *key;

	for (size_t bit = 0; (key = config_scope_key(bit)) != NULL; bit++)
		key_free(key, &scope->settings);
	upstream_free(scope->upstream);
	free(scope->origin->upstream_raw);
	free(scope->origin);
}

static void
free_scopes(struct config_scope *scopes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		scope_fini(&scopes[i]);
	free(scopes);
}

int
config_apply_command_line(struct config *config, const char *section, const char *name, const char *value,
			  struct fail *why)
{
	const struct config_key *key = config_key_find(section, name);

	config->origins->lines[config_key_row(key)] = LINE_COMMAND;
	return key_store(key, key_base(key, config), value, "/", why);
}

unsigned
config_line_of(const struct config *config, const char *section, const char *name)
{
	return config->origins->lines[config_key_row(config_key_find(section, name))];
}

struct config *
config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

void
config_unref(struct config *config)
{
	unsigned before;

	if (config == NULL)
		return;
	before = atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1) {
		struct config_origin *origins = config->origins;
		const struct config_key *key;

		free_scopes(config->databases, config->database_count);
		free_scopes(config->tenant_scopes, config->tenant_count);
		free_scopes(config->users, config->user_count);
		free(origins->file);
		source_free(origins->source);
		for (size_t i = 0; i < CONFIG_KEYS_MAX; i++) {
			secret_free(origins->raws[i]);
			free(origins->pendings[i]);
		}
		free(origins);
		for (size_t i = 0; (key = config_key_at(i)) != NULL; i++)
			key_free(key, key_base(key, config));
		secret_free(config->single_password);
		free(config->single_user);
		free(config->path);
		for (size_t i = 0; i < config->secret_file_count; i++)
			free(config->secret_files[i]);
		free(config->secret_files);
		free(config);
	}
}

static int
compare_to_scope(const void *name, const void *scope)
{
	return strcmp(name, ((const struct config_scope *)scope)->name);
}

/* The scopes must be sorted by name, as load.c leaves them. */
static const struct config_scope *
find_scope(const struct config_scope *scopes, size_t count, const char *name)
{
	return count > 0 ? bsearch(name, scopes, count, sizeof(*scopes), compare_to_scope) : NULL;
}

static bool
is_listed(char *const *names, const char *name, int (*compare)(const char *, const char *))
{
	for (; names != NULL && *names != NULL; names++)
		if (compare(*names, name) == 0)
			return true;
	return false;
}

bool
config_may_name_tenant_in(const struct config *config, const char *where)
{
	return where != NULL ? is_listed(config->tenant_sources, where, strcmp)
			     : config->tenant_sources != NULL && config->tenant_sources[0] != NULL;
}

size_t
config_tenant_len(const struct config *config, const char *database)
{
	size_t len = strcspn(database, "/");

	return database[len] == '/' && config_may_name_tenant_in(config, NULL) && upstream_is_tenant_name(database, len)
		   ? len
		   : 0;
}

static const struct config_scope *
find_listed_or_any(const struct config_scope *scopes, size_t count, const char *name)
{
	const struct config_scope *scope = find_scope(scopes, count, name);

	return scope != NULL ? scope : find_scope(scopes, count, "*");
}

const struct config_scope *
config_find_database(const struct config *config, const char *name)
{
	size_t len = config_tenant_len(config, name);
	char tenant[CONFIG_NAME_MAX + 1];

	if (len == 0)
		return find_listed_or_any(config->databases, config->database_count, name);
	memcpy(tenant, name, len);
	tenant[len] = '\0';
	return find_listed_or_any(config->tenant_scopes, config->tenant_count, tenant);
}

bool
config_user_is_of_tenant(const struct config *config, const char *user)
{
	const char *dot = strrchr(user, '.');

	return dot != NULL && config_may_name_tenant_in(config, NULL) &&
	       upstream_is_tenant_name(dot + 1, strlen(dot + 1)) &&
	       find_listed_or_any(config->tenant_scopes, config->tenant_count, dot + 1) != NULL;
}

const struct config_scope *
config_find_user(const struct config *config, const char *name)
{
	return find_scope(config->users, config->user_count, name);
}

/* Counts rows with a scope_name as config_scope_key() does, but in one pass, because each login calls this. */
void
config_apply_scope(const struct config_scope *scope, struct scope_settings *settings)
{
	const struct config_key *key;
	uint64_t left = scope != NULL ? scope->set : 0;

	for (size_t row = 0; left != 0 && (key = config_key_at(row)) != NULL; row++) {
		if (key->scope_name == NULL)
			continue;
		if (left & 1)
			key_copy(key, settings, &scope->settings);
		left >>= 1;
	}
}

void
config_compute_settings(const struct config *config, const struct config_scope *database,
			const struct config_scope *user, struct scope_settings *out)
{
	*out = config->defaults;
	config_apply_scope(database, out);
	config_apply_scope(user, out);
}

bool
config_has_auth_query(const struct config *config)
{
	struct scope_settings settings;

	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		config_compute_settings(config, s.scope, NULL, &settings);
		if (strcmp(settings.auth_query, "off") != 0)
			return true;
	}
	return strcmp(config->defaults.auth_query, "off") != 0;
}

bool
config_is_foreign(const struct config *config)
{
	return config->origins->source != NULL;
}

const struct problem_words *
config_words(const struct config *config)
{
	return config->origins->source != NULL ? config->origins->source->words : NULL;
}

bool
config_is_ignored_parameter(const struct config *config, const char *name, bool is_in_options)
{
	/* PgBouncer reads these settings even if it ignores all others in options. */
	static const char tracked[] = "application_name client_encoding datestyle standard_conforming_strings timezone";
	char *const *ignored = config->ignored_startup_parameters;

	return is_listed(ignored, name, strcasecmp) ||
	       (is_in_options && is_listed(ignored, "options", strcasecmp) && !text_is_one_of(name, tracked) &&
		!is_listed(config->track_extra_parameters, name, strcasecmp) && !is_own_setting(name));
}

bool
config_is_admin(const struct config *config, const char *user)
{
	return is_listed(config->admin_users, user, strcmp);
}

bool
config_is_stats_user(const struct config *config, const char *user)
{
	return config_is_admin(config, user) || is_listed(config->stats_users, user, strcmp);
}

const char *
config_suggest_database(const struct config *config, const char *name)
{
	size_t len = config_tenant_len(config, name), count = len > 0 ? config->tenant_count : config->database_count;
	const struct config_scope *scopes = len > 0 ? config->tenant_scopes : config->databases;
	char tenant[CONFIG_NAME_MAX + 1];
	struct nearest nearest;

	memcpy(tenant, name, len);
	tenant[len] = '\0';
	nearest = nearest_to(len > 0 ? tenant : name);
	for (size_t i = 0; i < count; i++)
		if (strcmp(scopes[i].name, "*") != 0)
			nearest_try(&nearest, scopes[i].name, NULL);
	return nearest.name;
}

bool
config_has_budget(const struct upstream *up, const struct scope_settings *s)
{
	return s->budget != BUDGET_OFF && upstream_has_fixed_hosts(up);
}

const char *
config_cluster_user(const struct upstream *up, const struct scope_settings *s)
{
	if (s->cluster_user[0] != '\0')
		return s->cluster_user;
	return up->user[0] != '\0' ? up->user : s->auth_user;
}
