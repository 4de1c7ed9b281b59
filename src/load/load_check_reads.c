/* src/load/load_check_reads.c - checks of reads on standbys. */
#include "load/load_state.h"

/* Returns the highest reads mode of the database and of any user there. Sets *out to the database's own settings. */
static enum reads_mode
reads_of(const struct config *config, const struct config_scope *db, struct scope_settings *out)
{
	enum reads_mode found;

	config_compute_settings(config, db, NULL, out);
	found = out->reads;
	for (size_t i = 0; i < config->user_count; i++) {
		struct scope_settings set;

		config_compute_settings(config, db, &config->users[i], &set);
		if (set.reads > found)
			found = set.reads;
	}
	return found;
}

static void
check_section(const struct config *config, const struct config_section *s, const struct problem_sink *sink)
{
	static const char *const words[] = { "primary", "prefer_standby", "marked" };
	const struct upstream *up = s->scope->upstream;
	struct scope_settings own;
	enum reads_mode reads = reads_of(config, s->scope, &own);
	bool is_fixed = upstream_has_fixed_hosts(up);
	unsigned line = s->origin->upstream_line;

	/* A user's settings alone cause none of these two warnings, because they may be meant for other databases. */
	if (own.reads != READS_PRIMARY && !is_fixed)
		problem_warning(sink, line, "reads = %s has no effect where hosts depend on the tenant",
				words[own.reads]);
	else if (own.reads != READS_PRIMARY && up->host_count == 1)
		problem_warning(sink, line,
				"reads = %s has no effect with one host: name the standbys in upstream, too",
				words[own.reads]);
	if (reads == READS_PRIMARY || !is_fixed || up->host_count == 1)
		return;
	if (up->target != TARGET_PRIMARY && up->target != TARGET_READ_WRITE)
		problem_add(sink, reads == READS_MARKED, line,
			    "reads = %s needs target_session_attrs=primary, which says where everything else goes",
			    words[reads]);
	if (*config_cluster_user(up, &own) == '\0')
		problem_add(sink, own.reads != READS_PRIMARY, line,
			    "reads = %s needs a cluster_user for pgweir's own connections: set it in [limits] or "
			    "[%s %s], and its secret in users_file",
			    words[reads], s->word, s->scope->name);
}

static bool
is_any_host_in(const struct config *config, const char *zone)
{
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		for (size_t i = 0; s.scope->upstream != NULL && i < s.scope->upstream->host_count; i++)
			if (upstream_is_in_zone(s.scope->upstream, i, zone))
				return true;
	return false;
}

void
load_check_reads(const struct config *config, const struct problem_sink *sink)
{
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		if (s.scope->upstream != NULL)
			check_section(config, &s, sink);
	if (*config->zone != '\0' && !is_any_host_in(config, config->zone))
		problem_warning(
		    sink, config_line_of(config, "pgweir", "zone"),
		    "zone = %.64s has no effect: no upstream has a host there; zones= in upstream names the "
		    "zone of each host",
		    config->zone);
}
