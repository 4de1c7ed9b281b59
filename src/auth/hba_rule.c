/* src/auth/hba_rule.c - makes a rule from a line of an HBA file. See hba_rule.h. */
#include "auth/hba_rule.h"
#include "base/alloc.h"

#include <arpa/inet.h>

/* The state of parsing a line into a rule. `at` is the index of the next field; problems are reported to `reading`. */
struct rule_parse {
	const struct rule_line *line;
	size_t at;
	struct hba_rule *rule;
	struct rule_reading *reading;
};

#define bad_rule(l, ...) rule_report_error((l)->reading, (l)->line, __VA_ARGS__) /* always false */

/* Reports a warning. */
static void
warn(const struct rule_parse *l, const char *text)
{
	l->reading->report(false, l->line->path, l->line->number, text, l->reading->arg);
}

static void
names_fini(struct hba_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->list[i].text);
		rule_regex_free(names->list[i].regex);
	}
	free(names->list);
}

void
hba_rule_fini(struct hba_rule *rule)
{
	names_fini(&rule->databases);
	names_fini(&rule->users);
	free(rule->host);
	free(rule->map);
	if (rule->module != NULL)
		rule->module->options_free(rule->options);
	free(rule->path);
	*rule = (struct hba_rule){ 0 };
}

/* Returns the only word of the next field. If the line has no further field, or the field has not exactly one word,
 * reports an error and returns NULL. `missing` names the field in errors. */
static const struct rule_word *
next_single(struct rule_parse *l, const char *missing)
{
	const struct rule_field *f = l->at < l->line->count ? &l->line->fields[l->at++] : NULL;

	if (f == NULL)
		bad_rule(l, "the line ends before its %s", missing);
	else if (f->count != 1)
		bad_rule(l, "one %s to a line, not a list", missing);
	return f != NULL && f->count == 1 ? f->words : NULL;
}

/* --- The type. --- */

/* Returns the index of a word in a list, or -1. */
static int
index_of(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, list[i]) == 0)
			return (int)i;
	return -1;
}

static bool
take_type(struct rule_parse *l)
{
	static const char *const types[] = {
		[HBA_LOCAL] = "local",		 [HBA_HOST] = "host",
		[HBA_HOSTSSL] = "hostssl",	 [HBA_HOSTNOSSL] = "hostnossl",
		[HBA_HOSTGSSENC] = "hostgssenc", [HBA_HOSTNOGSSENC] = "hostnogssenc",
	};
	const struct rule_word *word = next_single(l, "connection type");
	int type = word == NULL ? -1 : index_of(word->text, types, sizeof(types) / sizeof(types[0]));

	if (word == NULL)
		return false;
	if (type < 0)
		return bad_rule(l,
				"\"%.100s\" is not a connection type: use local, host, hostssl, hostnossl, hostgssenc "
				"or hostnogssenc",
				word->text);
	l->rule->type = (enum hba_type)type;
	if (l->rule->type == HBA_HOSTGSSENC)
		warn(l, "pgweir has no GSSAPI encryption: a hostgssenc rule never matches");
	return true;
}

/* --- Databases and users. --- */

static bool
take_database(struct rule_parse *l, const struct rule_word *word, struct hba_name *name)
{
	if (rule_word_is(word, "sameuser"))
		name->kind = HBA_NAME_SAMEUSER;
	else if (rule_word_is(word, "replication"))
		name->kind = HBA_NAME_REPLICATION;
	else if (rule_word_is(word, "samerole") || rule_word_is(word, "samegroup"))
		name->kind = HBA_NAME_SAMEROLE;
	return true;
}

static bool
take_user(struct rule_parse *l, const struct rule_word *word, struct hba_name *name)
{
	if (word->is_quoted || word->text[0] != '+')
		return true;
	name->kind = HBA_NAME_ROLE;
	memmove(name->text, name->text + 1, strlen(name->text));
	return rule_check_role(l->reading, l->line, name->text);
}

