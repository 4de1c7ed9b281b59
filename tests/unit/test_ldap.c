/* tests/unit/test_ldap.c - the options of LDAP authentication, and how names of users get into filters and names. */
#include "modules/ldap/ldap.h"
#include "unit.h"

#include <ldap.h>

#define PEOPLE "ldapserver=a|ldapbasedn=dc=x"

/* Takes options with bars between. Returns NULL with *why set if one is refused, or all of them together. */
static struct ldap_settings *
settings_of(const char *options, struct fail *why)
{
	struct ldap_settings *s = calloc(1, sizeof(*s));
	char *text = strdup(options), *rest = text, *option;
	int r = 0;

	cr_assert(s != NULL && text != NULL);
	while (r == 0 && (option = strsep(&rest, "|")) != NULL) {
		char *value = strchr(option, '=');

		*value++ = '\0';
		r = ldap_configure_option(s, option, value, why);
	}
	if (r == 0)
		r = ldap_finish_options(s, why);
	free(text);
	if (r == 0)
		return s;
	ldap_settings_free(s);
	return NULL;
}

static const struct {
	const char *rule, *options, *uris;
	bool is_open;
} rows[] = {
	{ "the scheme's port", PEOPLE, "ldap://a:389", true },
	{ "of ldaps, too", PEOPLE "|ldapscheme=ldaps", "ldaps://a:636", false },
	{ "a port", PEOPLE "|ldapport=1", "ldap://a:1", true },
	{ "the last one", PEOPLE "|ldapport=65535", "ldap://a:65535", true },
	{ "several servers", "ldapserver= a  b |ldapport=7|ldapprefix=uid=", "ldap://a:7 ldap://b:7", true },
	{ "TLS within", PEOPLE "|ldaptls=1", "ldap://a:389", false },
	{ "no TLS within", PEOPLE "|ldaptls=0", "ldap://a:389", true },
	{ "the order does not matter", "ldapport=5|ldapscheme=ldaps|" PEOPLE, "ldaps://a:5", false },
	{ "the later of two", PEOPLE "|ldapserver=b", "ldap://b:389", true },
	{ "this machine", "ldapserver=127.0.0.1 localhost ::1|ldapprefix=uid=",
	  "ldap://127.0.0.1:389 ldap://localhost:389 ldap://[::1]:389", false },
	{ "this machine and another", "ldapserver=127.0.0.1 db|ldapprefix=uid=", "ldap://127.0.0.1:389 ldap://db:389",
	  true },
	{ "no brackets twice", "ldapserver=[::1]|ldapprefix=uid=", "ldap://[::1]:389", false },
	{ "servers that DNS knows", "ldapbasedn=dc=example,dc=net", "ldap:///dc=example,dc=net", true },
	{ "and no server is none", "ldapserver= |ldapbasedn=dc=x", "ldap:///dc=x", true },
	{ "a URL", "ldapurl=ldap://a:5/dc=x?cn?one?(uid=$username)|ldapsuffix=", NULL, false },
	{ "a URL alone", "ldapurl=ldap://a:5/dc=x??sub", "ldap://a:5", true },
	{ "a URL's own port", "ldapurl=ldaps://a/dc=x", "ldaps://a:636", false },
	{ "a URL for ldapprefix", "ldapurl=ldap://a|ldapprefix=uid=", "ldap://a:389", true },
	{ "a URL with an IPv6 address", "ldapurl=ldap://[::1]:5/dc=x", "ldap://[::1]:5", false },
};

Test(ldap, which_server_is_asked)
{
	EACH(row, rows) {
		struct fail why = { 0 };
		struct ldap_settings *s = settings_of(row->options, &why);

		cr_expect_eq(s == NULL, row->uris == NULL, "%s: %s", row->rule, why.text);
		if (s != NULL) {
			cr_expect_str_eq(s->uris, row->uris, "%s: got %s", row->rule, s->uris);
			cr_expect_eq(ldap_sends_clear_text(s), row->is_open, "%s", row->rule);
		}
		ldap_settings_free(s);
	}
}

