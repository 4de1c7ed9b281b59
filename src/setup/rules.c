/*
 * src/setup/rules.c - hba_file and ident_file, and whether the rest of the configuration lets their rules do what they
 * say.
 */
#include "setup/setup.h"

#include "bouncer/bouncer_ways.h"
#include "config/config_state.h"
#include "bouncer/bouncer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void
rules_on_problem(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	const struct problem_sink sink = { .problems = arg, .file = path };

	problem_note(&sink, is_error, line, "%s", text);
}

struct rules {
	const struct config *config;
	struct hba *hba;
	struct ident *ident;
	struct config_problems *problems;
};

static void
check_map(const char *name, const char *path, unsigned line, void *arg)
{
	const struct rules *r = arg;
	const struct problem_sink sink = { .problems = r->problems, .file = path };

	if (!ident_has_map(r->ident, name))
		problem_warning(&sink, line, "map=%.100s is not in ident_file: nobody can log in by this rule", name);
}

/* Reports rules that can't work because something else is missing in the configuration. */
static void
check_needs(struct rules *r)
{
	const struct config *c = r->config;
	const struct problem_sink sink = { .problems = r->problems,
					   .file = c->hba_file,
					   .words = bouncer_problem_words(c) };
	struct hba_needs needs = hba_needs(r->hba);
	bool has_tls = c->tls_mode != TLS_OFF && c->tls_certificate_file[0] != '\0';

	if (needs.secrets && !config_has_auth_query(c) && access(c->users_file, R_OK) < 0)
		problem_note(&sink, !bouncer_does(c, BOUNCER_STARTS_WITH_MISTAKES), 0,
			     "it has rules that ask for a password, but users_file = %s: %s; write it with lines of "
			     "\"name\" \"secret\"",
			     c->users_file, strerror(errno));
	if ((needs.roles || ident_has_roles(r->ident)) && !config_has_auth_query(c))
		problem_note(
		    &sink, true, 0,
		    "+role and samerole are looked up in PostgreSQL by auth_query's connection: set auth_query "
		    "and auth_user");
	if (needs.tls && !has_tls)
		problem_warning(
		    &sink, 0,
		    "its hostssl rules match nobody: there is no TLS without certificate_file and key_file in "
		    "[tls_client]");
	if (needs.certificates && has_tls && c->tls_ca_file[0] == '\0')
		problem_warning(
		    &sink, 0,
		    "it has rules that demand clients' certificates, which none can show without ca_file in "
		    "[tls_client]");
	hba_each_map(r->hba, check_map, r);
}

void
setup_load_rules(const struct config *config, struct hba **hba, struct ident **ident, struct config_problems *problems)
{
	struct rules r = { .config = config, .problems = problems };
	size_t errors_before = problems->error_count;

	*hba = NULL;
	*ident = NULL;
	if (config->auth_method != AUTH_HBA)
		return;
	r.hba = hba_load(NULL, 0, config->hba_file, rules_on_problem, problems);
	if (config->ident_file[0] != '\0')
		r.ident = ident_load(NULL, 0, config->ident_file, rules_on_problem, problems);
	if (problems->error_count == errors_before)
		check_needs(&r);
	if (problems->error_count == errors_before) {
		*hba = r.hba;
		*ident = r.ident;
		return;
	}
	hba_unref(r.hba);
	ident_unref(r.ident);
}