static bool
take_names(struct rule_parse *l, const char *missing, struct hba_names *names,
	   bool (*take)(struct rule_parse *l, const struct rule_word *word, struct hba_name *name))
{
	const struct rule_field *f = l->at < l->line->count ? &l->line->fields[l->at++] : NULL;
	bool is_good = true;

	if (f == NULL)
		return bad_rule(l, "the line ends before its %s", missing);
	names->list = xcalloc(f->count + 1, sizeof(*names->list));
	for (size_t i = 0; i < f->count; i++) {
		struct hba_name *name = &names->list[names->count++];

		name->text = xstrdup(f->words[i].text);
		if (rule_word_is(&f->words[i], "all"))
			name->kind = HBA_NAME_ALL;
		else if (!take(l, &f->words[i], name))
			is_good = false;
		else if (name->kind == HBA_NAME && name->text[0] == '/') {
			name->kind = HBA_NAME_REGEX;
			is_good = rule_take_regex(l->reading, l->line, &f->words[i], &name->regex) && is_good;
		}
	}
	return is_good;
}

/* --- Addresses. --- */

static bool
has_bit(const struct network *n, unsigned i)
{
	return (n->address[i / 8] & 0x80u >> i % 8) != 0;
}

static bool
take_mask(struct rule_parse *l)
{
	const struct rule_word *word = next_single(l, "mask (write the address as in 10.0.0.0/8, or a mask behind it)");
	unsigned bits = 0, ones = 0;
	struct network mask;

	if (word == NULL)
		return false;
	if (strchr(word->text, '/') != NULL || !network_parse(word->text, &mask))
		return bad_rule(l, "\"%.100s\" is not a mask; write the address as in 10.0.0.0/8, or a mask behind it",
				word->text);
	if (mask.family != l->rule->range.family)
		return bad_rule(l, "address and mask must both be IPv4, or both IPv6");
	for (unsigned i = 0; i < mask.bits; i++) {
		bits = has_bit(&mask, i) ? i + 1 : bits;
		ones += has_bit(&mask, i);
	}
	if (ones != bits)
		return bad_rule(l, "mask \"%.100s\" has holes; write one rule for each network", word->text);
	l->rule->range.bits = bits;
	return true;
}

/* Returns true if `text` can be a host's name or, if it begins with a dot, the end of one. Returns false if the last
 * part is empty, or is a number, because some programs read such a text as an address. */
static bool
is_host_name(const char *text)
{
	static const char *const all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-.0123456789";
	const char *last = strrchr(text, '.');

	last = last == NULL ? text : last + 1;
	return text[strspn(text, all)] == '\0' && last[strspn(last, "0123456789")] != '\0' &&
	       strstr(text, "..") == NULL;
}

static bool
take_host(struct rule_parse *l, const struct rule_word *word)
{
	if (!is_host_name(word->text))
		return bad_rule(l,
				"\"%.100s\" is not an address: write it as in 10.0.0.0/8 or ::1/128, a host name, "
				".the.end.of.one, all, samehost or samenet",
				word->text);
	l->rule->reach = HBA_REACH_NAME;
	l->rule->host = xstrdup(word->text);
	return true;
}

static bool
take_range(struct rule_parse *l, const struct rule_word *word)
{
	struct network *range = &l->rule->range;
	size_t len = strcspn(word->text, "/");
	bool has_slash = word->text[len] == '/';
	char text[INET6_ADDRSTRLEN + 1] = "";
	unsigned most;

	l->rule->reach = HBA_REACH_RANGE;
	if (len < sizeof(text))
		memcpy(text, word->text, len);
	if (!network_parse(text, range))
		return take_host(l, word);
	most = range->bits;
	if (range->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)range->address))
		return bad_rule(l, "%s matches nobody: such clients have IPv4 addresses; write it as one", text);
	if (!has_slash)
		return take_mask(l);
	return network_parse(word->text, range) ||
	       bad_rule(l, "\"%.50s\" is not a CIDR mask: a number from 0 to %u", word->text + len, most);
}

static bool
take_address(struct rule_parse *l)
{
	const struct rule_word *word;

	if (l->rule->type == HBA_LOCAL)
		return true;
	word = next_single(l, "address");
	if (word == NULL)
		return false;
	if (rule_word_is(word, "all"))
		l->rule->reach = HBA_REACH_ALL;
	else if (rule_word_is(word, "samehost"))
		l->rule->reach = HBA_REACH_SAMEHOST;
	else if (rule_word_is(word, "samenet"))
		l->rule->reach = HBA_REACH_SAMENET;
	else
		return take_range(l, word);
	return true;
}