Test(ldap, a_url_has_it_all)
{
	struct fail why;
	struct ldap_settings *s =
	    settings_of("ldapurl=ldap://h:9/dc=example,dc=net?cn,mail?one|ldapbinddn=cn=b|ldapbindpasswd=p", &why);

	cr_assert_not_null(s, "%s", why.text);
	cr_expect_str_eq(s->base_dn, "dc=example,dc=net");
	cr_expect_str_eq(s->attribute, "cn", "the first of them");
	cr_expect_eq(s->scope, LDAP_SCOPE_ONELEVEL);
	cr_expect_str_eq(s->bind_dn, "cn=b");
	cr_expect_str_eq(s->bind_password, "p");
	ldap_settings_free(s);
	s = settings_of("ldapurl=ldap://h/dc=x??sub?(&(uid=$username)(ou=a))", &why);
	cr_assert_not_null(s, "%s", why.text);
	cr_expect_str_eq(s->filter, "(&(uid=$username)(ou=a))");
	cr_expect_eq(s->scope, LDAP_SCOPE_SUBTREE);
	ldap_settings_free(s);
	s = settings_of("ldapurl=ldap://h/dc=x", &why);
	cr_assert_not_null(s, "%s", why.text);
	cr_expect_eq(s->scope, LDAP_SCOPE_BASE, "as in PostgreSQL");
	ldap_settings_free(s);
	s = settings_of(PEOPLE, &why);
	cr_assert_not_null(s, "%s", why.text);
	cr_expect_eq(s->scope, LDAP_SCOPE_SUBTREE);
	ldap_settings_free(s);
}

static const struct {
	const char *options, *problem; /* its beginning */
} bad[] = {
	{ "ldapserver=a", "ldap needs ldapbasedn, ldapprefix or ldapsuffix" },
	{ "ldapprefix=uid=", "ldap needs ldapserver, or ldapbasedn to find servers in DNS" },
	{ "ldapsuffix=x|ldapserver=  ", "ldap needs ldapserver" },
	{ PEOPLE "|ldapprefix=uid=", "ldapprefix and ldapsuffix cannot be used with ldapbasedn" },
	{ PEOPLE "|ldapsuffix=", "ldapprefix and ldapsuffix cannot" },
	{ "ldapserver=a|ldapprefix=x|ldapbinddn=y", "ldapprefix and ldapsuffix cannot" },
	{ "ldapserver=a|ldapprefix=x|ldapbindpasswd=y", "ldapprefix and ldapsuffix cannot" },
	{ "ldapserver=a|ldapprefix=x|ldapsearchattribute=y", "ldapprefix and ldapsuffix cannot" },
	{ "ldapserver=a|ldapprefix=x|ldapsearchfilter=y", "ldapprefix and ldapsuffix cannot" },
	{ PEOPLE "|ldapsearchattribute=cn|ldapsearchfilter=(cn=$username)", "ldapsearchattribute cannot be used with" },
	{ "ldapurl=ldap://a/dc=x?cn?sub?(cn=$username)", "ldapsearchattribute cannot be used with ldapsearchfilter" },
	{ PEOPLE "|ldapscheme=ldaps|ldaptls=1", "ldaptls=1 is for ldapscheme=ldap" },
	{ PEOPLE "|ldapscheme=http", "ldapscheme=http: use ldap or ldaps" },
	{ PEOPLE "|ldapscheme=", "ldapscheme=: use ldap or ldaps" },
	{ PEOPLE "|ldapport=0", "ldapport=0: use a number from 1 to 65535" },
	{ PEOPLE "|ldapport=65536", "ldapport=65536: use" },
	{ PEOPLE "|ldapport=-1", "ldapport=-1: use" },
	{ PEOPLE "|ldapport=", "ldapport=: use" },
	{ PEOPLE "|ldapport=1x", "ldapport=1x: use" },
	{ PEOPLE "|ldapport=99999999999999999999", "ldapport=99999999999999999999: use" },
	{ PEOPLE "|ldaptls=on", "ldaptls=on: use 0 or 1" },
	{ PEOPLE "|ldaptls=", "ldaptls=: use 0 or 1" },
	{ PEOPLE "|ldapservers=a", "option \"ldapservers\" is not one of ldap's" },
	{ PEOPLE "|map=m", "option \"map\" is not one of ldap's" },
	{ "ldapurl=http://a/dc=x", "ldapurl=http://a/dc=x: not an LDAP URL" },
	{ "ldapurl=ldapi:///dc=x", "ldapurl=ldapi:///dc=x: use ldap:// or ldaps://" },
	{ "ldapurl=", "ldapurl=: not an LDAP URL" },
	{ "ldapurl=ldap://a:b/dc=x", "ldapurl=ldap://a:b/dc=x: not an LDAP URL" },
	{ "ldapurl=ldap://a/dc=x??many", "ldapurl=ldap://a/dc=x??many: not an LDAP URL" },
};

