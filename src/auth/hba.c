/* src/auth/hba.c - the rules of an HBA file, and which of them fits. See hba.h. */
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

struct building {
	struct hba *hba;
	struct rule_reading reading;
};

static void
add_rule(const struct rule_line *line, void *arg)
{
	struct building *b = arg;
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
	struct building b = { .hba = xcalloc(1, sizeof(*b.hba)), .reading = { .report = report, .arg = arg } };
	const struct rule_line whole = { .path = path };

	atomic_init(&b.hba->ref_count, 1);
	rule_read(text, text_len, path, add_rule, &b.reading, &b);
	if (b.hba->count == 0 && b.reading.errors == 0)
		rule_bad(&b.reading, &whole, "it has no rules: nobody could log in");
	if (b.reading.errors == 0)
		return b.hba;
	hba_unref(b.hba);
	return NULL;
}

/* --- Whether a rule fits (PostgreSQL's hba.c: check_db, check_role, check_ip). --- */

static bool
fits_name(const struct hba_name *name, const struct hba_question *q, bool is_database)
{
	const char *text = is_database ? q->database : q->user;

	switch (name->kind) {
	case HBA_NAME_REPLICATION:
		return q->is_physical;
	case HBA_NAME_ALL:
		return !is_database || !q->is_physical;
	case HBA_NAME_SAMEUSER:
		return !q->is_physical && strcmp(q->database, q->user) == 0;
	case HBA_NAME_REGEX:
	case HBA_NAME:
		break;
	}
	if (is_database && q->is_physical)
		return false;
	return name->kind == HBA_NAME_REGEX ? rule_regex_match(name->regex, text, NULL, NULL)
					    : strcmp(name->text, text) == 0;
}

/* Returns true if one of these names of databases, or of users, fits. */
static bool
fits_one(const struct hba_names *names, const struct hba_question *q, bool is_database)
{
	for (size_t i = 0; i < names->count; i++)
		if (fits_name(&names->list[i], q, is_database))
			return true;
	return false;
}

static bool
fits_address(const struct hba_rule *rule, const struct hba_question *q)
{
	if (rule->reach == HBA_REACH_ALL)
		return true;
	if (rule->reach == HBA_REACH_RANGE) {
		int family;
		const uint8_t *bytes = network_address(q->address, &family);

		if (family != rule->family)
			return false;
		for (size_t i = 0; i < hba_address_len(family); i++)
			if (((bytes[i] ^ rule->address[i]) & rule->mask[i]) != 0)
				return false;
		return true;
	}
	return q->is_near != NULL && q->is_near(q->address, rule->reach == HBA_REACH_SAMENET);
}

static bool
fits_type(const struct hba_rule *rule, const struct hba_question *q)
{
	/* A Unix socket, a connection without TLS, one with TLS. hostgssenc fits nobody. */
	static const bool fits[][3] = {
		[HBA_LOCAL] = { true, false, false },	    [HBA_HOST] = { false, true, true },
		[HBA_HOSTSSL] = { false, false, true },	    [HBA_HOSTNOSSL] = { false, true, false },
		[HBA_HOSTGSSENC] = { false, false, false }, [HBA_HOSTNOGSSENC] = { false, true, true },
	};

	return fits[rule->type][q->is_local ? 0 : q->is_tls ? 2 : 1];
}

bool
hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer)
{
	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_rule *rule = &hba->rules[i];

		if (!fits_type(rule, question) || (rule->type != HBA_LOCAL && !fits_address(rule, question)) ||
		    !fits_one(&rule->databases, question, true) || !fits_one(&rule->users, question, false))
			continue;
		*answer = (struct hba_answer){ .method = rule->method,
					       .clientcert = rule->clientcert,
					       .clientname = rule->clientname,
					       .map = rule->map,
					       .path = rule->path,
					       .line = rule->line };
		return true;
	}
	return false;
}

struct hba_needs
hba_needs(const struct hba *hba)
{
	struct hba_needs needs = { false, false, false };

	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_rule *rule = &hba->rules[i];

		needs.secrets |= rule->method == HBA_SCRAM || rule->method == HBA_MD5 || rule->method == HBA_PASSWORD;
		needs.tls |= rule->type == HBA_HOSTSSL;
		needs.certificates |= rule->clientcert != HBA_CLIENTCERT_NONE;
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