/* --- Methods. --- */

#define METHOD(name, ...) [HBA_MODULES + AUTH_MODULE_##name] = #name,
#define LISTED(name, ...) #name ", "

static bool
take_module(struct rule_parse *l, const struct auth_module *module, const char *method)
{
	if (module->token_request != 0 && l->rule->type == HBA_LOCAL)
		return bad_rule(l, "%s is not for local rules: it needs the name of a host", method);
	l->rule->module = module;
	l->rule->options = module->options_new();
	return true;
}

static bool
take_method(struct rule_parse *l)
{
	static const char *const foreign[] = { "gss", "sspi", "radius", "bsd", "ident", "oauth", "ldap", "pam" };
	static const char *const methods[] = {
		[HBA_TRUST] = "trust", [HBA_REJECT] = "reject",	    [HBA_SCRAM] = "scram-sha-256",
		[HBA_MD5] = "md5",     [HBA_PASSWORD] = "password", [HBA_CERT] = "cert",
		[HBA_PEER] = "peer",   AUTH_MODULES(METHOD)
	};
	const struct rule_word *word = next_single(l, "authentication method");
	struct hba_rule *rule = l->rule;
	int method = word == NULL ? -1 : index_of(word->text, methods, sizeof(methods) / sizeof(methods[0]));

	if (word == NULL)
		return false;
	if (method >= 0)
		rule->method = (enum hba_method)method;
	else if (rule->type == HBA_LOCAL && strcmp(word->text, "ident") == 0)
		rule->method = HBA_PEER; /* in PostgreSQL, ident on a local line means peer */
	else
		return bad_rule(l,
				"method \"%.100s\" %s; use scram-sha-256, md5, password, " AUTH_MODULES(
				    LISTED) "cert, peer, trust or reject",
				word->text,
				index_of(word->text, foreign, sizeof(foreign) / sizeof(foreign[0])) >= 0
				    ? "is not available in this pgweir"
				    : "is not known");
	if (rule->method == HBA_PEER && rule->type != HBA_LOCAL)
		return bad_rule(
		    l, "peer is for local rules only: over a network the system does not know who is at the other end");
	if (rule->method == HBA_CERT && rule->type != HBA_HOSTSSL)
		return bad_rule(l, "cert is for hostssl rules only: certificates come with TLS");
	if (rule->method == HBA_CERT)
		rule->clientcert = HBA_CLIENTCERT_FULL;
	return rule->method < HBA_MODULES || take_module(l, auth_modules[rule->method - HBA_MODULES], word->text);
}

/* --- Options. --- */

static bool
take_clientcert(struct rule_parse *l, const char *value)
{
	struct hba_rule *rule = l->rule;

	if (rule->type != HBA_HOSTSSL)
		return bad_rule(l, "clientcert is for hostssl rules only");
	if (strcmp(value, "verify-full") == 0)
		rule->clientcert = HBA_CLIENTCERT_FULL;
	else if (strcmp(value, "verify-ca") != 0)
		return bad_rule(l, "clientcert=%.100s: use verify-ca or verify-full", value);
	else if (rule->method == HBA_CERT)
		return bad_rule(l, "clientcert=verify-ca: with cert it can only be verify-full");
	else
		rule->clientcert = HBA_CLIENTCERT_CA;
	return true;
}

static bool
take_module_option(struct rule_parse *l, const char *option, size_t len, const char *value)
{
	struct fail why;
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), option);
	return l->rule->module->option(l->rule->options, name, value, &why) == 0 || bad_rule(l, "%s", why.text);
}