Test(ldap, what_is_refused_and_why)
{
	EACH(row, bad) {
		struct fail why = { 0 };
		struct ldap_settings *s = settings_of(row->options, &why);

		cr_expect_null(s, "%s", row->options);
		cr_expect(strncmp(why.text, row->problem, strlen(row->problem)) == 0, "%s: got %s", row->options,
			  why.text);
		ldap_settings_free(s);
	}
}

/* ldap_put_filter(), ldap_put_name() */
typedef void put(const struct ldap_settings *s, const char *user, struct buf *to);

static void
expect_put(put *write, const char *options, const char *user, const char *want)
{
	struct fail why = { 0 };
	struct ldap_settings *s = settings_of(options, &why);
	struct buf got = { 0 };

	cr_assert_not_null(s, "%s: %s", options, why.text);
	write(s, user, &got);
	buf_put_u8(&got, '\0');
	cr_expect_str_eq((char *)got.bytes, want, "%s: got %s", options, (char *)got.bytes);
	buf_fini(&got);
	ldap_settings_free(s);
}

Test(ldap, names_of_users_stand_for_themselves_in_filters)
{
	expect_put(ldap_put_filter, PEOPLE, "web", "(uid=web)");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchattribute=cn", "web", "(cn=web)");
	expect_put(ldap_put_filter, PEOPLE, "*", "(uid=\\2a)");
	expect_put(ldap_put_filter, PEOPLE, "x)(|(uid=*", "(uid=x\\29\\28|\\28uid=\\2a)");
	expect_put(ldap_put_filter, PEOPLE, "a\\2a", "(uid=a\\5c2a)");
	expect_put(ldap_put_filter, PEOPLE, "a\nb\x1f\x7f", "(uid=a\\0ab\\1f\x7f)");
	expect_put(ldap_put_filter, PEOPLE, "a/b \xc3\xa4", "(uid=a/b \xc3\xa4)");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchfilter=(x=$username)(y=$username)", "(", "(x=\\28)(y=\\28)");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchfilter=(x=$username", "$username", "(x=$username");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchfilter=(objectClass=*)", "web", "(objectClass=*)");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchfilter=", "web", "");
	expect_put(ldap_put_filter, PEOPLE "|ldapsearchfilter=$usernam", "web", "$usernam");
}

Test(ldap, names_of_users_stand_for_themselves_in_distinguished_names)
{
	expect_put(ldap_put_name, "ldapserver=a|ldapprefix=uid=|ldapsuffix=,dc=x", "web", "uid=web,dc=x");
	expect_put(ldap_put_name, "ldapserver=a|ldapprefix=uid=|ldapsuffix=,dc=x", "web,ou=admins",
		   "uid=web\\2cou\\3dadmins,dc=x");
	expect_put(ldap_put_name, "ldapserver=a|ldapprefix=cn=", "#a+b \"c\" <d>;\\",
		   "cn=\\23a\\2bb\\20\\22c\\22\\20\\3cd\\3e\\3b\\5c");
	expect_put(ldap_put_name, "ldapserver=a|ldapprefix=uid=", "\xc3\xa4*()", "uid=\xc3\xa4*()");
	expect_put(ldap_put_name, "ldapserver=a|ldapsuffix=@example.com", "web, the", "web, the@example.com");
	expect_put(ldap_put_name, "ldapserver=a|ldapprefix=DOMAIN\\", "web\n", "DOMAIN\\web\\0a");
}
