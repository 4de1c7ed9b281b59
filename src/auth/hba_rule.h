/* src/auth/hba_rule.h - one rule of an HBA file: hba_rule.c reads it from its line, hba.c asks whether it fits. */
#pragma once

#include "auth/hba.h"
#include "base/text.h"

enum hba_type { HBA_LOCAL, HBA_HOST, HBA_HOSTSSL, HBA_HOSTNOSSL, HBA_HOSTGSSENC, HBA_HOSTNOGSSENC };
enum hba_name_kind {
	HBA_NAME,
	HBA_NAME_REGEX,
	HBA_NAME_ALL,
	HBA_NAME_SAMEUSER,
	HBA_NAME_REPLICATION,
	HBA_NAME_SAMEROLE,
	HBA_NAME_ROLE /* text has the role's name without the plus */
};
enum hba_reach { HBA_REACH_ALL, HBA_REACH_SAMEHOST, HBA_REACH_SAMENET, HBA_REACH_RANGE, HBA_REACH_NAME };

struct hba_names {
	struct hba_name {
		enum hba_name_kind kind;
		char *text;
		struct rule_regex *regex;
	} * list;
	size_t count;
};

struct hba_rule {
	enum hba_type type;
	struct hba_names databases, users;
	enum hba_reach reach; /* which addresses fit; unused for local */
	struct network range; /* HBA_REACH_RANGE */
	char *host; /* HBA_REACH_NAME */
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	char *map;
	const struct auth_module *module; /* NULL unless method is HBA_MODULES or above */
	void *options; /* the module's options */
	char *path;
	unsigned line;
};

/* Fills in *rule. Returns false if the line is wrong; reading->errors has then grown. In either case hba_rule_fini()
 * frees the members of *rule. */
bool hba_rule_parse(const struct rule_line *line, struct hba_rule *rule, struct rule_reading *reading);
void hba_rule_fini(struct hba_rule *rule);
