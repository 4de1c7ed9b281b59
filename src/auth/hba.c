/* src/auth/hba.c - loads the rules of an HBA file, and finds the rule that fits a login. See hba.h. */
#include "auth/hba_rule.h"
#include "base/alloc.h"
#include "base/text.h"

#include <stdatomic.h>

struct hba {
	atomic_uint ref_count;
	struct hba_rule *rules;
	size_t count;
};

/* --- Life. --- */

struct hba *
hba_ref(struct hba *hba)
{
	if (hba != NULL)
		atomic_fetch_add_explicit(&hba->ref_count, 1, memory_order_relaxed);
	return hba;
}

void
hba_unref(struct hba *hba)
{
	if (hba == NULL || atomic_fetch_sub_explicit(&hba->ref_count, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < hba->count; i++)
		hba_rule_fini(&hba->rules[i]);
	free(hba->rules);
	free(hba);
}

struct builder {
	struct hba *hba;
	struct rule_reading reading;
};

static void
add_rule(const struct rule_line *line, void *arg)
{
	struct builder *b = arg;
	struct hba *hba = b->hba;
	struct hba_rule rule;

	hba->rules = xwith_room(hba->rules, hba->count, sizeof(*hba->rules));
	if (hba_rule_parse(line, &rule, &b->reading))
		hba->rules[hba->count++] = rule;
	else
		hba_rule_fini(&rule);
}

struct hba *
hba_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg)
{
	struct builder b = { .hba = xcalloc(1, sizeof(*b.hba)), .reading = { .report = report, .arg = arg } };
	const struct rule_line whole = { .path = path };

	atomic_init(&b.hba->ref_count, 1);
	rule_read(text, text_len, path, add_rule, &b.reading, &b);
	if (b.hba->count == 0 && b.reading.errors == 0)
		rule_report_error(&b.reading, &whole, "there are no rules: nobody could log in");
	if (b.reading.errors == 0)
		return b.hba;
	hba_unref(b.hba);
	return NULL;
}

/* --- Whether a rule fits (PostgreSQL's hba.c: check_db, check_role, check_ip). --- */

bool
hba_host_fits(const char *word, const char *host)
{
	size_t word_len = strlen(word), len = strlen(host);

	if (word[0] != '.')
		return strcasecmp(word, host) == 0;
	return len >= word_len && strcasecmp(word, host + len - word_len) == 0;
}

/* Returns HBA_NO if ask is NULL, or HBA_LATER if may_ask is false. Otherwise returns the result of ask(). */
static enum hba_fit
ask_if_allowed(hba_lookup *ask, const char *name, const struct hba_question *q, bool may_ask)
{
	if (ask == NULL)
		return HBA_NO;
	return may_ask ? ask(name, q->arg) : HBA_LATER;
}

static bool
fits_name(const struct hba_name *name, const struct hba_question *q, bool is_database)
{
	const char *text = is_database ? q->database : q->user;

	if (name->kind == HBA_NAME_REPLICATION || (is_database && q->is_physical))
		return name->kind == HBA_NAME_REPLICATION && q->is_physical;
	if (name->kind == HBA_NAME_ALL)
		return true;
	if (name->kind == HBA_NAME_SAMEUSER)
		return strcmp(q->database, q->user) == 0;
	if (name->kind == HBA_NAME_REGEX)
		return rule_regex_match(name->regex, text, NULL, NULL);
	return name->kind == HBA_NAME && strcmp(name->text, text) == 0;
}

/* Looks for a name of a database, or of a user, that fits. Asks about roles only if no other name fits. */
static enum hba_fit
fits_any(const struct hba_names *names, const struct hba_question *q, bool is_database, bool may_ask)
{
	enum hba_fit fit = HBA_NO;

	for (size_t i = 0; i < names->count; i++)
		if (fits_name(&names->list[i], q, is_database))
			return HBA_YES;
	for (size_t i = 0; i < names->count && fit == HBA_NO; i++) {
		const struct hba_name *name = &names->list[i];

		if (name->kind == HBA_NAME_ROLE || (name->kind == HBA_NAME_SAMEROLE && !q->is_physical))
			fit = ask_if_allowed(q->is_member, name->kind == HBA_NAME_ROLE ? name->text : q->database, q,
					     may_ask);
	}
	return fit;
}

