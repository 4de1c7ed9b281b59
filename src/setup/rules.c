/*
 * src/setup/rules.c - loads hba_file and ident_file, and checks whether the rest of the configuration lets their rules
 * work as written.
 */
#include "setup/setup.h"
#include "base/alloc.h"
#include "base/text.h"
#include "config/compat.h"
#include "config/config_state.h"
#include "config/config_value.h"

#include <errno.h>

static void
rules_on_problem(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	const struct problem_sink sink = { .problems = arg, .file = path };

	problem_add(&sink, is_error, line, "%s", text);
}

struct rules {
	const struct config *config;
	struct hba *hba;
	struct ident *ident;
	struct config_problems *problems;
};

static void
warn_of_unknown_map(const char *name, const char *path, unsigned line, void *arg)
{
	const struct rules *r = arg;
	const struct problem_sink sink = { .problems = r->problems, .file = path };

	if (!ident_has_map(r->ident, name))
		problem_warning(&sink, line, "map=%.100s is not in ident_file: nobody can log in by this rule", name);
}

/* Reports rules that can't work because the configuration lacks something else. */
static void
check_needs(struct rules *r)
{
	const struct config *c = r->config;
	const struct problem_sink sink = { .problems = r->problems, .file = c->hba_file, .words = config_words(c) };
	struct hba_needs needs = hba_find_needs(r->hba);
	bool has_tls = c->tls_mode != TLS_OFF && c->tls_certificate_file[0] != '\0';

	if (needs.secrets && !config_has_auth_query(c) && access(c->users_file, R_OK) < 0)
		problem_add(&sink, !compat_does(c, COMPAT_STARTS_WITH_MISTAKES), 0,
			    "it has rules that ask for a password, but users_file = %s: %s; write it with lines of "
			    "\"name\" \"secret\"",
			    c->users_file, strerror(errno));
	if ((needs.roles || ident_has_roles(r->ident)) && !config_has_auth_query(c))
		problem_add(&sink, true, 0,
			    "+role and samerole are looked up in PostgreSQL by auth_query's connection: set auth_query "
			    "and auth_user");
	if (needs.tls && !has_tls)
		problem_warning(
		    &sink, 0,
		    "its hostssl rules match nobody: there is no TLS without certificate_file and key_file in "
		    "[tls_client]");
	if (needs.client_ca && has_tls && c->tls_ca_file[0] == '\0')
		problem_warning(
		    &sink, 0,
		    "it has rules that demand clients' certificates, which none can show without ca_file in "
		    "[tls_client]");
	hba_each_map(r->hba, warn_of_unknown_map, r);
}

/* Returns a sink for problems that a setting has caused. */
static struct problem_sink
sink_of_setting(const struct rules *r)
{
	return (struct problem_sink){ .problems = r->problems,
				      .file = r->config->path,
				      .source = r->config->origins->source,
				      .words = config_words(r->config) };
}

/* Reports a problem of the setting from which make_rules() made the rules. Both lines of rules come from the same
 * setting, so only problems of line 1 are reported. */
static void
on_setting_problem(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	const struct rules *r = arg;
	static const char *const keys[] = { AUTH_MODULES(MODULE_KEY) NULL };
	const char *key = keys[r->config->auth_method - AUTH_MODULES_FIRST];
	const struct problem_sink sink = sink_of_setting(r);

	if (line == 1)
		problem_add(&sink, is_error, config_line_of(r->config, "auth", key), "%s: %s", key, text);
}

static void
report_map(const char *name, const char *path, unsigned line, void *arg)
{
	on_setting_problem(true, path, line,
			   "map= is for rules of hba_file: set method = hba, and write the rule there", arg);
}

/* Returns true if the method is that of a module that checks clients' passwords, not tokens. */
static bool
takes_passwords(const struct config *c)
{
	return config_is_external(c->auth_method) &&
	       auth_modules[c->auth_method - AUTH_MODULES_FIRST]->token_request == 0;
}

/* Warns that clients send their passwords in clear text, unless TLS is required or all listeners are local. */
static void
warn_of_cleartext(const struct rules *r)
{
	const struct config *c = r->config;
	const struct problem_sink sink = sink_of_setting(r);
	bool is_local = true;

	for (size_t i = 0; i < c->listen_count; i++)
		is_local = is_local && listen_is_local(&c->listens[i]);
	if (!is_local && c->tls_mode < TLS_REQUIRE)
		problem_warning(&sink, config_line_of(c, "auth", "method"),
				"clients send their passwords in clear text: those without TLS that are not on this "
				"machine %s; set mode = require in [tls_client]",
				compat_does(c, COMPAT_TAKES_CLEARTEXT) ? "can be overheard" : "are refused");
}

/* Returns a copy with quotes around each # within a word, because such a # stands for itself, as in PgBouncer. */
static char *
quote_hashes(const char *options)
{
	char *text = xcalloc(strlen(options) + 1, 3), *to = text;
	bool is_quoted = false;

	for (const char *c = options; *c != '\0'; c++) {
		bool is_bare = *c == '#' && !is_quoted && c > options && c[-1] != ' ';

		is_quoted = is_quoted != (*c == '"');
		if (is_bare)
			*to++ = '"';
		*to++ = *c;
		if (is_bare)
			*to++ = '"';
	}
	return text;
}

/* Makes the rules for a module's method, which fit all clients. A blank ends each line, because a backslash at the end
 * of the setting would join the line with the next one. */
static struct hba *
make_rules(const struct rules *r)
{
	const struct config *c = r->config;
	enum auth_module_number module = c->auth_method - AUTH_MODULES_FIRST;
	char *rule = xasprintf(auth_modules[module]->rule, c->module_values[module].text), *quoted = quote_hashes(rule);
	bool has_local = takes_passwords(c); /* tokens need the name of a host, which a Unix socket lacks */
	char *text = xasprintf("%s all,replication all%s %s \nhost all,replication all all %s \n",
			       has_local ? "local" : "host", has_local ? "" : " all", quoted, quoted);
	struct hba *hba = hba_load(text, strlen(text), c->path, on_setting_problem, (void *)(uintptr_t)r);

	if (hba != NULL)
		hba_each_map(hba, report_map, (void *)(uintptr_t)r);
	secret_free(text);
	secret_free(quoted);
	secret_free(rule);
	return hba;
}

void
setup_load_rules(const struct config *config, struct hba **hba, struct ident **ident, struct config_problems *problems)
{
	struct rules r = { .config = config, .problems = problems };
	size_t errors_before = problems->error_count;

	*hba = NULL;
	*ident = NULL;
	if (config_is_external(config->auth_method)) {
		*hba = make_rules(&r);
		if (takes_passwords(config))
			warn_of_cleartext(&r);
	}
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