static bool
take_option(struct rule_parse *l, const char *option)
{
	const char *value = strchr(option, '=');
	size_t len = value == NULL ? 0 : (size_t)(value++ - option);
	bool is_map = len == 3 && memcmp(option, "map", len) == 0;

	/* the message leaves the word out, because the word may be a part of a password */
	if (value == NULL && l->rule->module != NULL)
		return bad_rule(l, "a word is not an option: write name=value, and a value with blanks in quotes");
	if (value == NULL)
		return bad_rule(l, "\"%.100s\" is not an option: write name=value", option);
	if (len == 10 && memcmp(option, "clientcert", len) == 0)
		return take_clientcert(l, value);
	if (len == 10 && memcmp(option, "clientname", len) == 0) {
		if (l->rule->type != HBA_HOSTSSL)
			return bad_rule(l, "clientname is for hostssl rules only");
		if (strcmp(value, "CN") == 0)
			l->rule->clientname = HBA_CLIENTNAME_CN;
		else if (strcmp(value, "DN") == 0)
			l->rule->clientname = HBA_CLIENTNAME_DN;
		else
			return bad_rule(l, "clientname=%.100s: use CN or DN", value);
		return true;
	}
	if (l->rule->module != NULL && !(is_map && l->rule->module->token_request != 0))
		return take_module_option(l, option, len, value);
	if (!is_map)
		return bad_rule(l, "option \"%.*s\" is not known: use map, clientcert or clientname",
				(int)(len < 100 ? len : 100), option);
	if (l->rule->method != HBA_CERT && l->rule->method != HBA_PEER && l->rule->module == NULL)
		return bad_rule(l, "map is for the methods cert and peer only");
	free(l->rule->map);
	l->rule->map = xstrdup(value);
	return true;
}

static bool
take_options(struct rule_parse *l)
{
	const struct auth_module *module = l->rule->module;
	bool is_good = true;
	struct fail why;

	for (; l->at < l->line->count; l->at++)
		for (size_t i = 0; i < l->line->fields[l->at].count; i++)
			is_good = take_option(l, l->line->fields[l->at].words[i].text) && is_good;
	if (is_good && module != NULL && module->finish_options != NULL &&
	    module->finish_options(l->rule->options, &why) < 0)
		return bad_rule(l, "%s", why.text);
	return is_good;
}

/* --- Warnings. --- */

static bool
is_for_this_machine(const struct hba_rule *rule)
{
	if (rule->type == HBA_LOCAL || rule->reach == HBA_REACH_SAMEHOST)
		return true;
	if (rule->reach != HBA_REACH_RANGE)
		return false;
	if (rule->range.family == AF_INET)
		return rule->range.address[0] == 127 && rule->range.bits >= 8;
	return rule->range.bits == 128 && IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)rule->range.address);
}

static void
warn_option(void *line, const char *text)
{
	warn(line, text);
}

static void
warn_if_suspicious(struct rule_parse *l)
{
	const struct hba_rule *rule = l->rule;

	if (rule->method == HBA_TRUST && !is_for_this_machine(rule) && rule->clientcert != HBA_CLIENTCERT_FULL)
		warn(l, "trust lets in anyone from these addresses, as any user it names, without a password");
	if (rule->method == HBA_PASSWORD && !is_for_this_machine(rule) && rule->type != HBA_HOSTSSL)
		warn(l, "password is refused to clients without TLS that are not on this machine: use hostssl, or "
			"scram-sha-256");
	if (rule->method == HBA_REJECT && rule->reach == HBA_REACH_NAME)
		warn(l, "a client whose address could not be looked up in time is not rejected by a host name");
	if (rule->module != NULL && rule->module->token_request == 0 && !is_for_this_machine(rule) &&
	    rule->type != HBA_HOSTSSL)
		warn(l, "ldap and pam refuse clients without TLS that are not on this machine (with PgBouncer's file "
			"they take their passwords in clear text): use hostssl");
	if (rule->module != NULL && rule->module->warn != NULL)
		rule->module->warn(rule->options, warn_option, l);
}

bool
hba_rule_parse(const struct rule_line *line, struct hba_rule *rule, struct rule_reading *reading)
{
	struct rule_parse l = { line, 0, rule, reading };

	*rule = (struct hba_rule){ .line = line->number };
	rule->path = xstrdup(line->path);
	if (!take_type(&l) || !take_names(&l, "database", &rule->databases, take_database) ||
	    !take_names(&l, "user", &rule->users, take_user) || !take_address(&l) || !take_method(&l) ||
	    !take_options(&l))
		return false;
	warn_if_suspicious(&l);
	return true;
}