static enum hba_fit
fits_address(const struct hba_rule *rule, const struct hba_question *q, bool may_ask)
{
	bool is_net = rule->reach == HBA_REACH_SAMENET;

	if (rule->type == HBA_LOCAL || rule->reach == HBA_REACH_ALL)
		return HBA_YES;
	if (rule->reach == HBA_REACH_NAME)
		return ask_if_allowed(q->has_name, rule->host, q, may_ask);
	if (rule->reach == HBA_REACH_RANGE ? network_contains(&rule->range, q->address)
					   : q->is_own_address != NULL && q->is_own_address(q->address, is_net))
		return HBA_YES;
	return HBA_NO;
}

static bool
fits_type(const struct hba_rule *rule, const struct hba_question *q)
{
	/* The second index is q->over. hostgssenc fits no client. */
	static const bool fits[][3] = {
		[HBA_LOCAL] = { true, false, false },	    [HBA_HOST] = { false, true, true },
		[HBA_HOSTSSL] = { false, false, true },	    [HBA_HOSTNOSSL] = { false, true, false },
		[HBA_HOSTGSSENC] = { false, false, false }, [HBA_HOSTNOGSSENC] = { false, true, true },
	};

	return fits[rule->type][q->over];
}

/* If may_ask is false, asks nothing, and returns HBA_LATER if all columns fit but those that need a lookup. If may_ask
 * is true, asks, and returns HBA_LATER at the first column whose lookup has not ended. */
static enum hba_fit
fits_columns(const struct hba_rule *rule, const struct hba_question *q, bool may_ask)
{
	enum hba_fit all = HBA_YES;

	for (int column = 0; column < 3; column++) {
		enum hba_fit fit = column == 0	 ? fits_address(rule, q, may_ask)
				   : column == 1 ? fits_any(&rule->databases, q, true, may_ask)
						 : fits_any(&rule->users, q, false, may_ask);

		if (fit == HBA_NO || (fit == HBA_LATER && may_ask))
			return fit;
		if (fit == HBA_LATER)
			all = HBA_LATER;
	}
	return all;
}

enum hba_fit
hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer)
{
	enum hba_fit fit = HBA_NO;

	for (size_t i = 0; i < hba->count && fit == HBA_NO; i++) {
		const struct hba_rule *rule = &hba->rules[i];

		fit = fits_type(rule, question) ? fits_columns(rule, question, false) : HBA_NO;
		if (fit == HBA_LATER)
			fit = fits_columns(rule, question, true);
		if (fit == HBA_YES)
			*answer = (struct hba_answer){ .method = rule->method,
						       .clientcert = rule->clientcert,
						       .clientname = rule->clientname,
						       .map = rule->map,
						       .options = rule->options,
						       .path = rule->path,
						       .line = rule->line };
	}
	return fit;
}

static bool
has_role(const struct hba_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		if (names->list[i].kind == HBA_NAME_ROLE || names->list[i].kind == HBA_NAME_SAMEROLE)
			return true;
	return false;
}

struct hba_needs
hba_find_needs(const struct hba *hba)
{
	struct hba_needs needs = { 0 };

	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_rule *rule = &hba->rules[i];

		needs.secrets |= rule->method == HBA_SCRAM || rule->method == HBA_MD5 || rule->method == HBA_PASSWORD;
		needs.tls |= rule->type == HBA_HOSTSSL;
		needs.client_ca |= rule->clientcert != HBA_CLIENTCERT_NONE;
		needs.roles |= has_role(&rule->databases) || has_role(&rule->users);
	}
	return needs;
}

void
hba_each_map(const struct hba *hba, void (*map)(const char *name, const char *path, unsigned line, void *arg),
	     void *arg)
{
	for (size_t i = 0; i < hba->count; i++)
		if (hba->rules[i].map != NULL)
			map(hba->rules[i].map, hba->rules[i].path, hba->rules[i].line, arg);
}
