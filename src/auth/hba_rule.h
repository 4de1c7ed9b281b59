/* src/auth/hba_rule.h - one rule of an HBA file. hba_rule.c reads rules from lines; hba.c finds the rule that fits. */
#pragma once

#include "auth/hba.h"
#include "base/text.h"

enum hba_type { HBA_LOCAL, HBA_HOST, HBA_HOSTSSL, HBA_HOSTNOSSL, HBA_HOSTGSSENC, HBA_HOSTNOGSSENC };
/* A word in the database or user column: a keyword, a regular expression or a name. */
enum hba_name_kind {
	HBA_NAME,
	HBA_NAME_REGEX,
	HBA_NAME_ALL,
	HBA_NAME_SAMEUSER,
	HBA_NAME_REPLICATION,
	HBA_NAME_SAMEROLE,
	HBA_NAME_ROLE /* text is the role's name without the plus */
};
/* The kind of the address column: a keyword, a range of addresses or a host name. */
enum hba_address_kind { HBA_REACH_ALL, HBA_REACH_SAMEHOST, HBA_REACH_SAMENET, HBA_REACH_RANGE, HBA_REACH_NAME };

struct hba_names {
	struct hba_name {
		enum hba_name_kind kind;
		char *text;
		struct rule_regex *regex; /* NULL unless kind is HBA_NAME_REGEX */
	} * list;
	size_t count;
};

/* A rule owns its strings, expressions and options. */
struct hba_rule {
	enum hba_type type;
	struct hba_names databases, users;
	enum hba_address_kind reach; /* unused for HBA_LOCAL */
	struct network range; /* valid if reach is HBA_REACH_RANGE */
	char *host; /* NULL unless reach is HBA_REACH_NAME */
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	char *map; /* the option map=; NULL if the rule has none */
	const struct auth_module *module; /* NULL unless method is HBA_MODULES or above */
	void *options; /* made by module->options_new() */
	char *path; /* the file of the rule */
	unsigned line;
};

/* Fills in *rule. Returns false if the line has an error, which is reported and counted in reading->errors. In both
 * cases, the caller must call hba_rule_fini(). */
bool hba_rule_parse(const struct rule_line *line, struct hba_rule *rule, struct rule_reading *reading);
void hba_rule_fini(struct hba_rule *rule);
