/*
 * src/login/login_asked.h - lookups that a login needs to match HBA rules and maps: the host name of the client's
 * address, and whether the client's user is a member of a role.
 *
 * Host names are confirmed as in PostgreSQL (hba.c: check_hostname). pgweir looks up the name of the client's address.
 * If a rule fits that name, pgweir looks up the name's addresses, and the client's address must be among these. So a
 * login makes at most two lookups, however many rules there are; together they may take five seconds. A client whose
 * name is not confirmed fits no rule with a host name. If a role can't be looked up, the login is refused, because a
 * rule with this role might reject the client.
 *
 * After each answer, the login matches all rules again, from the first one. So answers are kept until the login ends.
 */
#pragma once

#include "login/login_steps.h"

/* has_name() and is_member() of struct hba_question. `client` is a struct client. Each returns HBA_LATER if it has
 * begun a lookup, or has failed to begin one; the caller then calls login_repeat_later(). */
enum hba_fit login_ask_name(const char *word, void *client);
enum hba_fit login_ask_member(const char *role, void *client);
/* Called after HBA_LATER. Makes the login wait for the lookup, and returns 1; again() is called once the answer has
 * come, and must match all rules again. Returns -1 with *why set if the lookup could not be begun. */
int login_repeat_later(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Called about every 100 ms. If a lookup of names has taken too long, ends it, continues the login without a host name,
 * and returns true; c may then be closed. */
bool login_end_late_name_lookups(struct client *c, uint64_t now_us);
void login_asked_free(struct client_login *l); /* no lookup may be running */
